"""Datasets: preparing pictures for training, and reading them back."""

from sgtool.datasets.reader import ImageDataset, epoch_order, open_dataset

__all__ = ["ImageDataset", "epoch_order", "open_dataset"]

"""Batches: which pictures, in which order, with which labels, wherever one begins."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from sgtool.datasets import epoch_order, open_dataset
from sgtool.images import to_float
from sgtool.training import data as data_module
from sgtool.training.data import Loader


@pytest.fixture
def batches(config):
    """Function that gives some batches of a dataset from a position on: (dataset, number, position, **config changes)."""

    def take(dataset, number, position=0, **changes):
        loader = Loader(dataset, dataclasses.replace(config, **changes), position, "cpu")
        try:
            return list(itertools.islice(loader, number))
        finally:
            loader.close()

    return take


def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.c, b.c)


def test_pictures_come_in_the_order_of_each_epoch(data, batches):
    dataset = open_dataset(data)
    order = np.concatenate([epoch_order(50, 5, epoch) for epoch in range(3)])
    found = batches(dataset, 18, seed=5)
    images, c = torch.cat([b.images for b in found]), torch.cat([b.c for b in found])
    expected = to_float(torch.from_numpy(np.stack([dataset[int(i)][0] for i in order[: 18 * 8]])))
    assert torch.equal(images, expected)
    assert c.argmax(dim=1).tolist() == [dataset[int(i)][1] for i in order[: 18 * 8]]
    assert (images.min(), images.max()) == (-1, 1)


@pytest.mark.parametrize("position", [8, 40, 48, 56, 104])
def test_a_start_in_the_middle_gives_the_same_batches(data, batches, position):
    whole = batches(open_dataset(data), 20)
    assert_same(batches(open_dataset(data), 20 - position // 8, position), whole[position // 8 :])


def test_a_batch_may_be_larger_than_the_data(write_dataset, tmp_path, batches):
    dataset = open_dataset(write_dataset(tmp_path / "three.zip", number=3))
    (batch,) = batches(dataset, 1)
    counts = torch.unique(batch.images, dim=0, return_counts=True)[1]
    assert sorted(counts.tolist()) == [2, 3, 3]


@pytest.mark.parametrize("workers", [0, 1, 8])
def test_the_number_of_workers_does_not_matter(data, batches, workers):
    assert_same(batches(open_dataset(data), 9, workers=workers), batches(open_dataset(data), 9, workers=3))


def test_data_too_large_to_keep_in_memory_give_the_same_batches(data, batches, monkeypatch):
    kept = batches(open_dataset(data), 9)
    monkeypatch.setattr(data_module, "KEEP_DECODED", 0)
    assert_same(batches(open_dataset(data), 9), kept)


def test_mirrored_data_show_every_picture_both_ways_in_an_epoch(data, batches):
    dataset = open_dataset(data)
    images = torch.cat([b.images for b in batches(dataset.mirrored(), 25, batch=4, batch_gpu=4)])
    expected = to_float(torch.from_numpy(np.stack([dataset[i][0] for i in range(50)])))
    expected = torch.cat([expected, expected.flip(3)])
    assert torch.equal(torch.unique(images, dim=0), torch.unique(expected, dim=0))


def test_a_subset_shows_no_other_pictures(data, batches):
    dataset = open_dataset(data)
    chosen = dataset.subset(6, seed=1)
    images = torch.cat([b.images for b in batches(chosen, 6)])
    assert len(torch.unique(images, dim=0)) == 6


def test_labels_of_generated_pictures_are_drawn_from_the_data(data, batches):
    (batch,) = batches(open_dataset(data), 1)
    assert batch.label_pool.tolist() == [i % 3 for i in range(50)]
    (batch,) = batches(open_dataset(data), 1, c_dim=0)
    assert batch.label_pool is None
    assert batch.c.shape == (8, 0)

"""Frozen feature networks, and where their weights come from."""

from sgtool.detectors.inception import InceptionV3
from sgtool.detectors.vgg import VGG16, unit_features
from sgtool.detectors.vgg_features import VGGFeatures, load_vgg_features
from sgtool.detectors.weights import find_inception, find_vgg, load_inception, load_vgg

__all__ = [
    "VGG16", "InceptionV3", "VGGFeatures", "find_inception", "find_vgg", "load_inception", "load_vgg", "load_vgg_features",
    "unit_features",
]  # fmt: skip

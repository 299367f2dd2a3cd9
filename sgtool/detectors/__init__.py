"""Frozen feature networks, and where their weights come from."""

from sgtool.detectors.inception import InceptionV3
from sgtool.detectors.vgg import VGG16, unit_features
from sgtool.detectors.weights import find_inception, find_vgg, load_inception, load_vgg

__all__ = ["VGG16", "InceptionV3", "find_inception", "find_vgg", "load_inception", "load_vgg", "unit_features"]

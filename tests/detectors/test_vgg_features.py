"""VGG16's second fully connected layer, against a plain Sequential of torchvision's layout; the layers are thin here."""

import numpy as np
import pytest
import torch
from torch import nn

from sgtool.detectors import vgg_features
from sgtool.detectors.weights import VGGFiles
from sgtool.errors import UserError

WIDTHS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
THIN = 6
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def plain():
    """features and classifier, with 6 instead of 4,096 in the hidden layers."""
    torch.manual_seed(0)
    layers, before = [], 3
    for width in WIDTHS:
        layers += [nn.MaxPool2d(2)] if width == "M" else [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        before = before if width == "M" else width
    classes = [
        nn.Linear(512 * 49, THIN),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(THIN, THIN),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(THIN, 9),
    ]
    return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": nn.Sequential(*classes)}).eval().requires_grad_(False)


@pytest.fixture
def thin(monkeypatch):
    monkeypatch.setattr(vgg_features, "WIDTH", THIN)
    monkeypatch.setattr(vgg_features, "SHAPES", ((THIN, 512 * 49), (THIN, THIN)))


def enlarged(picture, side):
    """Bilinear, corner to corner: pixel i lies at i * old / new; beyond the last row its own values."""
    place = np.arange(side) * picture.shape[-1] / side
    low = np.floor(place).astype(int)
    high, share = np.minimum(low + 1, picture.shape[-1] - 1), place - low
    wide = picture[..., low] * (1 - share) + picture[..., high] * share
    return wide[:, low] * (1 - share)[:, None] + wide[:, high] * share[:, None]


def test_features_are_those_of_a_plain_sequential(plain, thin, tmp_path):
    torch.save(plain.state_dict(), tmp_path / "vgg.pth")
    network, note = vgg_features.load_vgg_features(VGGFiles(tmp_path / "vgg.pth", None))
    img = np.random.RandomState(0).randint(0, 256, [3, 32, 32]).astype(np.float64)
    x = (enlarged(img, 224) / 255 - MEAN[:, None, None]) / DEVIATION[:, None, None]
    with torch.no_grad():
        maps = plain["features"](torch.from_numpy(x).float()[None]).flatten(1)
        expected = plain["classifier"][:5](maps)
        ours = network(torch.from_numpy(img).float()[None])
    assert expected.shape == (1, THIN)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5)
    assert "vgg.pth is no file that sgtool knows" in note


def test_a_file_without_the_layers_is_refused(plain, thin, tmp_path):
    torch.save(plain["features"].state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(
        UserError, match="vgg.pth does not hold the fully connected layers of VGG16. Give a file with all of VGG16"
    ):
        vgg_features.load_vgg_features(VGGFiles(tmp_path / "vgg.pth", None))

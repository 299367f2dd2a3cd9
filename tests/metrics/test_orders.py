"""What everybody would call worse is farther away: real sprites with more and more noise, blur, and fewer of them."""

import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from sgtool.metrics import diversity, frechet_distance_of, precision_recall, sliced_wasserstein

HARMS = {"noise": (0, 8, 25, 70), "blur": (0, 0.6, 1.2, 3), "fewer": (1, 8, 40, 200)}


@pytest.fixture
def sprites(shared_data):
    """Two different sets of 400 CryptoPunks, `[400, 3, 24, 24]` uint8."""
    sheet = np.asarray(Image.open(shared_data / "cryptopunks.png").convert("RGB"))
    punks = sheet.reshape(100, 24, 100, 24, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 24, 24)
    chosen = np.random.RandomState(0).permutation(len(punks))[:800]
    return punks[chosen[:400]], punks[chosen[400:]]


def harmed(pictures, kind, amount):
    if kind == "fewer":
        return pictures[np.arange(len(pictures)) // amount]
    if kind == "blur":
        changed = scipy.ndimage.gaussian_filter(pictures.astype(np.float32), (0, 0, amount, amount))
    else:
        changed = pictures + np.random.RandomState(1).normal(0, amount, pictures.shape)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def features(pictures):
    """What a network with random weights sees: `[N, 32]`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 32, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3, stride=2), torch.nn.ReLU()]
    with torch.no_grad():
        return torch.nn.Sequential(*layers)(torch.from_numpy(pictures).float() / 127.5 - 1).mean(dim=(2, 3))


@pytest.mark.parametrize("kind", HARMS)
def test_distances_grow_with_the_harm(sprites, kind):
    real, other = sprites
    sets = [harmed(other, kind, amount) for amount in HARMS[kind]]
    for values in (
        [frechet_distance_of(features(real), features(pictures)) for pictures in sets],
        [sliced_wasserstein(real, pictures, patches=32, projections=32) for pictures in sets],
    ):
        assert all(before < after for before, after in itertools.pairwise(values)), values


def test_sprites_of_one_kind_are_told_by_recall_and_similarity(sprites):
    real, other = sprites
    collapsed = harmed(np.repeat(other[:1], 400, axis=0), "noise", 2)
    (_, recall), (_, lost) = (precision_recall(features(real), features(made)) for made in (other, collapsed))
    assert lost < 0.1 < 0.5 < recall
    assert diversity(collapsed, pairs=200) > 0.9 > 0.6 > diversity(other, pairs=200)

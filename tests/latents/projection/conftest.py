from types import SimpleNamespace

import pytest
import torch

from sgtool.networks import build_generator


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture
def make_generator():
    """Make a tiny generator with its own random numbers; its noise changes the picture a little."""

    def make(resolution=16, channels=3, classes=0, noise_strength=0.05, **synthesis):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            G = build_generator(
                z_dim=16, c_dim=classes, w_dim=16, img_resolution=resolution, img_channels=channels,
                mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 256, "channel_max": 16} | synthesis,
            )  # fmt: skip
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.data.fill_(noise_strength)
        return G.eval().requires_grad_(False)

    return make


@pytest.fixture
def pixels():
    """The distance of pictures that needs nothing: 4 times the mean squared difference."""
    return SimpleNamespace(name="pixels", features=lambda img: img.flatten(1) * (4 / img[0].numel()) ** 0.5)

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sgtool import snapshots
from sgtool.latents.projection import Request, project_files
from sgtool.networks import build_discriminator, build_generator

sys.path.insert(0, str(Path(__file__).parent))  # for projection_files


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


@pytest.fixture
def model(make_generator, tmp_path):
    """Make a snapshot of a tiny network: `model(resolution, channels, classes, D=True)` is its path."""

    def make(resolution=8, channels=3, classes=0, D=False):
        G = make_generator(resolution, channels, classes)
        if D:
            D = build_discriminator(
                c_dim=classes, img_resolution=resolution, img_channels=channels, channel_base=256, channel_max=16
            )
        path = tmp_path / f"model{resolution}-{channels}-{classes}-{bool(D)}.pkl"
        snapshots.save(snapshots.Snapshot(G, D=D or None, nimg=7000), path)
        return path

    return make


@pytest.fixture
def ask(tmp_path):
    """Project with few steps: `ask(network, target, out, **options)` is (report, lines that were said)."""

    def project(network, target, out, **options):
        said = []
        request = Request(str(network), str(target), str(tmp_path / out), **{"num_steps": 6, "perceptual": "pixels", **options})
        return project_files(request, say=said.append, warn=said.append), said

    return project

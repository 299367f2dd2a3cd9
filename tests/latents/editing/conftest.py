"""Tiny models to edit."""

import pytest
import torch

from sgtool import snapshots
from sgtool.latents.model import open_model
from sgtool.networks import build_generator


def write(path, seed=1, **changes):
    """Write a snapshot of an untrained network and return its path."""
    torch.manual_seed(seed)
    size = {"z_dim": 16, "c_dim": 0, "w_dim": 16, "img_resolution": 16, "img_channels": 3, **changes}
    G = build_generator(**size, mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 256, "channel_max": 16})
    G.mapping.w_avg.normal_()
    snapshots.save(snapshots.Snapshot(G), path)
    return path


@pytest.fixture
def make_model(tmp_path):
    """A function that makes a `Model`, of the keywords of `build_generator`."""

    def make(name="m.pkl", **changes):
        return open_model(write(tmp_path / name, **changes))

    return make


@pytest.fixture
def model(make_model):
    """A `Model` of 16x16 RGB pictures, without labels."""
    return make_model()

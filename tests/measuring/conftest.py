"""Tiny datasets and models, and detectors that need no weights."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.latents.model import open_model
from sgtool.measuring.detector import Detector
from sgtool.networks import build_discriminator, build_generator


@pytest.fixture(autouse=True)
def single(one_thread, tmp_path, monkeypatch):
    """One thread, a cache of its own, no network."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SGTOOL_OFFLINE", "1")


@pytest.fixture
def write_pictures(tmp_path):
    """Write a folder of random pictures; returns its path."""

    def write(name="data", number=12, size=16, channels=3, labels=None, seed=0, shift=0, **prepared):
        folder = tmp_path / name
        if folder.exists():
            return folder
        (folder / "00000").mkdir(parents=True)
        random = np.random.RandomState(seed)
        rows = []
        for i in range(number):
            array = np.clip(random.randint(0, 256, [size, size, channels]) + shift, 0, 255).astype(np.uint8)
            file = f"00000/img{i:08d}.png"
            Image.fromarray(array[:, :, 0] if channels == 1 else array).save(folder / file)
            rows.append([file, i % labels if labels else None])
        (folder / "dataset.json").write_text(json.dumps({"labels": rows if labels else None}))
        if prepared:
            (folder / "prepare.json").write_text(json.dumps({"options": prepared}))
        return folder

    return write


@pytest.fixture
def dataset(write_pictures):
    """Twelve pictures of 16x16, in colour."""
    return open_dataset(write_pictures("twelve"))


@pytest.fixture
def write_model(tmp_path):
    """Write a snapshot of random networks; returns its path."""

    def write(name="model.pkl", c_dim=0, size=16, channels=3, seed=0, **config):
        torch.manual_seed(seed)
        G = build_generator(
            z_dim=16, c_dim=c_dim, w_dim=16, img_resolution=size, img_channels=channels, mapping_kwargs={"num_layers": 2},
            synthesis_kwargs={"channel_base": 256, "channel_max": 16},
        )  # fmt: skip
        for key, parameter in G.named_parameters():
            if key.endswith("noise_strength"):
                parameter.data.fill_(0.3)
        D = build_discriminator(c_dim=c_dim, img_resolution=size, img_channels=channels, channel_base=256, channel_max=16)
        path = tmp_path / name
        snapshots.save(snapshots.Snapshot(G, D=D, config=config), path)
        return path

    return write


@pytest.fixture
def model(write_model):
    """A model of 16x16 pictures, in colour."""
    return open_model(write_model())


def corner_means(pictures):
    """The mean of each quarter of a picture, in each channel: features that say something and cost nothing."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures.float(), 2).flatten(1)


@pytest.fixture
def stub():
    """A detector that sees the means of quarters."""

    def probabilities(features):
        return torch.softmax(features / 50, dim=1)

    return Detector("stub", "0" * 64, "A stub.", corner_means, probabilities)

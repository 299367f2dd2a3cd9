"""A tiny dataset, a tiny configuration and what compares two training states bit by bit."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool.datasets import open_dataset
from sgtool.snapshots.container import tensors_of
from sgtool.training.resolve import Options, resolve


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture(scope="session")
def write_dataset():
    """Function that writes a dataset of noisy pictures: (path, number, size (H, W), channels, classes or None)."""

    def write(path, number=50, size=(16, 16), channels=1, classes=3, seed=0):
        rng = np.random.RandomState(seed)
        labels = []
        with zipfile.ZipFile(path, "w") as archive:
            for i in range(number):
                shape = size if channels == 1 else (*size, channels)
                data, name = io.BytesIO(), f"00000/img{i:08d}.png"
                Image.fromarray(rng.randint(0, 256, shape, dtype=np.uint8)).save(data, "png")
                archive.writestr(name, data.getvalue())
                labels.append([name, i % classes if classes else None])
            archive.writestr("dataset.json", json.dumps({"labels": labels if classes else None}))
        return path

    return write


@pytest.fixture(scope="session")
def data(write_dataset, tmp_path_factory):
    """50 grey pictures of 16x16 in 3 classes."""
    return write_dataset(tmp_path_factory.mktemp("data") / "noise.zip")


@pytest.fixture(scope="session")
def tiny():
    """Options of a run of 32 steps of 32 pictures that takes seconds. Epochs, ticks and intervals fall on different steps."""
    return {
        "cfg": "tiny",
        "cbase": 64,
        "cmax": 8,
        "batch": 32,
        "batch_gpu": 16,
        "kimg": 1,
        "tick": 0.2,
        "snap": 2,
        "cond": True,
        "aug": "ada",
        "target": 0.5,
        "glr": 0.01,
        "dlr": 0.01,
    }


@pytest.fixture
def config(data, tiny):
    """The tiny configuration with batches of 8."""
    return resolve(Options(**tiny | {"batch": 8, "batch_gpu": 8}), open_dataset(data))[0]


@pytest.fixture(scope="session")
def differences():
    """Function that lists where two nested structures of tensors and plain values are not the same bit by bit."""

    def flat(value):
        leaves = {name: tensor.detach().clone() for name, tensor in tensors_of(value)}
        waiting = [("", value)]
        while waiting:
            name, item = waiting.pop()
            if isinstance(item, (dict, list, tuple)):
                items = item.items() if isinstance(item, dict) else enumerate(item)
                waiting.extend((f"{name}.{key}" if name else str(key), inner) for key, inner in items)
            elif not isinstance(item, torch.Tensor):
                leaves[name] = item
        return leaves

    def same(a, b):
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return a.dtype == b.dtype and torch.equal(a, b)
        return type(a) is type(b) and a == b

    def find(one, two, ignored=()):
        one, two = flat(one), flat(two)
        names = [name for name in sorted(one.keys() | two.keys()) if not name.endswith(tuple(ignored) or "\0")]
        return [name for name in names if name not in one or name not in two or not same(one[name], two[name])]

    return find

"""Models to blend; the functions that write them are a module of this folder."""

import sys
from pathlib import Path

import pytest

from sgtool import snapshots

sys.path.insert(0, str(Path(__file__).parent))

from model_files import models, write


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture
def a(tmp_path):
    return write(*models(tmp_path / "a.pkl", learned=[(1, 0.5)]))


@pytest.fixture
def b(tmp_path, a):
    """A model trained from A."""
    source = {"file": "a.pkl", "sha256": snapshots.network_hash(a)}
    return write(*models(tmp_path / "b.pkl", learned=[(1, 0.5), (2, 0.1)]), source=source)


@pytest.fixture
def stranger(tmp_path):
    """A model of the same shape, trained apart."""
    return write(*models(tmp_path / "stranger.pkl", start=5, learned=[(6, 0.5)]))

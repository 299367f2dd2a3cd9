"""The makers of foreign files are a module of this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""

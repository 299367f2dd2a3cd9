"""The makers of the collections that are read are a module of this folder; nothing that a test opened stays open."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sgtool.datasets.sources import close_files  # noqa: E402


@pytest.fixture(autouse=True)
def _no_file_stays_open():
    yield
    close_files()

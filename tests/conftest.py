"""Fixtures for every test: where the reference data and the real pictures lie; one thread."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


def _folder(path):
    if not path.is_dir():
        pytest.skip(f"{path.name}/ of the shared reference data is not beside the project")
    return path


@pytest.fixture
def shared():
    """The folder beside the project that holds reference data and pictures."""
    return _folder(SHARED)


@pytest.fixture
def golden():
    """Reference numbers of the published implementations; the files are described in its README."""
    return _folder(SHARED / "golden")


@pytest.fixture
def shared_data():
    """Real pictures."""
    return _folder(SHARED / "data")


@pytest.fixture
def one_thread():
    """PyTorch with one thread: what is small gains nothing from more, and loses much where other processes compute too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

"""Tests on a GPU. Without one they are skipped; with one, kernels that cannot run are a failure."""

import pytest
import torch

from sgtool.ops import cuda


@pytest.fixture(autouse=True)
def gpu():
    """The device of the tests."""
    reason = cuda.unavailable()
    if not torch.cuda.is_available():
        pytest.skip(reason)
    assert reason is None, reason
    return torch.device("cuda", torch.cuda.current_device())

import pytest


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""

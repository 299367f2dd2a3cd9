import json

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture
def reference(golden):
    """Numbers of the published metrics, by key; `meta` is a dict."""
    with np.load(golden / "metrics.npz") as arrays:
        return {key: json.loads(str(arrays[key])) if key == "meta" else arrays[key] for key in arrays.files}

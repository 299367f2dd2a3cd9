"""Which program wrote a model file, told from its content."""

import contextlib

from sgtool.snapshots import native
from sgtool.snapshots.container import read_container

FORMATS = {
    "sgtool": "sgtool",
    "stylegan2-ada-pytorch": "NVIDIA's stylegan2-ada-pytorch",
    "stylegan3": "NVIDIA's stylegan3 repository",
    "tensorflow": "NVIDIA's StyleGAN2 or StyleGAN2-ADA for TensorFlow",
    "rosinality": "rosinality's stylegan2-pytorch",
    "safetensors": "a safetensors file",
    "state-dict": "a state dict without a description",
}


@contextlib.contextmanager
def opened(path):
    """Open a model file and describe it: yields `Contents`, whose tensors can be read inside the `with` block.

    Raises:
        UserError: the file is missing, damaged, of an unknown kind, or asks for something that could run code.
    """
    yield native.describe(path, read_container(path, "snapshot"))

"""What one launch of a kernel consists of, and the arithmetic that all launches share."""

import math
from dataclasses import dataclass

import numpy as np
import torch

TYPES = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float", torch.float64: "double"}  # as in types.cuh
THREADS = 256  # in a block, at most; the kernels are compiled for it
GRID_LIMIT = 65535  # blocks along y and z; the kernels loop where that is not enough


@dataclass(frozen=True)
class Launch:
    """One kernel, the grid it runs on, and its arguments."""

    source: str  # file name in this folder
    kernel: str  # name expression of the instance, e.g. "bias_act<float16, 2, 0, index32>"
    grid: tuple  # blocks (x, y, z)
    block: tuple  # threads (x, y, z)
    shared: int  # dynamic shared memory, bytes
    arguments: tuple  # in order: tensors (None = null pointer) and numpy scalars of the parameter's type


def type_name(dtype):
    """Return the C++ name of a tensor's element type.

    Raises:
        TypeError: there is no kernel for the type.
    """
    if dtype not in TYPES:
        raise TypeError(f"the CUDA kernels take {', '.join(str(t).removeprefix('torch.') for t in TYPES)}, not {dtype}")
    return TYPES[dtype]


def scalar_type(dtype):
    """Return the numpy type in which a kernel on `dtype` computes: float64 for float64, else float32."""
    return np.float64 if dtype == torch.float64 else np.float32


def vector_size(dtype):
    """Return how many elements 16 bytes hold."""
    return 16 // dtype.itemsize


def ceil_div(a, b):
    """Return a / b, rounded up."""
    return -(-a // b)


def power_above(n):
    """Return the smallest power of two >= n."""
    return 1 << max(n - 1, 0).bit_length()


def block_for(extents, limits, threads=THREADS):
    """Return a block (x, y, z) that fits a box of work: powers of two, no axis much longer than the box, x first.

    Args:
        extents: work along (x, y, z).
        limits: the most threads along each axis.
        threads: the most threads in all.
    """
    block = []
    for extent, limit in zip(extents, limits, strict=True):
        block.append(min(power_above(extent), limit, threads // math.prod(block)))
    return tuple(block)

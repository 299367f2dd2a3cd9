"""Features as the metrics take them: rows of numbers, checked, on the device where they are."""

import contextlib
import math

import numpy as np
import torch

PART = 1 << 22  # numbers that are looked at at once


def as_rows(values, name, at_least=1):
    """Return features as a tensor, after checking shape, type and values.

    Args:
        values: array or tensor `[N, D]` of any float type. A tensor stays on its device (but for MPS, which has no float64).
        name: what to call it in an error.
        at_least: the smallest N that the metric is defined for.
    Returns:
        tensor `[N, D]`, float64 if that is what came, else float32 (which holds every float16 and bfloat16); the
        input's own memory where possible.
    Raises:
        ValueError: another shape, no float type, too few rows, or a value that is not finite.
    """
    rows = values.detach() if isinstance(values, torch.Tensor) else _tensor(np.asarray(values), name)
    if rows.device.type == "mps":
        rows = rows.cpu()
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name} has the shape {list(rows.shape)}; give [N, D], a row of numbers for each picture.")
    if not rows.is_floating_point():
        raise ValueError(f"{name} has the type {rows.dtype}; give floats.")
    if len(rows) < at_least:
        raise ValueError(f"{name} has {len(rows)} rows and needs at least {at_least}.")
    if rows.dtype not in (torch.float32, torch.float64):
        rows = rows.float()
    for part in rows.split(max(1, PART // rows.shape[1])):
        if not torch.isfinite(part).all():
            raise ValueError(f"{name} holds values that are not finite.")
    return rows


def as_row_pair(a, b, names=("a", "b"), at_least=(1, 1)):
    """Return two sets of features that may be compared: one width, one type and one device, any two counts.

    Raises:
        ValueError: as `as_rows`, or the widths differ.
    """
    a, b = as_rows(a, names[0], at_least[0]), as_rows(b, names[1], at_least[1])
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{names[0]} has {a.shape[1]} columns and {names[1]} has {b.shape[1]}; use one detector for both.")
    kind = torch.promote_types(a.dtype, b.dtype)
    return a.to(kind), b.to(a.device, kind)


class Room:
    """Memory that is used again and again: to get it anew for each tile can take as long as to fill it."""

    def __init__(self, device):
        self.device, self.held = device, {}

    def tensor(self, name, shape, kind):
        """Return a tensor with anything in it; it shares memory with those before it of that name and type."""
        size = math.prod(shape)
        if (name, kind) not in self.held or self.held[name, kind].numel() < size:
            self.held[name, kind] = torch.empty(size, dtype=kind, device=self.device)
        return self.held[name, kind][:size].view(shape)


@contextlib.contextmanager
def full_precision():
    """Have float32 products on a GPU computed in float32, whatever training has allowed (TF32 keeps 10 bits)."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _tensor(array, name):
    """An array as a tensor: in this machine's byte order, in memory that may be shared."""
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(f"{name} has the type {array.dtype}; give floats of at most 64 bits.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    shared = array.flags.writeable and min(array.strides, default=0) >= 0
    return torch.from_numpy(array if shared else array.copy())

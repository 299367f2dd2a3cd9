"""Launches of upfirdn2d: which of its kernels takes a case, and how the picture is cut into tiles."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from sgtool.ops.kernels.launch import GRID_LIMIT, Launch, block_for, ceil_div, scalar_type, type_name, vector_size

SPECIAL_TYPES = (torch.float16, torch.bfloat16, torch.float32)
FACTORS = ((2, 1), (1, 2), (1, 1))  # (up, down)
TAPS = (4, 12)
LONGEST = 2**30  # samples along an axis; positions are 32-bit numbers
CHANNEL_THREADS = 128  # in a block of upfirdn2d_channels, whose threads need many registers
SHARED_FLOATS = 12288  # in a block; more must be asked for at the launch
PACKED_CHANNELS = 4  # up to so many interleaved channels are read plane by plane, by one block


@dataclass(frozen=True)
class Case:
    """Factors and taps known at compile time, as pairs (x, y)."""

    up: tuple
    down: tuple
    taps: tuple

    @property
    def constants(self):
        return ", ".join(str(n) for n in (*self.up, *self.down, *self.taps))

    def shift(self, padding):
        """Outputs (x, y) that the first tile lies outside of the picture, so that every tile begins with the same phase."""
        return -padding[0] % self.up[0], -padding[2] % self.up[1]

    def reach(self, outputs, axis):
        """How many inputs a run of outputs needs, if it begins with the filter's first phase."""
        return ((outputs - 1) * self.down[axis] + self.taps[axis] - 1) // self.up[axis] + 1


def _cases():
    for taps in TAPS:
        for up, down in FACTORS:
            yield Case((up, up), (down, down), (taps, taps))
            yield Case((up, 1), (down, 1), (taps, 1))
            yield Case((1, up), (1, down), (1, taps))


CASES = {(case.up, case.down, case.taps): case for case in _cases()}


def upfirdn2d_launch(x, f, y, up, down, padding, flip_filter, gain):
    """Return the launch of y = upfirdn2d(x, f), or None if a filter with one axis needs two launches.

    Args:
        x: `[N, C, H, W]` with any strides.
        f: float32 `[height, width]`, or `[taps]` for use along both axes; float64 too if `x` is.
        y: `[N, C, H_out, W_out]` of the type of `x`, not empty, contiguous or channels-last.
        up, down: pairs (x, y).
        padding: (left, right, top, bottom).
        flip_filter, gain: as in `sgtool.ops.upfirdn2d`.
    Returns:
        None if `f` has one axis and no kernel uses it along both at once: launch `f[None, :]` and then `f[:, None]`.
    Raises:
        TypeError: there is no kernel for the types.
        NotImplementedError: an axis has 2**30 samples or more.
    """
    if f.dtype not in (torch.float32, torch.float64) or (f.dtype == torch.float64 and x.dtype != torch.float64):
        raise TypeError(f"the filter must be float32 (or float64, like x), not {f.dtype} for x of {x.dtype}")
    aligned = (x.data_ptr() | y.data_ptr()) % 16 == 0
    layouts = (tuple(x.shape), x.stride(), tuple(y.shape), y.stride())
    plan = _plan(
        x.dtype, layouts, aligned, f.dtype, tuple(f.shape), f.stride(), tuple(up), tuple(down), tuple(padding), flip_filter
    )
    if plan is None:
        return None
    source, kernel, grid, block, shared, scalars = plan
    return Launch(source, kernel, grid, block, shared, (x, f, y, scalar_type(x.dtype)(gain), *scalars))


@lru_cache(maxsize=4096)
def _plan(dtype, layouts, aligned, f_type, f_shape, f_strides, up, down, padding, flip_filter):
    """All of a launch but tensors and gain."""
    x_shape, x_strides, y_shape, y_strides = layouts
    taps = (f_shape[-1], f_shape[0])
    across, along = (abs(padding[i]) + abs(padding[i + 1]) for i in (0, 2))
    longest = max(x_shape[3] * up[0] + across, x_shape[2] * up[1] + along)
    if max(longest, *y_shape[2:]) >= LONGEST:
        raise NotImplementedError(f"the CUDA kernels take pictures of less than {LONGEST} samples along an axis")
    common = _common_arguments(x_shape, x_strides, y_shape, y_strides, f_shape, f_strides, padding, flip_filter)
    case = CASES.get((up, down, taps)) if dtype in SPECIAL_TYPES else None
    channels = x_shape[1]
    interleaved = channels > 1 and x_strides[1] == 1
    outer = len(f_shape) == 1  # the kernel is to multiply the taps of both axes
    if case and (not outer or taps[0] <= 4) and aligned and _in_vectors(dtype, x_shape, x_strides, y_strides):
        return _channels_plan(case, dtype, y_shape, padding, common)
    if case and (not interleaved or channels <= PACKED_CHANNELS) and x_shape[0] * channels < 2**31:
        separable = outer and taps[0] > 4
        return _tile_plan(case, separable, dtype, y_shape, y_strides, aligned, interleaved, padding, common)
    if outer:
        return None
    return _general_plan(dtype, f_type, y_shape, interleaved, taps, up, down, common)


def _common_arguments(x_shape, x_strides, y_shape, y_strides, f_shape, f_strides, padding, flip_filter):
    """Arguments that follow `gain` in all kernels: how to walk the filter, sizes, padding, strides.

    The kernels correlate; for a convolution they walk the filter from its end.
    """
    row, column = f_strides if len(f_shape) == 2 else (0, f_strides[0])
    start = 0
    if not flip_filter:
        start = (f_shape[0] - 1) * row + (f_shape[-1] - 1) * column
        row, column = -row, -column
    sizes = [len(f_shape) == 1, x_shape[0], x_shape[1], *x_shape[2:], *y_shape[2:], padding[0], padding[2]]
    return (
        *(np.int64(n) for n in (start, row, column)),
        *(np.int32(n) for n in sizes),
        *(np.int64(n) for n in (*x_strides, *y_strides)),
    )


def _in_vectors(dtype, x_shape, x_strides, y_strides):
    """True if 16 bytes of x, and of y, hold neighbouring channels of one pixel, everywhere."""
    width = vector_size(dtype)
    strides = (*x_strides[:1], *x_strides[2:], *y_strides[:1], *y_strides[2:])
    return x_shape[1] % width == 0 and x_strides[1] == y_strides[1] == 1 and all(s % width == 0 for s in strides)


def channels_outputs(case):
    """Outputs (x, y) that one thread of `upfirdn2d_channels` computes: 8, fewer where each needs many inputs."""
    if case.taps[1] == 1:
        return (8 if case.up[0] == 2 else 4), 1
    if case.taps[0] == 1:
        return 1, (8 if case.up[1] == 2 or case.taps[1] == 4 and case.down[1] == 1 else 4)
    if case.taps == (4, 4):
        return (2, 2) if case.down == (2, 2) else (2, 4)
    return (2, 2) if case.up == (2, 2) else (2, 1)


def channels_kernel(case, dtype):
    """Name expression of the kernel for interleaved channels."""
    x, y = channels_outputs(case)
    return f"upfirdn2d_channels<{type_name(dtype)}, {case.constants}, {x}, {y}>"


def _channels_plan(case, dtype, y_shape, padding, common):
    """A thread takes 16 bytes of channels of a few neighbouring outputs; a block 128 bytes, more if the picture is small."""
    vectors = y_shape[1] // vector_size(dtype)
    outputs = channels_outputs(case)
    shift = case.shift(padding)
    tiles = [ceil_div(y_shape[3 - axis] + shift[axis], outputs[axis]) for axis in (0, 1)]
    block = block_for((vectors, *tiles), (8, 4, 4), CHANNEL_THREADS)
    if (spare := CHANNEL_THREADS // (block[0] * block[1] * block[2])) > 1:  # a small picture: more channels instead
        block = (block_for((vectors, 1, 1), (8 * spare, 1, 1), CHANNEL_THREADS)[0], *block[1:])
    blocks = [ceil_div(extent, size) for extent, size in zip((vectors, *tiles), block, strict=True)]
    grid = (math.prod(blocks) * y_shape[0], 1, 1)
    if grid[0] >= 2**31:
        raise NotImplementedError(f"the CUDA kernels cannot run {grid[0]} blocks; split the batch")
    scalars = (*common, *(np.int32(n) for n in (*shift, *blocks)))
    return "upfirdn2d_channels.cu", channels_kernel(case, dtype), grid, block, 0, scalars


def tile_outputs(case):
    """Outputs (x, y) that one thread of `upfirdn2d_tile` computes."""
    return 2 if case.down[0] == 2 else 4, 4 if case.up[1] == 2 else 2


def tile_kernel(case, separable, dtype):
    """Name expression of the kernel for planes."""
    x, y = tile_outputs(case)
    return f"upfirdn2d_tile<{type_name(dtype)}, {case.constants}, {x}, {y}, {'true' if separable else 'false'}>"


def _tile_plan(case, separable, dtype, y_shape, y_strides, aligned, interleaved, padding, common):
    """A block computes a tile of a plane, or small tiles of several planes, from inputs in shared memory."""
    outputs = tile_outputs(case)
    shift = case.shift(padding)
    threads = [ceil_div(y_shape[3 - axis] + shift[axis], outputs[axis]) for axis in (0, 1)]
    planes = y_shape[0] * y_shape[1]
    if interleaved:  # the channels of a pixel lie in the same sectors of memory
        block = (*block_for((*threads, 1), (32, 2, 1))[:2], y_shape[1])
    else:
        block = block_for((*threads, planes), (32, 8, 64))
    columns = ceil_div(case.reach(block[0] * outputs[0], 0), 4) * 4
    rows = case.reach(block[1] * outputs[1], 1)
    taps = ceil_div(case.taps[0] if separable else case.taps[0] * case.taps[1], 4) * 4
    floats = rows * (columns + (block[0] * outputs[0] if separable else 0))  # of one plane
    block = (*block[:2], min(block[2], (SHARED_FLOATS - taps) // floats))
    in_line = y_strides[3] == 1 and all(s % outputs[0] == 0 for s in y_strides[:3])
    whole = aligned and in_line and shift[0] % outputs[0] == 0  # a thread's outputs can be written at once
    grid = (
        ceil_div(threads[0], block[0]),
        min(ceil_div(threads[1], block[1]), GRID_LIMIT),
        min(ceil_div(planes, block[2]), GRID_LIMIT),
    )
    scalars = (*common, *(np.int32(n) for n in (*shift, columns, rows, whole)))
    return "upfirdn2d_tile.cu", tile_kernel(case, separable, dtype), grid, block, 4 * (taps + block[2] * floats), scalars


def general_kernel(dtype, f_type, interleaved):
    """Name expression of the kernel for any factors and taps."""
    return f"upfirdn2d_general<{type_name(dtype)}, {type_name(f_type)}, {'true' if interleaved else 'false'}>"


def _general_plan(dtype, f_type, y_shape, interleaved, taps, up, down, common):
    """A thread computes one output; neighbouring threads take neighbours in memory."""
    n, channels, height, width = y_shape
    extents = (channels, width, n * height) if interleaved else (width, height, n * channels)
    block = block_for(extents, (32, 8, 16))
    blocks = [ceil_div(extent, size) for extent, size in zip(extents, block, strict=True)]
    grid = (blocks[0], min(blocks[1], GRID_LIMIT), min(blocks[2], GRID_LIMIT))
    scalars = (*common, *(np.int32(v) for v in (*up, *down, *taps)))
    return "upfirdn2d_general.cu", general_kernel(dtype, f_type, interleaved), grid, block, 0, scalars

"""Launches of bias_act and of its first and second derivative."""

import math
from functools import lru_cache

import numpy as np

from sgtool.ops.kernels.launch import THREADS, Launch, ceil_div, scalar_type, type_name, vector_size

SOURCE = "bias_act.cu"
ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")  # numbered as in bias_act.cu
PIECEWISE_LINEAR = ("linear", "relu", "lrelu")
UNROLL = (2, 1, 1)  # vectors per thread, by order of the derivative, as in bias_act.cu
MAX_AXES = 4
OUT = 3  # place of the first result among a launch's tensors
SMALL = 1 << 15  # up to this number of vectors, small blocks spread the work over more multiprocessors
NO_BIAS, ONE, VECTOR = range(3)  # the bias of 16 bytes of elements, as in bias_act.cu


def saves_output(act, alpha, gain):
    """True if the derivative needs the result only, so that the input need not be kept."""
    return act in PIECEWISE_LINEAR and gain > 0 and (act != "lrelu" or alpha >= 0)


def bias_act_launch(x, b, y, dim, act, alpha, gain, clamp):
    """Return the launch of y = clip(gain * act(x + b), -clamp, clamp).

    Args:
        x: tensor of any shape; strides are free for up to four axes (more only where neighbours merge or all is dense).
        b: `[x.shape[dim]]`, of the type of `x`, or None.
        y: result, of the shape and type of `x`, not empty, not overlapping in itself.
        dim: the axis of the bias.
        act: a name in `ACTIVATIONS`.
        alpha, gain: floats.
        clamp: float >= 0, or None.
    Raises:
        NotImplementedError: "dense only": too many axes with free strides; pass a contiguous copy.
        TypeError: there is no kernel for the type, or the tensors' types differ.
    """
    return _launch(0, (x, None, None), (y, None), b, dim, act, alpha, gain, clamp)


def bias_act_grad_launch(dy, ref, b, dx, dim, act, alpha, gain, clamp):
    """Return the launch of dx = dy * slope, the derivative of bias_act at `ref`.

    Args:
        dy, dx: as the result and the input of bias_act.
        ref: the result where `saves_output`, else the input; not read, and None if you like, for "linear" without clamp.
        b, dim, act, alpha, gain, clamp: as in `bias_act_launch`.
    """
    return _launch(1, (dy, ref, None), (dx, None), b, dim, act, alpha, gain, clamp)


def bias_act_grad2_launch(ddx, dy, ref, b, ddy, dref, dim, act, alpha, gain, clamp):
    """Return the launch of ddy = ddx * slope and dref = ddx * dy * second derivative, in one pass.

    Args:
        ddx: what the gradient with respect to dx is, in the shape of x.
        dy, ref, b, dim, act, alpha, gain, clamp: as in `bias_act_grad_launch`.
        ddy: result.
        dref: result; None for piecewise linear activations, where it is zero.
    """
    if act in PIECEWISE_LINEAR:  # no curvature: the same map as the first derivative
        if dref is not None:
            raise ValueError(f"{act} has no curvature: dref must be None")
        return bias_act_grad_launch(ddx, ref, b, ddy, dim, act, alpha, gain, clamp)
    return _launch(2, (ddx, ref, dy), (ddy, dref), b, dim, act, alpha, gain, clamp)


def _launch(order, inputs, outputs, b, dim, act, alpha, gain, clamp, wide=None):
    """The launch of a derivative of some order. wide: True forces 64-bit indices."""
    from_output = order > 0 and saves_output(act, alpha, gain)
    flat = order > 0 and act == "linear" and clamp is None  # the slope is the same everywhere
    if flat:
        inputs = (inputs[0], None, None)
    if from_output or flat or b is None:
        b, dim = None, 0
    y = outputs[0]
    tensors = (*inputs, *outputs)
    layout, aligned = [], 0
    for t in tensors:
        if t is None:
            layout.append(None)
            continue
        if t.dtype != y.dtype or t.shape != y.shape:
            raise TypeError(f"all tensors must be {y.dtype} {list(y.shape)}, one is {t.dtype} {list(t.shape)}")
        layout.append(t.stride())
        aligned |= t.data_ptr()
    bias = None
    if b is not None:
        if b.dtype != y.dtype:
            raise TypeError(f"the bias must have the type of x, {y.dtype}, not {b.dtype}")
        bias = (b.shape[0], b.stride(0), b.data_ptr() % 16 == 0)
    plan = _plan(order, act, y.dtype, tuple(y.shape), tuple(layout), dim, bias, aligned % 16 == 0, wide)
    kernel, grid, block, scalars = plan
    real = scalar_type(y.dtype)
    limit = real(-1 if clamp is None else clamp)
    arguments = (*tensors, b, real(alpha), real(gain), limit, np.int32(from_output), *scalars)
    return Launch(SOURCE, kernel, grid, block, 0, arguments)


@lru_cache(maxsize=4096)
def _plan(order, act, dtype, shape, strides, dim, bias, aligned, wide):
    """Kernel, grid, block and the arguments that depend on layout alone."""
    numel = math.prod(shape)
    axes, inner = _axes(shape, strides[OUT], dim)
    wide = numel >= 2**31 if wide is None else wide
    width = vector_size(dtype)
    channels, step, bias_aligned = bias or (1, 0, True)
    kind = _bias_kind(bias, inner, width, bias_aligned)
    sizes = [shape[a] for a in axes]
    dense = aligned and kind is not None and all(s is None or _is_dense(sizes, [s[a] for a in axes]) for s in strides)
    if not dense:
        kind = NO_BIAS if bias is None else ONE
    scalars = [np.int64(numel), np.int32(kind), np.int64(step), *_divisor(inner), *_divisor(channels)]
    name = "bias_act" if dense else "bias_act_strided"
    kernel = f"{name}<{type_name(dtype)}, {ACTIVATIONS.index(act)}, {order}, {'index64' if wide else 'index32'}>"
    if not dense:
        scalars += _strided_arguments(shape, strides, axes)
        return kernel, (ceil_div(numel, THREADS), 1, 1), (THREADS, 1, 1), tuple(scalars)
    vectors = ceil_div(numel, width)
    threads = THREADS if vectors > SMALL else 64
    return kernel, (ceil_div(vectors, threads * UNROLL[order]), 1, 1), (threads, 1, 1), tuple(scalars)


def _axes(shape, strides, dim):
    """Axes longer than 1 from the outermost to the innermost in memory, and how many elements lie inside of `dim`."""
    axes = sorted((a for a, n in enumerate(shape) if n > 1), key=lambda a: -strides[a])
    if not shape or shape[dim] == 1:
        return axes, math.prod(shape)
    inside = axes[axes.index(dim % len(shape)) + 1 :]
    return axes, math.prod(shape[a] for a in inside)


def _is_dense(sizes, strides):
    """True if the element with index i, counted with the last axis fastest, lies at offset i."""
    expected = 1
    for n, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if stride != expected:
            return False
        expected *= n
    return True


def _bias_kind(bias, inner, width, aligned):
    """How 16 bytes of elements meet the bias; None if they meet several, but not in one piece."""
    if bias is None:
        return NO_BIAS
    channels, step, _ = bias
    if channels == 1 or inner % width == 0:
        return ONE
    return VECTOR if inner == 1 and channels % width == 0 and step == 1 and aligned else None


def _divisor(n):
    """Return n and how to divide by it: i // n = i * multiplier >> shift for 0 <= i < 2**31, as shift << 32 | multiplier.

    multiplier = ceil(2**shift / n) with shift = 31 + ceil(log2(n)). It exceeds 2**shift / n by less than 1, so that the
    product exceeds i / n by less than 2**31 / 2**shift <= 1 / n, too little to reach the next whole number.
    """
    shift = 31 + (n - 1).bit_length()
    fits = n < 2**31
    return np.int64(n), np.int64((shift << 32 | ceil_div(1 << shift, n)) if fits else 0)


def _strided_arguments(shape, strides, axes):
    """Sizes of the three inner of four merged axes with their divisors; then four strides of each tensor (0 for None)."""
    present = [s for s in strides if s is not None]
    merged = []  # [size, [stride of each tensor]], outermost first
    for axis in axes:
        here = [s[axis] for s in present]
        if merged and all(outer == stride * shape[axis] for outer, stride in zip(merged[-1][1], here, strict=True)):
            merged[-1] = [merged[-1][0] * shape[axis], here]
        else:
            merged.append([shape[axis], here])
    if len(merged) > MAX_AXES:
        raise NotImplementedError("dense only")
    merged = [[1, [0] * len(present)]] * (MAX_AXES - len(merged)) + merged
    columns = iter(range(len(present)))
    arguments = [value for size, _ in merged[1:] for value in _divisor(size)]
    for s in strides:
        column = None if s is None else next(columns)
        arguments += [np.int64(0 if column is None else each[column]) for _, each in merged]
    return arguments

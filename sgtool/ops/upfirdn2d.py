"""Upsample, filter, downsample: the resampling op of StyleGAN2, and its common special cases."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from sgtool.ops import library
from sgtool.ops.choice import choose
from sgtool.ops.shapes import adjoint_padding, resampled_shape


def setup_filter(f, normalize=True, flip_filter=False, gain=1, separable=None, device="cpu"):
    """Turn a list of taps into a filter tensor for `upfirdn2d`.

    Args:
        f: taps: scalar, `[taps]` or `[height, width]`; None = the identity filter `[1]`.
        normalize: divide by the sum, so that a constant picture stays what it is.
        flip_filter: reverse the taps along every axis.
        gain: factor on the picture's values (applied as gain ** (f.ndim / 2), once per axis for 1-D filters).
        separable: True keeps a 1-D filter 1-D; False makes it the 2-D outer product; None = 1-D from 8 taps on.
        device: where the filter is to live.
    Returns:
        float32 tensor `[taps]` (used along both axes) or `[height, width]`.
    Raises:
        ValueError: `f` is empty or has more than two axes, or a 2-D filter is called separable.
    """
    f = torch.as_tensor(1 if f is None else f, dtype=torch.float32, device=device)
    if f.ndim == 0:
        f = f[None]
    if f.ndim > 2 or f.numel() == 0:
        raise ValueError(f"a filter has one or two axes and at least one tap, not the shape {list(f.shape)}")
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= 8
    if separable and f.ndim == 2:
        raise ValueError("a 2-D filter cannot be made separable")
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    return f * gain ** (f.ndim / 2)


def upfirdn2d(x, f, up=1, down=1, padding=0, flip_filter=False, gain=1, impl="auto"):
    """Pad, upsample, filter and downsample a batch of pictures.

    In this order: put up - 1 zeros after every sample; pad with zeros (negative = crop); convolve with `f * gain`,
    keeping only positions where the filter fits entirely; keep every down-th sample, starting with the first.
    StyleGAN2 (Karras et al. 2020), appendix B; the adjoint of the op is the op with up and down exchanged.

    Args:
        x: `[N, C, H, W]`, any floating type.
        f: float32 `[taps]` (used along both axes) or `[height, width]`, from `setup_filter`; None = identity.
        up, down: int or [x, y], >= 1.
        padding: int, [x, y] or [left, right, top, bottom], in pixels of the upsampled picture.
        flip_filter: False = true convolution, True = correlation.
        gain: factor on the result, once in total.
        impl: "auto", "reference" or "cuda".
    Returns:
        `[N, C, H_out, W_out]`, W_out = (W * upx + left + right - width) // downx + 1. Can be differentiated twice.
    Raises:
        ValueError: a shape, factor or padding is out of range, or the filter is larger than the padded picture.
        RuntimeError, TypeError: impl is "cuda", and the kernels cannot run, or not on such tensors.
    """
    if x.ndim != 4:
        raise ValueError(f"x must be [N, C, H, W], not {list(x.shape)}")
    if f is None:
        f = torch.ones([1, 1], dtype=torch.float32, device=x.device)
    if f.ndim not in (1, 2) or f.dtype not in (torch.float32, torch.float64) or f.requires_grad:
        raise ValueError("f must be a constant float32 or float64 filter with one or two axes; make it with setup_filter")
    if f.device != x.device:
        raise ValueError(f"x is on {x.device}, but f is on {f.device}; move one of them")
    up, down, padding = _pair(up, "up"), _pair(down, "down"), _four(padding)
    _check_size(x, f, up, padding)
    path = choose(impl, x)
    if path == "kernels" and f.dtype == torch.float64 != x.dtype:
        if impl == "cuda":
            raise TypeError(f'impl="cuda": a float64 filter needs a float64 x, not {x.dtype}')
        path = "plain"
    if path == "kernels":
        return library.upfirdn2d(x, f, up, down, padding, bool(flip_filter), float(gain))
    run = _reference if path == "reference" else _separable_or_not
    return run(x, f, up, down, padding, flip_filter, gain)


def _pair(value, name):
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in pair):
        raise ValueError(f"{name} must be a whole number >= 1 or a pair [x, y] of them, not {value}")
    return int(pair[0]), int(pair[1])


def _four(padding):
    """padding -> (left, right, top, bottom)."""
    values = [padding] if isinstance(padding, (int, np.integer)) else list(padding)
    if len(values) not in (1, 2, 4) or any(not isinstance(n, (int, np.integer)) for n in values):
        raise ValueError(f"padding must be a whole number, [x, y] or [left, right, top, bottom], not {padding}")
    if len(values) == 1:
        values *= 2
    if len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    return tuple(int(n) for n in values)


def pad_or_crop(x, padding):
    """Pad `[N, C, H, W]` with zeros by (left, right, top, bottom); negative numbers crop, also what was just padded."""
    added = [max(n, 0) for n in padding]
    x = F.pad(x, added) if any(added) else x
    left, right, top, bottom = (max(-n, 0) for n in padding)
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def _check_size(x, f, up, padding):
    height = x.shape[2] * up[1] + padding[2] + padding[3]
    width = x.shape[3] * up[0] + padding[0] + padding[1]
    if height < f.shape[0] or width < f.shape[-1]:
        raise ValueError(
            f"the filter {list(f.shape)} does not fit into the padded picture: {width} x {height} (width x height) pixels"
        )


def _reference(x, f, up, down, padding, flip_filter, gain):
    """The definition, step by step."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n * c, 1, h, 1, w, 1), [0, up[0] - 1, 0, 0, 0, up[1] - 1])
    x = pad_or_crop(x.reshape(n * c, 1, h * up[1], w * up[0]), padding)
    f = f.to(x.dtype)
    f = torch.outer(f, f) if f.ndim == 1 else f
    f = (f if flip_filter else f.flip([0, 1])) * gain
    x = F.conv2d(x, f[None, None])[:, :, :: down[1], :: down[0]]
    return x.reshape(n, c, *x.shape[2:])


def _separable_or_not(x, f, up, down, padding, flip_filter, gain):
    """One pass for a 2-D filter; for a 1-D filter one along each axis."""
    run = _depthwise if torch.compiler.is_compiling() else _Upfirdn2d.apply  # a compiler finds the gradient by itself
    if f.ndim == 2:
        return run(x, f, up, down, padding, flip_filter, gain)
    left, right, top, bottom = padding
    x = run(x, f[None, :], (up[0], 1), (down[0], 1), (left, right, 0, 0), flip_filter, gain)
    return run(x, f[:, None], (1, up[1]), (1, down[1]), (0, 0, top, bottom), flip_filter, 1)


class _Upfirdn2d(torch.autograd.Function):
    """A linear map in `x`; its backward pass is the adjoint map, which is the same op with other arguments."""

    @staticmethod
    def forward(ctx, x, f, up, down, padding, flip_filter, gain):
        y = _depthwise(x, f, up, down, padding, flip_filter, gain)
        ctx.save_for_backward(f)
        padding = adjoint_padding(x.shape, y.shape, (f.shape[1], f.shape[0]), up, down, padding)
        ctx.arguments = up, down, padding, flip_filter, gain
        return y

    @staticmethod
    def backward(ctx, dy):
        (f,) = ctx.saved_tensors
        up, down, padding, flip_filter, gain = ctx.arguments
        dx = _Upfirdn2d.apply(dy, f, down, up, padding, not flip_filter, gain)
        return dx, None, None, None, None, None, None


def _depthwise(x, f, up, down, padding, flip_filter, gain):
    """Compute by depthwise (transposed) convolution in channels-last layout, which oneDNN and cuDNN run at memory speed.

    Zero insertion never happens: upsampling is a transposed convolution with stride `up`.
    """
    if x.numel() == 0:
        return x.new_zeros(resampled_shape(x.shape, (f.shape[1], f.shape[0]), up, down, padding))
    result_type = x.dtype
    if up != (1, 1) and x.device.type == "cpu":
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # transposed, oneDNN takes 40 times as long in half precision
    x = x.contiguous(memory_format=torch.channels_last)
    f = f.to(x.dtype) * gain
    if up == (1, 1):
        return _filter_and_decimate(x, f if flip_filter else f.flip([0, 1]), down, padding)
    y = _expand_and_filter(x, f.flip([0, 1]) if flip_filter else f, up, padding)
    y = y if down == (1, 1) else y[:, :, :: down[1], :: down[0]]
    return y.to(result_type, memory_format=torch.channels_last)


def _filter_and_decimate(x, f, down, padding):
    """Correlate with `f`, keeping every down-th sample. Equal paddings on both sides cost nothing."""
    left, right, top, bottom = padding
    px, py = max(min(left, right), 0), max(min(top, bottom), 0)
    rest = (left - px, right - px, top - py, bottom - py)
    if any(rest):
        x = pad_or_crop(x, rest)
    channels = x.shape[1]
    weight = f[None, None].expand(channels, 1, *f.shape)
    return F.conv2d(x, weight, stride=(down[1], down[0]), padding=(py, px), groups=channels)


def _expand_and_filter(x, f, up, padding):
    """Convolve the zero-inserted picture with `f` by one transposed convolution.

    A transposed convolution gives the full result, (n - 1) * up + taps samples; the padded definition keeps
    those from taps - 1 - before on, and n * up + before + after - taps + 1 of them.
    """
    channels = x.shape[1]
    weight = f[None, None].expand(channels, 1, *f.shape)
    cut_x = f.shape[1] - 1 - padding[0], f.shape[1] - up[0] - padding[1]
    cut_y = f.shape[0] - 1 - padding[2], f.shape[0] - up[1] - padding[3]
    crop_x, crop_y = max(min(cut_x), 0), max(min(cut_y), 0)
    y = F.conv_transpose2d(x, weight, stride=(up[1], up[0]), padding=(crop_y, crop_x), groups=channels)
    rest = (crop_x - cut_x[0], crop_x - cut_x[1], crop_y - cut_y[0], crop_y - cut_y[1])
    return pad_or_crop(y, rest) if any(rest) else y


def filter2d(x, f, padding=0, flip_filter=False, gain=1, impl="auto"):
    """Filter pictures, keeping their size.

    Args:
        x, f, flip_filter, gain, impl: as in `upfirdn2d`.
        padding: extra padding on top of what keeps the size, as in `upfirdn2d`.
    Returns:
        `[N, C, H, W]` (plus the padding).
    """
    padding = add_padding(padding, centring_padding(f, up=1))
    return upfirdn2d(x, f, padding=padding, flip_filter=flip_filter, gain=gain, impl=impl)


def upsample2d(x, f, up=2, padding=0, flip_filter=False, gain=1, impl="auto"):
    """Upsample pictures by whole factors; values keep their scale (the gain is multiplied by the factors).

    Args:
        x, f, flip_filter, gain, impl: as in `upfirdn2d`.
        up: int or [x, y].
        padding: extra padding on top of what gives exactly `up` times the size.
    Returns:
        `[N, C, H * upy, W * upx]` (plus the padding).
    """
    factors = _pair(up, "up")
    around = add_padding(padding, centring_padding(f, up=factors))
    return upfirdn2d(x, f, factors, padding=around, gain=gain * math.prod(factors), flip_filter=flip_filter, impl=impl)


def downsample2d(x, f, down=2, padding=0, flip_filter=False, gain=1, impl="auto"):
    """Downsample pictures by whole factors.

    Args:
        x, f, flip_filter, gain, impl: as in `upfirdn2d`.
        down: int or [x, y].
        padding: extra padding on top of what gives exactly 1 / `down` of the size.
    Returns:
        `[N, C, H / downy, W / downx]` (plus the padding).
    """
    padding = add_padding(padding, centring_padding(f, down=down))
    return upfirdn2d(x, f, down=down, padding=padding, flip_filter=flip_filter, gain=gain, impl=impl)


def centring_padding(f, up=None, down=None):
    """Return the padding (left, right, top, bottom) that centres a filter when upsampling by `up` or downsampling by `down`.

    For n taps: (n + up - 1) // 2 before and (n - up) // 2 after, or (n - down + 1) // 2 before and (n - down) // 2 after.
    """
    sides = []
    for axis, taps in enumerate(_filter_size(f)):
        if up is not None:
            factor = _pair(up, "up")[axis]
            sides += [(taps + factor - 1) // 2, (taps - factor) // 2]
        else:
            factor = _pair(down, "down")[axis]
            sides += [(taps - factor + 1) // 2, (taps - factor) // 2]
    return tuple(sides)


def add_padding(padding, extra):
    """Return the sum of two paddings as (left, right, top, bottom)."""
    return tuple(a + b for a, b in zip(_four(padding), extra, strict=True))


def _filter_size(f):
    """(width, height) of a filter; the identity counts as one tap."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])

"""Convolution with resampling before or after it."""

import torch
import torch.nn.functional as F

from sgtool.ops.bias_act import bias_act
from sgtool.ops.choice import choose
from sgtool.ops.convolve import convolve
from sgtool.ops.upfirdn2d import add_padding, centring_padding, pad_or_crop, upfirdn2d


def conv2d_resample(x, w, f=None, up=1, down=1, padding=0, groups=1, flip_weight=True, flip_filter=False, b=None, impl="auto"):
    """Convolve pictures, upsampling before or downsampling after, with a filter against aliasing.

    The (virtually) upsampled picture is padded once, at the beginning: by `padding` and by what centres `f`. Then: insert
    zeros and filter with gain up ** 2 (if up > 1); convolve with `w`, no padding; filter and decimate (if down > 1).
    StyleGAN2 (Karras et al. 2020), appendix B. The fast path exchanges the linear steps so that neither convolution nor
    filter ever sees inserted zeros.

    Args:
        x: `[N, in_channels, H, W]`.
        w: `[out_channels, in_channels / groups, kernel_height, kernel_width]`, the type of `x`.
        f: filter from `setup_filter`; None counts as one tap.
        up, down: whole factors >= 1.
        padding: int, [x, y] or [left, right, top, bottom], in pixels of the upsampled picture.
        groups: groups of channels that are convolved apart.
        flip_weight: True = correlation (what torch calls convolution), False = true convolution.
        flip_filter: the same for the filter, see `upfirdn2d`.
        b: `[out_channels]`, the type of `x`, added to the result; None = no bias.
        impl: "auto", "reference" or "cuda".
    Returns:
        `[N, out_channels, H_out, W_out]`. Can be differentiated twice with respect to `x`, `w` and `b`.
    Raises:
        ValueError: `w` does not fit `x` or is on another device, or a factor is out of range.
        RuntimeError, TypeError: impl is "cuda", and the kernels cannot run, or not on such tensors.
    """
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ValueError(f"the weights {list(w.shape)} in {groups} groups do not fit x {list(x.shape)}")
    if any(not isinstance(n, int) or n < 1 for n in (up, down)):
        raise ValueError(f"up and down must be whole numbers >= 1, not {up} and {down}")
    padding = add_padding(padding, (0, 0, 0, 0))
    if up > 1:
        padding = add_padding(padding, centring_padding(f, up=up))
    if down > 1:
        padding = add_padding(padding, centring_padding(f, down=down))
    reference = choose(impl, x, w, b) == "reference"
    if reference or up > 1:
        run = _reference if reference else _up_first
        y = run(x, w, f, up, down, padding, groups, flip_weight, flip_filter, impl)
        return y if b is None else y + b[:, None, None]
    if down > 1:
        return _down_last(x, w, f, down, padding, groups, flip_weight, flip_filter, b, impl)
    return _convolve(x, w, b, padding, groups, flip_weight)


def _reference(x, w, f, up, down, padding, groups, flip_weight, flip_filter, impl):
    """The definition, step by step."""
    identity = None if up > 1 else torch.ones([1, 1], device=x.device)
    x = upfirdn2d(x, f if up > 1 else identity, up, 1, padding, flip_filter, up**2, impl)
    x = F.conv2d(x, w if flip_weight else w.flip([2, 3]), groups=groups)
    return upfirdn2d(x, f, 1, down, 0, flip_filter, 1, impl) if down > 1 else x


def _up_first(x, w, f, up, down, padding, groups, flip_weight, flip_filter, impl):
    """A transposed convolution with stride `up`, then the filter (convolutions commute), then any downsampling."""
    kernel_height, kernel_width = w.shape[2:]
    y = _transpose_convolve(x, w, up, groups, flip_weight)
    # The transposed convolution is padded by kernel - 1 before, and ends kernel - up after the last zero-inserted sample.
    padding = add_padding(padding, (1 - kernel_width, up - kernel_width, 1 - kernel_height, up - kernel_height))
    y = upfirdn2d(y, f, 1, 1, padding, flip_filter, up**2, impl)
    return upfirdn2d(y, f, 1, down, 0, flip_filter, 1, impl) if down > 1 else y


def _down_last(x, w, f, down, padding, groups, flip_weight, flip_filter, b, impl):
    """Filter, then convolve with stride `down`; a 1x1 kernel comes after the decimation."""
    decimated = down if w.shape[2:] == (1, 1) else 1
    x = upfirdn2d(x, f, 1, decimated, padding, flip_filter, 1, impl)
    return convolve(x, w if flip_weight else w.flip([2, 3]), b, down // decimated, groups=groups)


def _convolve(x, w, b, padding, groups, flip_weight):
    """Correlate; equal paddings on both sides cost nothing."""
    left, right, top, bottom = padding
    px, py = max(min(left, right), 0), max(min(top, bottom), 0)
    rest = (left - px, right - px, top - py, bottom - py)
    if any(rest):
        x = pad_or_crop(x, rest)
    return convolve(x, w if flip_weight else w.flip([2, 3]), b, 1, (py, px), groups=groups)


def _transpose_convolve(x, w, up, groups, flip_weight):
    """Convolve the zero-inserted picture with `w`, everywhere that the kernel touches a sample."""
    w = w.flip([2, 3]) if flip_weight else w
    out_channels, in_per_group, kernel_height, kernel_width = w.shape
    w = w.reshape(groups, out_channels // groups, in_per_group, kernel_height, kernel_width).transpose(1, 2)
    w = w.reshape(groups * in_per_group, out_channels // groups, kernel_height, kernel_width)
    return convolve(x, w, None, up, transposed=True, groups=groups)


def conv2d_bias_act(x, w, b, f=None, up=1, down=1, padding=0, flip_weight=True, act="linear", gain=1.0, clamp=None, impl="auto"):
    """Convolve (see `conv2d_resample`), then add a bias and activate (see `bias_act`), without copies in between.

    On a CPU the convolution adds the bias; on a GPU it goes with the activation.
    """
    inside = b is not None and x.device.type == "cpu"
    inside_b = b.to(x.dtype) if inside else None
    y = conv2d_resample(x, w, f, up, down, padding, flip_weight=flip_weight, b=inside_b, impl=impl)
    return bias_act(y, None if inside else b, act=act, gain=gain, clamp=clamp, impl=impl, overwrite=True)

"""Convolution with resampling before or after it."""

import torch
import torch.nn.functional as F

from sgtool.ops.bias_act import ACTIVATIONS, PIECEWISE_LINEAR, bias_act, slope_of
from sgtool.ops.choice import choose
from sgtool.ops.convolve import convolve, convolve_and_activate
from sgtool.ops.upfirdn2d import add_padding, centring_padding, pad_or_crop, upfirdn2d


def conv2d_resample(x, w, f=None, up=1, down=1, padding=0, groups=1, flip_weight=True, flip_filter=False, impl="auto"):
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
        impl: "auto", "reference" or "cuda".
    Returns:
        `[N, out_channels, H_out, W_out]`. Can be differentiated twice with respect to `x` and `w`.
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
    reference = choose(impl, x, w) == "reference"
    if reference or up > 1:
        run = _reference if reference else _up_first
        return run(x, w, f, up, down, padding, groups, flip_weight, flip_filter, impl)
    x, w, stride, padding = _up_to_convolution(x, w, f, down, padding, flip_weight, flip_filter, impl)
    return convolve(x, w, None, stride, padding, groups=groups)


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


def _up_to_convolution(x, w, f, down, padding, flip_weight, flip_filter, impl):
    """Do what comes before the convolution if that is last: filter (and decimate before a 1x1 kernel), or pad.

    Returns:
        x, w, stride and (y, x) padding for `convolve`; equal paddings on both sides cost nothing.
    """
    w = w if flip_weight else w.flip([2, 3])
    if down > 1:
        decimated = down if w.shape[2:] == (1, 1) else 1
        return upfirdn2d(x, f, 1, decimated, padding, flip_filter, 1, impl), w, down // decimated, (0, 0)
    left, right, top, bottom = padding
    px, py = max(min(left, right), 0), max(min(top, bottom), 0)
    rest = (left - px, right - px, top - py, bottom - py)
    return pad_or_crop(x, rest) if any(rest) else x, w, 1, (py, px)


def _transpose_convolve(x, w, up, groups, flip_weight):
    """Convolve the zero-inserted picture with `w`, everywhere that the kernel touches a sample."""
    w = w.flip([2, 3]) if flip_weight else w
    out_channels, in_per_group, kernel_height, kernel_width = w.shape
    w = w.reshape(groups, out_channels // groups, in_per_group, kernel_height, kernel_width).transpose(1, 2)
    w = w.reshape(groups * in_per_group, out_channels // groups, kernel_height, kernel_width)
    return convolve(x, w, None, up, transposed=True, groups=groups)


def conv2d_bias_act(x, w, b, f=None, up=1, down=1, padding=0, flip_weight=True, act="linear", gain=1.0, clamp=None, impl="auto"):
    """Convolve (see `conv2d_resample`), then add a bias and activate (see `bias_act`), with as few passes as there can be.

    On a CPU, where the convolution comes last, it adds the bias and activates by itself.
    """
    if up > 1 or act not in PIECEWISE_LINEAR or gain != 1 or not _is_plain_cpu(impl, x, w, b):
        y = conv2d_resample(x, w, f, up, down, padding, flip_weight=flip_weight, impl=impl)
        return bias_act(y, b, act=act, gain=gain, clamp=clamp, impl=impl, overwrite=True)
    slope = slope_of(act, ACTIVATIONS[act].alpha)
    around = add_padding(padding, centring_padding(f, down=down) if down > 1 else (0, 0, 0, 0))
    x, w, stride, around = _up_to_convolution(x, w, f, down, around, flip_weight, False, impl)
    return convolve_and_activate(x, w, None if b is None else b.to(x.dtype), stride, around, slope, clamp)


def _is_plain_cpu(impl, *tensors):
    """Whether the op is computed on a CPU, by PyTorch, as it is written here."""
    plain = choose(impl, *tensors) == "plain" and tensors[0].device.type == "cpu"
    return plain and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")

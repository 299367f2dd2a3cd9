"""Convolution with resampling, and with weights modulated by a style."""

import math

import torch
import torch.nn.functional as F

from sgtool.ops.choice import uses_reference
from sgtool.ops.upfirdn2d import add_padding, centring_padding, pad_or_crop, upfirdn2d

EPSILON = 1e-8  # added to a sum of squares before its inverse root


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
        ValueError: `w` does not fit `x`, or a factor is out of range.
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
    if uses_reference(impl):
        return _reference(x, w, f, up, down, padding, groups, flip_weight, flip_filter)
    if up > 1:
        return _up_first(x, w, f, up, down, padding, groups, flip_weight, flip_filter)
    if down > 1:
        return _down_last(x, w, f, down, padding, groups, flip_weight, flip_filter)
    return _convolve(x, w, padding=padding, groups=groups, flip_weight=flip_weight)


def _reference(x, w, f, up, down, padding, groups, flip_weight, flip_filter):
    """The definition, step by step."""
    identity = None if up > 1 else torch.ones([1, 1], device=x.device)
    x = upfirdn2d(x, f if up > 1 else identity, up, 1, padding, flip_filter, up**2, impl="reference")
    x = F.conv2d(x, w if flip_weight else w.flip([2, 3]), groups=groups)
    return upfirdn2d(x, f, 1, down, 0, flip_filter, impl="reference") if down > 1 else x


def _up_first(x, w, f, up, down, padding, groups, flip_weight, flip_filter):
    """A transposed convolution with stride `up`, then the filter (convolutions commute), then any downsampling."""
    kernel_height, kernel_width = w.shape[2:]
    y = _transpose_convolve(x, w, up, groups, flip_weight)
    # The transposed convolution is padded by kernel - 1 before, and ends kernel - up after the last zero-inserted sample.
    padding = add_padding(padding, (1 - kernel_width, up - kernel_width, 1 - kernel_height, up - kernel_height))
    y = upfirdn2d(y, f, 1, 1, padding, flip_filter, up**2)
    return upfirdn2d(y, f, 1, down, 0, flip_filter) if down > 1 else y


def _down_last(x, w, f, down, padding, groups, flip_weight, flip_filter):
    """Filter, then convolve with stride `down`; a 1x1 kernel comes after the decimation."""
    if w.shape[2:] == (1, 1):
        return _convolve(upfirdn2d(x, f, 1, down, padding, flip_filter), w, groups=groups, flip_weight=flip_weight)
    x = upfirdn2d(x, f, 1, 1, padding, flip_filter)
    return _convolve(x, w, stride=down, groups=groups, flip_weight=flip_weight)


def _convolve(x, w, stride=1, padding=(0, 0, 0, 0), groups=1, flip_weight=True):
    left, right, top, bottom = padding
    px, py = max(min(left, right), 0), max(min(top, bottom), 0)
    rest = (left - px, right - px, top - py, bottom - py)
    if any(rest):
        x = pad_or_crop(x, rest)
    return F.conv2d(x, w if flip_weight else w.flip([2, 3]), stride=stride, padding=(py, px), groups=groups)


def _transpose_convolve(x, w, up, groups, flip_weight):
    """Convolve the zero-inserted picture with `w`, everywhere that the kernel touches a sample."""
    w = w.flip([2, 3]) if flip_weight else w
    out_channels, in_per_group, kernel_height, kernel_width = w.shape
    w = w.reshape(groups, out_channels // groups, in_per_group, kernel_height, kernel_width).transpose(1, 2)
    w = w.reshape(groups * in_per_group, out_channels // groups, kernel_height, kernel_width)
    return F.conv_transpose2d(x, w, stride=up, groups=groups)


def modulated_conv2d(
    x,
    weight,
    styles,
    noise=None,
    up=1,
    down=1,
    padding=0,
    resample_filter=None,
    demodulate=True,
    flip_weight=True,
    gain=1.0,
    impl="auto",
):
    """Convolve each sample with weights that are scaled by its style.

    Per sample, w'[o, i] = weight[o, i] * styles[i]; with demodulation w''[o] = w'[o] / sqrt(sum over i and kernel of
    w'[o] ** 2 + 1e-8). StyleGAN2 (Karras et al. 2020), section 2.2, equations 1 to 3. Scaling the input by the style and
    the output by the demodulation factor is equal and needs one convolution for the whole batch.

    Args:
        x: `[N, in_channels, H, W]`.
        weight: `[out_channels, in_channels, kernel_height, kernel_width]`, without any gain.
        styles: `[N, in_channels]`.
        noise: added after demodulation; anything that broadcasts to the result, such as `[H, W]` or `[N, 1, H, W]`.
        up, down, padding, flip_weight: as in `conv2d_resample`.
        resample_filter: its filter `f`.
        demodulate: False for ToRGB layers.
        gain: factor on the convolution's result, before the noise is added.
        impl: "auto", "reference" or "cuda".
    Returns:
        `[N, out_channels, H_out, W_out]`. Can be differentiated twice.
    Raises:
        ValueError: the shapes do not fit one another.
    """
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[1] != x.shape[1] or tuple(styles.shape) != tuple(x.shape[:2]):
        raise ValueError(f"x {list(x.shape)}, weight {list(weight.shape)} and styles {list(styles.shape)} do not fit together")
    resampling = {"f": resample_filter, "up": up, "down": down, "padding": padding, "flip_weight": flip_weight, "impl": impl}
    if uses_reference(impl):
        y = _modulated_reference(x, weight, styles, demodulate, resampling) * gain
        return y if noise is None else y + noise.to(y.dtype)
    if x.dtype == torch.float16 and demodulate:
        weight, styles = _prescale(weight, styles)

    if not demodulate:
        weight = weight * gain if gain != 1 else weight
    y = conv2d_resample(x * styles.to(x.dtype)[:, :, None, None], weight.to(x.dtype), **resampling)
    if not demodulate:
        return y if noise is None else y + noise.to(y.dtype)
    squares = weight.square().sum([2, 3])  # [out, in]
    factors = (styles.square() @ squares.t() + EPSILON).rsqrt() * gain  # [N, out]
    factors = factors.to(y.dtype)[:, :, None, None]
    return y * factors if noise is None else torch.addcmul(noise.to(y.dtype), y, factors)


def _modulated_reference(x, weight, styles, demodulate, resampling):
    """The definition: weights of its own for each sample."""
    samples = []
    for sample, style in zip(x, styles, strict=True):
        w = weight * style[None, :, None, None]
        if demodulate:
            w = w * (w.square().sum([1, 2, 3], keepdim=True) + EPSILON).rsqrt()
        samples.append(conv2d_resample(sample[None], w.to(x.dtype), **resampling))
    return torch.cat(samples)


def _prescale(weight, styles):
    """Bring weights and styles to magnitudes that cannot overflow float16; demodulation cancels the factors.

    StyleGAN2-ADA (Karras et al. 2020), appendix D.
    """
    fan_in = math.prod(weight.shape[1:])
    weight = weight / (math.sqrt(fan_in) * weight.detach().abs().amax([1, 2, 3], keepdim=True).clamp(min=1e-30))
    return weight, styles / styles.detach().abs().amax(1, keepdim=True).clamp(min=1e-30)

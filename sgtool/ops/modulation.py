"""Convolution with weights that a style modulates."""

import math

import torch

from sgtool.ops.choice import choose
from sgtool.ops.convolution import conv2d_resample

EPSILON = 1e-8  # added to a sum of squares before its inverse root


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
        ValueError: the shapes do not fit one another, or the tensors are on two devices.
        RuntimeError, TypeError: impl is "cuda", and the kernels cannot run, or not on such tensors.
    """
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[1] != x.shape[1] or tuple(styles.shape) != tuple(x.shape[:2]):
        raise ValueError(f"x {list(x.shape)}, weight {list(weight.shape)} and styles {list(styles.shape)} do not fit together")
    resampling = {"f": resample_filter, "up": up, "down": down, "padding": padding, "flip_weight": flip_weight, "impl": impl}
    if choose(impl, x, weight, styles, noise) == "reference":
        y = _modulated_reference(x, weight, styles, demodulate, resampling) * gain
        return y if noise is None else y + noise.to(y.dtype)
    if noise is not None:
        noise = noise.to(x.dtype)
    if not demodulate:
        y = conv2d_resample(scale_maps(x, styles.to(x.dtype)), (weight * gain).to(x.dtype), **resampling)
        return y if noise is None else y + noise
    if x.dtype == torch.float16:
        weight, styles = _prescale(weight, styles)
    y = conv2d_resample(scale_maps(x, styles.to(x.dtype)), weight.to(x.dtype), **resampling)
    factors = (styles.square() @ kernel_squares(weight).t() + EPSILON).rsqrt() * gain  # [N, out]
    return scale_maps(y, factors.to(y.dtype), noise)


def scale_maps(x, factors, noise=None):
    """Scale the feature maps of each sample, and add noise.

    Args:
        x: `[N, C, H, W]`.
        factors: `[N, C]`, the type of `x`.
        noise: anything that broadcasts to `x`, or None.
    Returns:
        `[N, C, H, W]`, x * factors + noise. Can be differentiated any number of times.
    """
    if torch.compiler.is_compiling():
        y = x * factors[:, :, None, None]
        return y if noise is None else y + noise
    return _ScaleMaps.apply(x, factors, noise)


class _ScaleMaps(torch.autograd.Function):
    """x * factors + noise, with no more passes over the maps than it takes."""

    @staticmethod
    def forward(ctx, x, factors, noise):
        ctx.save_for_backward(x, factors)
        ctx.noise_shape = None if noise is None else noise.shape
        factors = factors[:, :, None, None]
        return x * factors if noise is None else torch.addcmul(noise, x, factors)

    @staticmethod
    def backward(ctx, dy):
        x, factors = ctx.saved_tensors
        dx = _ScaleMaps.apply(dy, factors, None) if ctx.needs_input_grad[0] else None
        dfactors = (dy * x).sum([2, 3]) if ctx.needs_input_grad[1] else None
        dnoise = dy.sum_to_size(ctx.noise_shape) if ctx.needs_input_grad[2] else None
        return dx, dfactors, dnoise


def kernel_squares(weight):
    """Sum the squares of each kernel: `[out, in, kernel_height, kernel_width]` to `[out, in]`."""
    return weight.square().sum([2, 3]) if torch.compiler.is_compiling() else _KernelSquares.apply(weight)


class _KernelSquares(torch.autograd.Function):
    """Its gradient takes one pass over the weights."""

    @staticmethod
    def forward(ctx, weight):
        ctx.save_for_backward(weight)
        return weight.square().sum([2, 3])

    @staticmethod
    def backward(ctx, dy):
        (weight,) = ctx.saved_tensors
        return weight * (2 * dy)[:, :, None, None]


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

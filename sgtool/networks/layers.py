"""Layers with equalized learning rate: the scale of He initialization is applied at run time, not in the weights.

Progressive GAN (Karras et al. 2018), section 4.1. A learning rate multiplier m makes the weights 1/m times as large and the
run-time factor m times as large, so that Adam moves the effective weight m times as slowly (StyleGAN, appendix C).
"""

import math

import torch
from torch import nn

from sgtool.ops import ACTIVATIONS, PIECEWISE_LINEAR, bias_act, conv2d_bias_act, modulated_conv2d, setup_filter

PRECISIONS = {"auto": None, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def set_precision(network, precision):
    """Choose the type in which the blocks of the top `num_fp16_res` resolutions compute.

    Args:
        network: a Generator or Discriminator (or a part of one).
        precision: "auto" (float16 on CUDA, float32 elsewhere), "fp32", "fp16" or "bf16".
    Raises:
        ValueError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    for module in network.modules():
        if isinstance(module, Block):
            module.half_type = PRECISIONS[precision]


class Block(nn.Module):
    """A stage of one resolution, which may compute in half precision."""

    def __init__(self, use_fp16):
        super().__init__()
        self.use_fp16 = use_fp16
        self.half_type = None  # None: float16 on CUDA, float32 elsewhere

    def compute_type(self, device):
        """The type of this block's activations on `device`; a network made float64 by `.double()` is that throughout."""
        full = full_type(self.resample_filter)
        if not self.use_fp16 or full == torch.float64:
            return full
        return self.half_type or (torch.float16 if device.type == "cuda" else full)


def full_type(tensor):
    """Full precision for what is in the type of `tensor`: float64 for float64, else float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def prefer_layout(x, dtype):
    """Bring `[N, C, H, W]` to `dtype` and to channels-last, which oneDNN and tensor cores want."""
    return x.to(dtype=dtype, memory_format=torch.channels_last)


def draw(*size, divisor=1.0):
    """Draw normal numbers / divisor, `[*size]`; in a network without memory (device "meta") there is a shape only.

    There, drawing and dividing would do nothing but import the large parts of torch that describe these operations.
    """
    numbers = torch.empty(size)
    return numbers if numbers.is_meta else numbers.normal_().div_(divisor)


def _kernels(out_channels, in_channels, size, up):
    """Draw weights `[out_channels, in_channels, size, size]`, in the order in memory that saves the convolution a copy of them.

    That is channels-last, as for pictures, but not where a transposed convolution upsamples.
    """
    weights = draw(out_channels, in_channels, size, size)
    return nn.Parameter(weights if up > 1 else weights.contiguous(memory_format=torch.channels_last))


def split_gain(activation, gain, clamp):
    """Share out the gain of a layer, and scale its clamp.

    relu and lrelu with a positive gain let it through, act(g * x) = g * act(x): there it goes on the weights and the bias,
    which are small, instead of on the activations.

    Args:
        activation: name in `ACTIVATIONS`.
        gain: on top of the activation's own.
        clamp: limit at gain 1, None = none.
    Returns:
        (gain on weights and bias, gain after the activation, clamp).
    """
    clamp = None if clamp is None else clamp * gain
    gain = ACTIVATIONS[activation].gain * gain
    return (gain, 1.0, clamp) if activation in PIECEWISE_LINEAR and gain > 0 else (1.0, gain, clamp)


def normalize_second_moment(x):
    """Scale each row of `[N, C]` to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnectedLayer(nn.Module):
    """Linear layer, bias and activation: `[N, in_features]` to `[N, out_features]`."""

    def __init__(self, in_features, out_features, activation="linear", lr_multiplier=1.0, bias_init=0.0):
        super().__init__()
        self.weight = nn.Parameter(draw(out_features, in_features, divisor=lr_multiplier))
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.activation = activation
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        x = torch.addmm(bias, x, weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        return x if self.activation == "linear" else bias_act(x, act=self.activation, overwrite=True)


class Conv2dLayer(nn.Module):
    """Convolution with resampling, bias and activation: `[N, in_channels, H, W]` to `[N, out_channels, H', W']`.

    Its learning rate gain is 1 / sqrt(fan-in). `clamp` limits the output's magnitude (None = no limit).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        bias=True,
        activation="linear",
        up=1,
        down=1,
        resample_filter=(1, 3, 3, 1),
        conv_clamp=None,
    ):
        super().__init__()
        self.up, self.down, self.activation, self.conv_clamp = up, down, activation, conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.weight = _kernels(out_channels, in_channels, kernel_size, up)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", setup_filter(resample_filter))

    def forward(self, x, gain=1.0):
        """`gain` multiplies the result; the clamp scales with it."""
        inside, after, clamp = split_gain(self.activation, gain, self.conv_clamp)
        weight = (self.weight * (self.weight_gain * inside)).to(x.dtype)
        bias = None if self.bias is None else self.bias * inside
        resampling = {"f": self.resample_filter, "up": self.up, "down": self.down, "padding": self.padding}
        activation = {"act": self.activation, "gain": after, "clamp": clamp}
        return conv2d_bias_act(x, weight, bias, **resampling, flip_weight=self.up == 1, **activation)


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias and activation. StyleGAN2 (Karras et al. 2020), figure 2d.

    Args:
        in_channels, out_channels: feature maps.
        w_dim: width of the style input.
        height, width: size of the result in pixels.
        up: upsampling factor, 1 or 2.
        use_noise: add noise, scaled by one learned strength.
        conv_clamp: limit of the result's magnitude, None = no limit.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        w_dim,
        height,
        width,
        kernel_size=3,
        up=1,
        use_noise=True,
        activation="lrelu",
        resample_filter=(1, 3, 3, 1),
        conv_clamp=None,
    ):
        super().__init__()
        self.up, self.activation, self.use_noise, self.conv_clamp = up, activation, use_noise, conv_clamp
        self.padding = kernel_size // 2
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = _kernels(out_channels, in_channels, kernel_size, up)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        self.noise_shape = [height, width]
        if use_noise:
            self.register_buffer("noise_const", draw(height, width))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x, w, noise_mode="random", gain=1.0):
        """x `[N, in_channels, H, W]`, w `[N, w_dim]`; `gain` multiplies the result and its clamp."""
        inside, after, clamp = split_gain(self.activation, gain, self.conv_clamp)
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=self._noise(x, noise_mode, inside),
            up=self.up,
            padding=self.padding,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,
            gain=inside,
        )
        return bias_act(x, self.bias * inside, act=self.activation, gain=after, clamp=clamp, overwrite=True)

    def _noise(self, x, noise_mode, gain):
        if not self.use_noise or noise_mode == "none":
            return None
        strength = self.noise_strength * gain
        if noise_mode == "const":
            return self.noise_const * strength
        if callable(noise_mode):
            return noise_mode(*self.noise_shape) * strength
        return torch.randn([x.shape[0], 1, *self.noise_shape], device=x.device) * strength


class ToRGBLayer(nn.Module):
    """Features to picture channels by a modulated 1x1 convolution, not demodulated, with a bias and no activation."""

    def __init__(self, in_channels, out_channels, w_dim, kernel_size=1, conv_clamp=None):
        super().__init__()
        self.conv_clamp, self.padding = conv_clamp, kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(draw(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x, w):
        """x `[N, in_channels, H, W]`, w `[N, w_dim]` to `[N, out_channels, H, W]`."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, padding=self.padding, demodulate=False)
        return bias_act(x, self.bias, clamp=self.conv_clamp, overwrite=True)


class MinibatchStdLayer(nn.Module):
    """Append feature maps that tell D how much the samples of a group differ. Progressive GAN, section 3.

    Args:
        group_size: samples in a group; None = the whole batch.
        num_channels: how many maps are appended; the features are split among them.
    """

    def __init__(self, group_size, num_channels=1):
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x, parts=1):
        """`[N, C, H, W]` to `[N, C + num_channels, H, W]`; sample i belongs to group i mod (N / group size).

        With `parts` the batch is that many batches one after the other, and no group has members in two of them.
        """
        samples, channels, height, width = x.shape
        together = samples // parts
        size = together if self.group_size is None else min(self.group_size, together)
        if samples % parts or together % size:
            raise ValueError(f"a batch of {together} cannot be split into minibatch-std groups of {size}")
        groups, maps = together // size, self.num_channels
        y = x.reshape(parts, size, groups, maps, channels // maps, height, width).to(full_type(x))
        variance = (y - y.mean(dim=1, keepdim=True)).square().mean(dim=1)  # torch.var is slow along an early axis
        deviation = (variance + 1e-8).sqrt()  # [parts, groups, maps, C / maps, H, W]
        statistics = deviation.mean(dim=[3, 4, 5]).to(x.dtype)  # [parts, groups, maps]
        statistics = statistics[:, None].expand(-1, size, -1, -1).reshape(samples, maps, 1, 1)
        return torch.cat([x, statistics.expand(-1, -1, height, width)], dim=1)


def match_label(features, cmap):
    """Project features on the embedded label: sum of products / sqrt(width), `[N, 1]`. Miyato & Koyama 2018."""
    return (features * cmap).sum(dim=1, keepdim=True) / math.sqrt(cmap.shape[1])


def freeze(*modules):
    """Take the parameters of `modules` out of training."""
    for module in modules:
        module.requires_grad_(False)

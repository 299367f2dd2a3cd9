"""StyleGAN2 (Karras et al. 2020) as StyleGAN2-ADA trains it. Parameter names are those of stylegan2-ada-pytorch."""

import math

import torch
from torch import nn

from sgtool.networks.layers import (
    Block,
    Conv2dLayer,
    FullyConnectedLayer,
    MinibatchStdLayer,
    SynthesisLayer,
    ToRGBLayer,
    draw,
    freeze,
    full_type,
    match_label,
    normalize_second_moment,
    prefer_layout,
)
from sgtool.networks.shapes import PictureShape
from sgtool.ops import downsample2d, setup_filter, upsample2d

NOISE_MODES = ("random", "const", "none")
SQRT_HALF = math.sqrt(0.5)  # keeps the variance of a sum of two branches


class MappingNetwork(nn.Module):
    """Latents and labels to style inputs: z, c to ws. StyleGAN (Karras et al. 2019), section 2.

    z and the embedded label are normalized apart and concatenated; then `num_layers` fully connected layers.

    Args:
        z_dim: width of the latent; 0 = none (the label map of a conditional discriminator).
        c_dim: width of the label; 0 = none.
        w_dim: width of the result.
        num_ws: how many times w is repeated; None = not at all.
        num_layers: fully connected layers.
        embed_features, layer_features: widths of the embedded label and the hidden layers; None = w_dim.
        lr_multiplier: of all layers but the embedding.
        w_avg_beta: decay of the running mean of w; None = no running mean.
    """

    def __init__(
        self,
        z_dim,
        c_dim,
        w_dim,
        num_ws,
        num_layers=8,
        embed_features=None,
        layer_features=None,
        activation="lrelu",
        lr_multiplier=0.01,
        w_avg_beta=0.995,
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        embedded = 0
        if c_dim > 0:
            embedded = w_dim if embed_features is None else embed_features
            self.embed = FullyConnectedLayer(c_dim, embedded)
        hidden = w_dim if layer_features is None else layer_features
        widths = [z_dim + embedded] + [hidden] * (num_layers - 1) + [w_dim]
        for i in range(num_layers):
            layer = FullyConnectedLayer(widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier)
            setattr(self, f"fc{i}", layer)
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z, c=None, truncation_psi=1, truncation_cutoff=None, update_w_avg=False):
        """Map latents to style inputs.

        Args:
            z: `[N, z_dim]`, unit Gaussian (None if z_dim is 0).
            c: `[N, c_dim]` labels (None if c_dim is 0).
            truncation_psi: w = w_avg + psi * (w - w_avg); 1 = as is, 0 = w_avg.
            truncation_cutoff: number of leading rows to truncate; None = all.
            update_w_avg: move the running mean towards the batch's mean by 1 - w_avg_beta.
        Returns:
            `[N, num_ws, w_dim]`, or `[N, w_dim]` if num_ws is None.
        Raises:
            ValueError: z or c has the wrong shape, or the cutoff is outside [0, num_ws].
        """
        w = self._input(z, c)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if update_w_avg and self.w_avg_beta is not None:
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is None:
            return w
        ws = w[:, None].expand(-1, self.num_ws, -1)
        return ws if truncation_psi == 1 else self._truncate(ws, truncation_psi, truncation_cutoff)

    def _input(self, z, c):
        parts, full = [], full_type(next(self.parameters(), z))
        if self.z_dim > 0:
            _check_rows("z", z, self.z_dim)
            parts.append(normalize_second_moment(z.to(full)))
        if self.c_dim > 0:
            _check_rows("c", c, self.c_dim)
            parts.append(normalize_second_moment(self.embed(c.to(full))))
        return torch.cat(parts, dim=1)

    def _truncate(self, ws, psi, cutoff):
        cutoff = self.num_ws if cutoff is None else cutoff
        if not 0 <= cutoff <= self.num_ws:
            raise ValueError(f"truncation_cutoff must be from 0 to {self.num_ws}, not {cutoff}")
        near = self.w_avg.lerp(ws[:, :cutoff], psi)
        return torch.cat([near, ws[:, cutoff:]], dim=1)


def _check_rows(name, value, width):
    if value is None or value.ndim != 2 or value.shape[1] != width:
        shape = None if value is None else list(value.shape)
        raise ValueError(f"{name} must be [N, {width}], not {shape}")


class SynthesisBlock(Block):
    """One resolution of the generator: (upsampling) convolution, convolution, ToRGB.

    Args:
        in_channels: 0 makes it the first block, which starts from a learned constant.
        out_channels, w_dim, img_channels: as they say.
        level: the block's size (`shapes.Level`).
        is_last: the last block has a ToRGB in every architecture.
        architecture: "skip", "resnet" or "orig" (StyleGAN2, figure 7).
        conv_clamp: limit of the magnitude of activations; None = no limit.
        use_fp16: may compute in half precision.
        layer_kwargs: of `SynthesisLayer`.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        w_dim,
        level,
        img_channels,
        is_last,
        architecture="skip",
        resample_filter=(1, 3, 3, 1),
        conv_clamp=None,
        use_fp16=False,
        **layer_kwargs,
    ):
        super().__init__(use_fp16)
        self.is_first, self.is_resnet = in_channels == 0, architecture == "resnet"
        self.has_torgb = is_last or architecture == "skip"
        self.num_conv = 1 if self.is_first else 2
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        size = {"w_dim": w_dim, "height": level.height, "width": level.width, "conv_clamp": conv_clamp, **layer_kwargs}
        if self.is_first:
            self.const = nn.Parameter(draw(out_channels, level.height, level.width))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, up=2, resample_filter=resample_filter, **size)
        self.conv1 = SynthesisLayer(out_channels, out_channels, **size)
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp=conv_clamp)
        if self.is_resnet and not self.is_first:
            self.skip = Conv2dLayer(in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter)

    def forward(self, x, img, ws, noise_mode):
        """x: features of the block before (None in the first); img: picture so far (or None); ws: list of `[N, w_dim]`."""
        dtype = self.compute_type(ws[0].device)
        if self.is_first:
            x = prefer_layout(self.const.expand(ws[0].shape[0], -1, -1, -1), dtype)
            x = self.conv1(x, ws[0], noise_mode)
        elif self.is_resnet:
            x = prefer_layout(x, dtype)
            shortcut = self.skip(x, gain=SQRT_HALF)
            x = self.conv0(x, ws[0], noise_mode)
            x = shortcut.add_(self.conv1(x, ws[1], noise_mode, gain=SQRT_HALF))
        else:
            x = self.conv0(prefer_layout(x, dtype), ws[0], noise_mode)
            x = self.conv1(x, ws[1], noise_mode)
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.has_torgb:
            rgb = self.torgb(x, ws[self.num_conv])
            rgb = rgb.to(full_type(rgb))
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nn.Module):
    """Style inputs to pictures.

    Args:
        w_dim: width of a style input.
        img_resolution: int or (height, width).
        img_channels: channels of the picture.
        channel_base, channel_max: a block of resolution R has min(channel_base / R, channel_max) feature maps.
        num_fp16_res: how many of the highest resolutions may compute in half precision.
        channels: feature maps of each block, smallest first, for networks that follow another rule; None = the one above.
        block_kwargs: of `SynthesisBlock`.
    """

    def __init__(
        self,
        w_dim,
        img_resolution,
        img_channels,
        channel_base=32768,
        channel_max=512,
        num_fp16_res=0,
        channels=None,
        **block_kwargs,
    ):
        super().__init__()
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        shape = PictureShape.of(img_resolution)
        half_from = shape.half_precision_from(num_fp16_res)
        self.block_names, before, self.num_ws = [], 0, 0
        for level, width in zip(shape.levels, shape.channels(channel_base, channel_max, channels), strict=True):
            block = SynthesisBlock(
                before,
                width,
                w_dim,
                level,
                img_channels,
                is_last=level == shape.levels[-1],
                use_fp16=level.resolution >= half_from and num_fp16_res > 0,
                **block_kwargs,
            )
            before = width
            self.num_ws += block.num_conv
            self.block_names.append(f"b{level.resolution}")
            setattr(self, self.block_names[-1], block)
        self.num_ws += 1  # the last ToRGB has a style input of its own

    @property
    def noise_shapes(self):
        """(height, width) of the noise of each layer that has some, in the order in which they are computed."""
        layers = [layer for name in self.block_names for layer in getattr(self, name).modules()]
        return [tuple(layer.noise_shape) for layer in layers if isinstance(layer, SynthesisLayer) and layer.use_noise]

    def forward(self, ws, noise_mode="random"):
        """Render pictures.

        Args:
            ws: `[N, num_ws, w_dim]`. A block takes one row for each convolution; its ToRGB shares the next block's first.
            noise_mode: "random" (drawn anew), "const" (the stored maps) or "none"; or a function of height and width that is
                called for each layer in turn and gives its noise, `[N, 1, height, width]`.
        Returns:
            `[N, img_channels, H, W]` float32, nominally in [-1, 1].
        Raises:
            ValueError: `ws` has the wrong shape, or `noise_mode` is unknown.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], not {list(ws.shape)}")
        if noise_mode not in NOISE_MODES and not callable(noise_mode):
            raise ValueError(f"noise_mode must be one of {', '.join(NOISE_MODES)}, not {noise_mode!r}")
        rows = ws.to(full_type(self.b4.conv1.bias)).unbind(dim=1)
        x = img = None
        first = 0
        for name in self.block_names:
            block = getattr(self, name)
            x, img = block(x, img, rows[first : first + block.num_conv + 1], noise_mode)
            first += block.num_conv
        return img


class Generator(nn.Module):
    """G = synthesis(mapping(z, c)). Keywords are spelled as in stylegan2-ada-pytorch; see `build_generator`.

    Args:
        z_dim, c_dim, w_dim: widths of latent, label (0 = unconditional) and style input.
        img_resolution: int or (height, width), k * 2**n each.
        img_channels: channels of the picture.
        mapping_kwargs, synthesis_kwargs: of `MappingNetwork` and `SynthesisNetwork`.
    """

    def __init__(self, z_dim, c_dim, w_dim, img_resolution, img_channels, mapping_kwargs=None, synthesis_kwargs=None):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **(synthesis_kwargs or {}))
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **(mapping_kwargs or {}))

    def forward(self, z, c=None, truncation_psi=1, truncation_cutoff=None, noise_mode="random"):
        """z `[N, z_dim]`, c `[N, c_dim]` (None if c_dim is 0) to `[N, img_channels, H, W]`, nominally in [-1, 1]."""
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise_mode=noise_mode)


class DiscriminatorBlock(Block):
    """One resolution of the discriminator: (FromRGB), convolution, downsampling convolution, (shortcut).

    Args:
        in_channels: feature maps from the block before; 0 makes it the first block.
        channels, out_channels: feature maps inside and after.
        img_channels: channels of the picture.
        architecture: "resnet", "skip" or "orig" (StyleGAN2, figure 7).
        conv_clamp: limit of the magnitude of activations; None = no limit.
        use_fp16: may compute in half precision.
    """

    def __init__(
        self,
        in_channels,
        channels,
        out_channels,
        img_channels,
        architecture="resnet",
        activation="lrelu",
        resample_filter=(1, 3, 3, 1),
        conv_clamp=None,
        use_fp16=False,
    ):
        super().__init__(use_fp16)
        self.is_resnet, self.is_skip = architecture == "resnet", architecture == "skip"
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        shared = {"activation": activation, "conv_clamp": conv_clamp}
        self.has_fromrgb = in_channels == 0 or self.is_skip
        if self.has_fromrgb:
            self.fromrgb = Conv2dLayer(img_channels, channels, 1, **shared)
        self.conv0 = Conv2dLayer(channels, channels, 3, **shared)
        self.conv1 = Conv2dLayer(channels, out_channels, 3, down=2, resample_filter=resample_filter, **shared)
        if self.is_resnet:
            self.skip = Conv2dLayer(channels, out_channels, 1, bias=False, down=2, resample_filter=resample_filter)

    def layers(self):
        """The layers in the order in which `freeze_layers` counts them."""
        names = ("fromrgb", "conv0", "conv1", "skip")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def forward(self, x, img):
        """x: features of the block before (or None); img: the picture at this size (or None). Returns both for the next."""
        dtype = self.compute_type((img if x is None else x).device)
        x = None if x is None else prefer_layout(x, dtype)
        if self.has_fromrgb:
            y = self.fromrgb(prefer_layout(img, dtype))
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.is_skip else None
        if not self.is_resnet:
            return self.conv1(self.conv0(x)), img
        shortcut = self.skip(x, gain=SQRT_HALF)
        return shortcut.add_(self.conv1(self.conv0(x), gain=SQRT_HALF)), img


class DiscriminatorEpilogue(nn.Module):
    """The last stage: minibatch standard deviation, convolution, two fully connected layers; labels by projection."""

    def __init__(
        self,
        in_channels,
        cmap_dim,
        level,
        img_channels,
        architecture="resnet",
        mbstd_group_size=4,
        mbstd_num_channels=1,
        activation="lrelu",
        conv_clamp=None,
    ):
        super().__init__()
        self.is_skip, self.cmap_dim = architecture == "skip", cmap_dim
        if self.is_skip:
            self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, activation=activation)
        self.mbstd = MinibatchStdLayer(mbstd_group_size, mbstd_num_channels) if mbstd_num_channels > 0 else None
        self.conv = Conv2dLayer(in_channels + mbstd_num_channels, in_channels, 3, activation=activation, conv_clamp=conv_clamp)
        self.fc = FullyConnectedLayer(in_channels * level.height * level.width, in_channels, activation=activation)
        self.out = FullyConnectedLayer(in_channels, max(cmap_dim, 1))

    def forward(self, x, img, cmap, parts=1):
        """Features (and the picture in "skip") and the mapped label (or None) to logits `[N, 1]`; parts as in `mbstd`."""
        x = x.to(full_type(x))
        if self.is_skip:
            x = x + self.fromrgb(prefer_layout(img, x.dtype))
        if self.mbstd is not None:
            x = self.mbstd(x, parts)
        x = self.fc(self.conv(x).flatten(start_dim=1))
        x = self.out(x)
        return x if cmap is None else match_label(x, cmap)


class Discriminator(nn.Module):
    """Pictures (and labels) to logits: high = real. Keywords are spelled as in stylegan2-ada-pytorch.

    Args:
        c_dim: width of the label; 0 = unconditional.
        img_resolution: int or (height, width).
        img_channels: channels of the picture.
        architecture: "resnet", "skip" or "orig".
        channel_base, channel_max: a block of resolution R has min(channel_base / R, channel_max) feature maps.
        num_fp16_res: how many of the highest resolutions may compute in half precision.
        conv_clamp: limit of the magnitude of activations; None = no limit.
        cmap_dim: width of the mapped label; None = the feature maps of the last block.
        block_kwargs: `activation`, `resample_filter` of `DiscriminatorBlock`, and `freeze_layers`: how many layers,
            counted from the picture, are not trained (Freeze-D, Mo et al. 2020).
        mapping_kwargs: of the label's `MappingNetwork`.
        epilogue_kwargs: `mbstd_group_size`, `mbstd_num_channels`, `activation` of `DiscriminatorEpilogue`.
        channels: feature maps of each block, smallest first, for networks that follow another rule; None = the one above.
    """

    def __init__(
        self,
        c_dim,
        img_resolution,
        img_channels,
        architecture="resnet",
        channel_base=32768,
        channel_max=512,
        num_fp16_res=0,
        conv_clamp=None,
        cmap_dim=None,
        block_kwargs=None,
        mapping_kwargs=None,
        epilogue_kwargs=None,
        channels=None,
    ):
        super().__init__()
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        shape = PictureShape.of(img_resolution)
        half_from = shape.half_precision_from(num_fp16_res)
        shared = {"img_channels": img_channels, "architecture": architecture, "conv_clamp": conv_clamp}
        block_kwargs = dict(block_kwargs or {})
        freeze_layers = block_kwargs.pop("freeze_layers", 0)
        widths = shape.channels(channel_base, channel_max, channels)
        self.block_names, before = [], 0
        for k in range(shape.doublings, 0, -1):
            resolution = shape.levels[k].resolution
            use_fp16 = num_fp16_res > 0 and resolution >= half_from
            block = DiscriminatorBlock(before, widths[k], widths[k - 1], use_fp16=use_fp16, **shared, **block_kwargs)
            before = widths[k - 1]
            self.block_names.append(f"b{resolution}")
            setattr(self, self.block_names[-1], block)
        freeze(*[layer for name in self.block_names for layer in getattr(self, name).layers()][:freeze_layers])
        cmap_dim = 0 if c_dim == 0 else widths[0] if cmap_dim is None else cmap_dim
        if c_dim > 0:
            self.mapping = MappingNetwork(0, c_dim, cmap_dim, None, w_avg_beta=None, **(mapping_kwargs or {}))
        self.b4 = DiscriminatorEpilogue(widths[0], cmap_dim, shape.levels[0], **shared, **(epilogue_kwargs or {}))

    def forward(self, img, c=None, parts=1):
        """Judge pictures.

        Args:
            img: `[N, img_channels, H, W]`, in [-1, 1].
            c: `[N, c_dim]` labels (None if c_dim is 0).
            parts: judge this many batches in one go: minibatch-std groups do not reach from one to the next.
        Returns:
            logits `[N, 1]` float32.
        Raises:
            ValueError: `img` or `c` has the wrong shape.
        """
        size = PictureShape.of(self.img_resolution)
        if img.ndim != 4 or img.shape[1:] != (self.img_channels, size.height, size.width):
            raise ValueError(f"img must be [N, {self.img_channels}, {size.height}, {size.width}], not {list(img.shape)}")
        x = None
        for name in self.block_names:
            x, img = getattr(self, name)(x, img)
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        return self.b4(x, img, cmap, parts)

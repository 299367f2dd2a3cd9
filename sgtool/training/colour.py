"""Colour augmentation: brightness, contrast and hue of a batch of pictures in one affine map of the colour.

Karras et al., Training GANs with limited data (2020), appendix B.
"""

import math

import torch

_GREY = torch.full([3, 3], 1 / 3, dtype=torch.float64)  # projection onto the grey axis (1, 1, 1)
_TURN = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)  # (1, 1, 1) / sqrt(3) x colour


def draw_colour_maps(options, draws, channels):
    """Draw one colour map per picture.

    Brightness, contrast, luma flip, hue and saturation, in this order. On pictures of one channel hue and saturation mean
    nothing and are left out.

    Args:
        options: an `AugmentOptions` with the chances and strengths.
        draws: a `RandomDraws` or `FixedDraws`.
        channels: of the pictures; 1, 3 or 4.
    Returns:
        `[N, 3, 4]` float64 on the CPU: (r, g, b, 1) of the input to (r, g, b) of the output.
    """
    maps = torch.eye(3, 4, dtype=torch.float64).repeat(draws.count, 1, 1)
    if options.brightness > 0:
        maps[:, :, 3] += _where(draws.chosen(options.brightness), draws.normal() * options.brightness_std, 0)[:, :, 0]
    if options.contrast > 0:
        maps *= _where(draws.chosen(options.contrast), torch.exp2(draws.normal() * options.contrast_std), 1)
    if options.lumaflip > 0:
        flipped = _where(draws.chosen(options.lumaflip), (draws.uniform() * 2).floor(), 0)
        maps -= 2 * flipped * (_GREY @ maps)
    if options.hue > 0 and channels > 1:
        angle = _where(draws.chosen(options.hue), (draws.uniform() * 2 - 1) * (math.pi * options.hue_max), 0)
        grey, turned = _GREY @ maps, _TURN @ maps
        maps = grey + (maps - grey) * angle.cos() + turned * angle.sin()
    if options.saturation > 0 and channels > 1:
        factor = _where(draws.chosen(options.saturation), torch.exp2(draws.normal() * options.saturation_std), 1)
        grey = _GREY @ maps
        maps = grey + (maps - grey) * factor
    return maps


def _where(chosen, value, neutral):
    return torch.where(chosen, value.double(), float(neutral))[:, None, None]


def recolour(images, maps):
    """Apply one colour map per picture.

    Args:
        images: `[N, C, H, W]`; C is 3, or 4 with alpha last, which stays as it is, or 1. One channel is multiplied by the mean
            over the map's rows of their sums, and offset by the mean of the offsets.
        maps: `[N, 3, 4]` float64, from `draw_colour_maps`.
    Returns:
        `[N, C, H, W]`.
    """
    maps = maps.mean(1, keepdim=True) if images.shape[1] == 1 else maps
    if images.shape[1] == 1:
        maps = torch.cat([maps[:, :, :3].sum(2, keepdim=True), maps[:, :, 3:]], dim=2)
    maps = maps.to(images)
    colours, alpha = images[:, :3], images[:, 3:]
    changed = torch.baddbmm(maps[:, :, -1:], maps[:, :, :-1], colours.flatten(2)).reshape(colours.shape)
    return torch.cat([changed, alpha], dim=1) if alpha.shape[1] else changed

"""Geometric augmentation: mirroring, turns, shifts and stretches of a picture as one affine map of positions.

Karras et al., Training GANs with limited data (2020), appendix B.
"""

import math

import torch


def draw_transforms(options, draws, height, width):
    """Draw one transform per picture, as the map that tells each output position where to read the input.

    The picture is mirrored, quarter-turned, shifted by whole pixels, scaled, rotated, stretched, rotated again and shifted by
    a fraction, in this order; the map is the product of the inverses in the opposite order.

    Args:
        options: an `AugmentOptions` with the chances and strengths.
        draws: a `RandomDraws` or `FixedDraws`.
    Returns:
        `[N, 2, 3]` float64 on the CPU: (x, y, 1) of the output to (x, y) of the input, in pixels from the centre, y downwards.
    """
    transforms = torch.eye(2, 3, dtype=torch.float64).repeat(draws.count, 1, 1)
    if options.xflip > 0:
        mirrored = _where(draws.chosen(options.xflip), (draws.uniform() * 2).floor(), 0)
        _stretch(transforms, 1 - 2 * mirrored, 1)
    if options.rotate90 > 0:
        turns = _where(draws.chosen(options.rotate90), (draws.uniform() * 4).floor(), 0).long()
        _turn(transforms, _COS[turns], _COS[turns - 1])
    if options.xint > 0:
        chosen = draws.chosen(options.xint)
        right, down = (_where(chosen, (draws.uniform() * 2 - 1) * options.xint_max, 0) for _ in "xy")
        _shift(transforms, (right * width).round(), (down * height).round())
    if options.scale > 0:
        scale = _where(draws.chosen(options.scale), torch.exp2(draws.normal() * options.scale_std), 1)
        _stretch(transforms, 1 / scale, 1 / scale)
    if options.rotate > 0:
        _rotate(transforms, options, draws)
    if options.aniso > 0:
        aspect = _where(draws.chosen(options.aniso), torch.exp2(draws.normal() * options.aniso_std), 1)
        _stretch(transforms, 1 / aspect, aspect)
    if options.rotate > 0 and draws.rotates_twice:
        _rotate(transforms, options, draws)
    if options.xfrac > 0:
        chosen = draws.chosen(options.xfrac)
        right, down = (_where(chosen, draws.normal() * options.xfrac_std, 0) for _ in "xy")
        _shift(transforms, right * width, down * height)
    return transforms


_COS = torch.tensor([1.0, 0.0, -1.0, 0.0], dtype=torch.float64)  # of 0, 1, 2, 3 quarter turns; exact, unlike cos(pi / 2)


def _where(chosen, value, neutral):
    return torch.where(chosen, value.double(), float(neutral))


def _rotate(transforms, options, draws):
    angle = _where(draws.chosen(options.rotate, times=2), (draws.uniform() * 2 - 1) * (math.pi * options.rotate_max), 0)
    _turn(transforms, angle.cos(), angle.sin())


def _turn(transforms, cos, sin):
    """Multiply by a rotation from the right: the output position is turned before the rest of the map."""
    x, y = transforms[:, :, 0].clone(), transforms[:, :, 1].clone()
    transforms[:, :, 0] = x * cos[:, None] + y * sin[:, None]
    transforms[:, :, 1] = y * cos[:, None] - x * sin[:, None]


def _stretch(transforms, x, y):
    transforms[:, :, 0] *= torch.as_tensor(x).reshape(-1, 1)
    transforms[:, :, 1] *= torch.as_tensor(y).reshape(-1, 1)


def _shift(transforms, right, down):
    transforms[:, :, 2] -= transforms[:, :, 0] * right[:, None] + transforms[:, :, 1] * down[:, None]

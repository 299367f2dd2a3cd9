"""Augmentation by corruption: a filter that amplifies some octaves, additive noise, and a square cut out.

Karras et al., Training GANs with limited data (2020), appendix B.
"""

import torch
from torch.nn import functional as F

from sgtool.training.resampling import along_axes, banded, mirror

BAND_POWER = (10, 1, 1, 1)  # how the power of a picture is expected to be shared by the octaves, low frequencies first


def draw_filter_gains(options, draws):
    """Draw the gain of each octave for each picture, so that the expected power of the picture stays.

    Each band in turn is multiplied by t, and all bands then divided by the root of the power that this gives.

    Returns:
        `[N, 4]` float64 on the CPU; 1 where nothing is filtered.
    """
    power = torch.tensor(BAND_POWER, dtype=torch.float64)
    gains = torch.ones(draws.count, 4, dtype=torch.float64)
    for band, strength in enumerate(options.imgfilter_bands):
        if strength > 0:
            factor = torch.exp2(draws.normal() * options.imgfilter_std).double()
            alone = torch.ones_like(gains)
            alone[:, band] = torch.where(draws.chosen(options.imgfilter * strength), factor, 1.0)
            gains *= alone / ((power * alone.square()).sum(1, keepdim=True) / power.sum()).sqrt()
    return gains


def filter_octaves(images, gains, bank):
    """Filter both axes of each picture with its own gains, mirroring the picture at its edges.

    Args:
        images: `[N, C, H, W]`.
        gains: `[N, 4]` on the CPU, from `draw_filter_gains`.
        bank: `[4, taps]`, from `wavelets.filter_bank`.
    Returns:
        `[N, C, H, W]`.
    """
    filtered = (gains != 1).any(1).nonzero()[:, 0]
    if len(filtered) == 0:
        return images
    index = filtered.to(images.device)
    taps = gains[filtered].to(images) @ bank.to(images)
    rows = _filter_matrix(taps, images.shape[2])
    columns = rows if images.shape[2] == images.shape[3] else _filter_matrix(taps, images.shape[3])
    return images.index_copy(0, index, along_axes(images.index_select(0, index), rows, columns))


def _filter_matrix(taps, size):
    """Give the filter with its mirror padding as a matrix: `[N, size, size]`."""
    reach = taps.shape[1] // 2
    folded = F.one_hot(mirror(size, reach, reach), size).to(taps)
    return banded(taps, size, size + 2 * reach, lambda row, column: column - row) @ folded


def draw_noise_strengths(options, draws):
    """Draw the standard deviation of the noise for each picture: `[N]` float32 on the CPU, 0 where there is none."""
    strength = draws.half_normal() * options.noise_std
    return torch.where(draws.chosen(options.noise), strength, 0.0)


def add_noise(images, strengths, noise):
    """Add `strengths` `[N]` times `noise` `[N, C, H, W]`."""
    return images + strengths.to(images).reshape(-1, 1, 1, 1) * noise.to(images)


def draw_cutouts(options, draws):
    """Draw the square to cut from each picture: `[N, 3]` float32 on the CPU, centre x, centre y and side in picture sizes."""
    side = torch.where(draws.chosen(options.cutout), options.cutout_size, 0.0)
    return torch.stack([draws.uniform(), draws.uniform(), side], dim=1)


def cut_out(images, squares):
    """Set the pixels to 0 whose centres are, along both axes, less than half a side from the square's centre."""
    height, width = images.shape[2:]
    x, y, side = squares.to(images.device).reshape(-1, 3, 1, 1).unbind(1)
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    rows = (torch.arange(height, device=images.device)[:, None] + 0.5) / height
    inside = ((columns - x).abs() < side / 2) & ((rows - y).abs() < side / 2)  # [N, H, W]
    return images.masked_fill(inside.unsqueeze(1), 0)

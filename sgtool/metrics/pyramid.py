"""Laplacian pyramids of pictures: the detail of each scale, and the low-pass rest."""

import numpy as np

SMALLEST = 16  # pixels, shorter side of the coarsest level
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # low-pass filter of the pyramid, sum 1


def pyramid_sizes(height, width):
    """Return the (height, width) of each pyramid level, finest first: halved while the shorter side stays at least 16."""
    sizes = [(height, width)]
    while (min(sizes[-1]) + 1) // 2 >= SMALLEST:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def laplacian_pyramid(pictures):
    """Return the levels of the Laplacian pyramid of float pictures `[N, C, H, W]`, finest first.

    Each level but the last is the picture minus its low-pass version (halved and doubled again); adding a level to the
    doubled next one returns the finer picture. Burt and Adelson (1983), filter [1 4 6 4 1]/16, mirrored at the edges.
    """
    levels = []
    for _ in pyramid_sizes(*pictures.shape[2:])[1:]:
        smaller = halve(pictures)
        levels.append(pictures - double(smaller, pictures.shape[2:]))
        pictures = smaller
    return [*levels, pictures]


def halve(pictures):
    """Low-pass filter pictures `[N, C, H, W]` and keep every second row and column, the first included."""
    return _blur(_blur(pictures, 2)[:, :, ::2], 3)[:, :, :, ::2]


def double(pictures, size):
    """Enlarge pictures to `size` (height, width): every second pixel given, the others interpolated by the same filter."""
    number, channels, height, width = pictures.shape
    rows = np.zeros([number, channels, size[0], width], pictures.dtype)
    rows[:, :, ::2] = 2 * pictures
    both = np.zeros([number, channels, *size], pictures.dtype)
    both[:, :, :, ::2] = 2 * _blur(rows, 2)
    return _blur(both, 3)


def _blur(pictures, axis):
    """Filter pictures `[N, C, H, W]` along one axis with the binomial filter, mirrored at the edges."""
    margin = len(BINOMIAL) // 2
    padded = np.pad(pictures, [(margin, margin) if i == axis else (0, 0) for i in range(4)], mode="reflect")
    padded = padded.swapaxes(axis, 2)
    length = pictures.shape[axis]
    return sum(weight * padded[:, :, i : i + length] for i, weight in enumerate(BINOMIAL)).swapaxes(axis, 2)

"""How sharp a picture is, and how much of its size is real: measures of one grey picture."""

import functools
import math

import numpy as np
from scipy import fft, ndimage

PATCH = 256  # pixels: side of the squares whose spectrum is looked at
SMALLEST_PATCH = 64  # pixels: less has too few frequencies to tell
BINS = 48  # of the spectrum, from a flat picture to pixels that alternate
DROP = 0.8  # powers of ten by which detail must be missing
ROUNDING = 1 / 12  # variance of what rounding to whole numbers adds to each pixel
SMALLEST = 16  # pixels: edges of smaller pictures have no width to speak of
TILES = 4  # rows and columns of tiles in which sharpness is looked for


def sharpness(grey):
    """Measure how sharp the sharpest part of a picture is.

    The logarithm of (variance of the Laplacian) / (mean square of the gradient). An edge that is k times as wide has a
    gradient of 1/k and a Laplacian of 1/k^2, so this falls by 2 log k; contrast and number of edges cancel. Of 4 x 4
    tiles, the four with the strongest gradients count, so that a blurred background does no harm. The variance of
    the Laplacian as a measure of focus: J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, 2000.

    Args:
        grey: uint8 `[H, W]`. Only pictures of about the same size can be compared.
    Returns:
        a number, about 0.7 for sharp photographs of 256x256, -0.7 if they are blurred by a Gaussian of sigma 1; nan if
        there is nothing to see, or fewer than 16 pixels.
    """
    if min(grey.shape) < SMALLEST:
        return math.nan
    grey = grey.astype(np.float32)
    curvature = _tiles(np.square(ndimage.laplace(grey)[1:-1, 1:-1]))
    slope = _tiles(np.square(np.diff(grey, axis=1)[1:-1, 1:]) + np.square(np.diff(grey, axis=0)[1:, 1:-1]))
    strongest = np.argsort(slope)[-TILES:]
    if slope[strongest].sum() == 0:
        return math.nan
    return math.log(max(curvature[strongest].sum(), 1e-6) / slope[strongest].sum())


def _tiles(values):
    height, width = (n // TILES for n in values.shape)
    return values[: height * TILES, : width * TILES].reshape(TILES, height, TILES, width).mean(axis=(1, 3)).ravel()


def detail(grey):
    """Tell which share of a picture's width and height is filled with detail.

    A picture that was enlarged by k has nothing finer than k pixels. If it was enlarged by repeating pixels, k is
    counted. Otherwise it shows in the spectrum: the power of photographs falls about as 1/frequency^3 up to the finest
    frequency, and where it was enlarged, it suddenly falls below that. A picture so smooth that its fine detail would be
    lost in rounding anyway is given the benefit of the doubt, as are small ones. Power spectra of photographs: D. J. Field,
    Relations between the statistics of natural images and the response properties of cortical cells, 1987.

    Args:
        grey: uint8 `[H, W]`, all pixels of the picture.
    Returns:
        above 0 and at most 1: 0.5 for a picture that was enlarged to twice its size, or is as blurred as one.
    """
    block = block_size(grey)
    if block > 1:
        return 1 / block
    side = min(PATCH, *grey.shape) // 16 * 16
    if side < SMALLEST_PATCH:
        return 1.0
    frequency = (np.arange(BINS) + 0.5) / BINS
    power = sum(_spectrum(patch) for patch in _patches(grey, side))
    level = np.log10(np.maximum(power / len(_patches(grey, side)), 1e-6) * frequency**3)
    level = ndimage.uniform_filter1d(level, 3, mode="nearest")
    usual = level[(frequency > 0.04) & (frequency < 0.3)].max()
    if usual < math.log10(10 * ROUNDING):
        return 1.0
    present = np.flatnonzero(level > usual - DROP)
    return float(present[-1] + 1) / BINS


def block_size(grey):
    """Find the side of the square blocks of equal pixels that a picture is made of; 1 if there are none (or it is plain)."""
    columns = np.flatnonzero((grey[:, 1:] != grey[:, :-1]).any(axis=0)) + 1
    rows = np.flatnonzero((grey[1:] != grey[:-1]).any(axis=1)) + 1
    edges = np.concatenate([columns, rows, grey.shape])
    return int(np.gcd.reduce(edges)) if len(columns) and len(rows) else 1


def _patches(grey, side):
    """Squares from the middle of a picture, or of its four quarters if they have room."""
    places = [_middles(length, side) for length in grey.shape]
    return [grey[top : top + side, left : left + side] for top in places[0] for left in places[1]]


def _middles(length, side):
    half = length // 2
    return [(length - side) // 2] if half < side else [(half - side) // 2, half + (half - side) // 2]


def _spectrum(patch):
    """Mean power at each of `BINS` frequencies, the larger of across and down counting; 1/12 for rounding noise."""
    window, bins, numbers = _window(len(patch))
    values = (patch - patch.mean(dtype=np.float32)) * window
    coefficients = fft.rfft2(values)
    return np.bincount(bins, (np.square(coefficients.real) + np.square(coefficients.imag)).ravel(), BINS) / numbers


@functools.lru_cache(maxsize=4)
def _window(side):
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    frequency = 2 * np.maximum(np.abs(fft.fftfreq(side))[:, np.newaxis], fft.rfftfreq(side))
    bins = np.minimum((frequency * BINS).astype(int), BINS - 1).ravel()
    return window, bins, np.maximum(np.bincount(bins, minlength=BINS), 1) * np.square(window).sum()

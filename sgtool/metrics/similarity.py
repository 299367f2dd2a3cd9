"""How alike two pictures are, in published numbers: PSNR and SSIM."""

import numpy as np

from sgtool.metrics.ms_ssim import similarity_maps

DATA_RANGE = 255


def psnr(a, b, data_range=DATA_RANGE):
    """Return the peak signal-to-noise ratio of each pair of pictures: 10 log10(data_range^2 / mean squared difference).

    Args:
        a, b: uint8 arrays `[N, H, W, C]`.
        data_range: largest difference that there can be.
    Returns:
        `[N]` float64, in dB; infinite for equal pictures.
    Raises:
        ValueError: they are not uint8 arrays of one shape.
    """
    a, b = _as_pair(a, b)
    errors = np.square(a - b).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / errors)


def ssim(a, b):
    """Return the structural similarity of each pair of pictures: the mean over positions of the window, and channels.

    ((2 m_a m_b + c1) (2 s_ab + c2)) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2)), of means, variances and covariance under a
    Gaussian window, at each position inside the picture. Wang et al., "Image Quality Assessment: From Error Visibility to
    Structural Similarity" (2004), section III-B, with its constants. The window is as large as the picture's shorter side
    if that has less than 11 pixels, and its standard deviation smaller in proportion, as in `ms_ssim`.

    Args:
        a, b: uint8 arrays `[N, H, W, C]`.
    Returns:
        `[N]` float64; 1 = equal.
    Raises:
        ValueError: they are not uint8 arrays of one shape.
    """
    a, b = (pictures.transpose(0, 3, 1, 2) for pictures in _as_pair(a, b))
    luminance, structure = similarity_maps(a, b, DATA_RANGE)
    return (luminance * structure).mean(axis=(1, 2, 3))


def _as_pair(a, b):
    """Return two arrays of pictures as float64, after checking them."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"pictures must be uint8, 0..255, not {a.dtype} and {b.dtype}.")
    if a.ndim != 4 or a.shape != b.shape or 0 in a.shape:
        raise ValueError(f"pictures must be [N, H, W, C] twice, not {list(a.shape)} and {list(b.shape)}.")
    return a.astype(np.float64), b.astype(np.float64)

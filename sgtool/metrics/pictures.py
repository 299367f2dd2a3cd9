"""Checks that pictures handed to a metric are what the metric takes them for."""

import numpy as np


def as_pictures(pictures, name):
    """Return pictures as a numpy array, after checking shape and type.

    Args:
        pictures: array or tensor `[N, C, H, W]`, uint8 or float, any device.
        name: what to call it in an error.
    Returns:
        numpy array `[N, C, H, W]`, uint8, float32 or float64; the input's own memory where possible.
    Raises:
        ValueError: another shape, no picture, an integer type other than uint8, or a value that is not finite.
    """
    if hasattr(pictures, "detach"):
        pictures = pictures.detach().cpu()
        pictures = pictures.float().numpy() if pictures.element_size() == 2 else pictures.numpy()
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or 0 in pictures.shape:
        raise ValueError(f"{name} has the shape {list(pictures.shape)}; pictures are [N, C, H, W] with none of them 0.")
    if pictures.dtype == np.float16:
        pictures = pictures.astype(np.float32)
    if pictures.dtype not in (np.uint8, np.float32, np.float64):
        raise ValueError(f"{name} has the type {pictures.dtype}; pictures are uint8 (0..255) or float.")
    if pictures.dtype != np.uint8 and not np.isfinite(pictures).all():
        raise ValueError(f"{name} holds values that are not finite.")
    return pictures


def as_pair(a, b):
    """Return two picture arrays that may be compared: same type, same picture shape, any two counts.

    Raises:
        ValueError: they differ in type (their value ranges would be a guess) or in channels, height or width.
    """
    a, b = as_pictures(a, "a"), as_pictures(b, "b")
    if (a.dtype == np.uint8) != (b.dtype == np.uint8):
        raise ValueError(f"a is {a.dtype} and b is {b.dtype}: give both in one value range and type.")
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"pictures of the shapes {list(a.shape[1:])} and {list(b.shape[1:])} cannot be compared.")
    return a, b

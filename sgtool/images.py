"""Pictures between their three forms: network floats, uint8 arrays, PIL images. The only place that converts values."""

import math

import numpy as np
from PIL import Image, PngImagePlugin

from sgtool.files import atomic_write

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def to_float(images):
    """Turn uint8 pictures into network values: x / 127.5 - 1.

    Args:
        images: uint8 tensor `[N, C, H, W]` (any shape), 0..255.
    Returns:
        float32 tensor of the same shape, -1..1.
    """
    import torch

    return images.to(torch.float32) / 127.5 - 1


def to_levels(images):
    """Turn network values into levels of a file, neither rounded nor clamped, so that gradients pass: (x + 1) * 127.5.

    Args:
        images: float tensor of any shape, nominally -1..1.
    Returns:
        float tensor of the same shape, nominally 0..255.
    """
    return (images + 1) * 127.5


def to_uint8(images):
    """Turn network values into uint8 pictures: floor(x * 127.5 + 128), clamped, as NVIDIA's tools do.

    Args:
        images: float tensor `[N, C, H, W]`, nominally -1..1; what lies outside is clamped.
    Returns:
        uint8 array `[N, H, W, C]`, 0..255.
    """
    import torch

    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def to_pil(picture):
    """Turn one uint8 picture `[H, W, C]` into a PIL image.

    1, 2, 3 and 4 channels become L, LA, RGB and RGBA. More channels have no picture mode: they are laid side by side
    as one grey image `[H, C * W]`.
    """
    channels = picture.shape[2]
    if channels == 1:
        return Image.fromarray(np.ascontiguousarray(picture[:, :, 0]))
    if channels in MODES:
        return Image.fromarray(np.ascontiguousarray(picture))
    return Image.fromarray(np.ascontiguousarray(np.concatenate([picture[:, :, i] for i in range(channels)], axis=1)))


def from_pil(image):
    """Turn a PIL image of mode L, LA, RGB or RGBA into a uint8 array `[H, W, C]`."""
    array = np.asarray(image)
    return array[:, :, np.newaxis] if array.ndim == 2 else array


def grid(pictures, columns=None):
    """Lay pictures out row by row.

    Args:
        pictures: uint8 array `[N, H, W, C]`.
        columns: pictures in a row; None makes the sheet about square. Empty cells are black (transparent).
    Returns:
        uint8 array `[rows * H, columns * W, C]`.
    """
    number, height, width, channels = pictures.shape
    columns = columns or math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    sheet = np.zeros([rows * columns, height, width, channels], np.uint8)
    sheet[:number] = pictures
    return sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def save_png(path, picture, text=None):
    """Write one uint8 picture `[H, W, C]` as a PNG, atomically.

    Args:
        path: the file to write.
        picture: uint8 array `[H, W, C]`.
        text: dict of strings kept in the file's text chunks (the recipe that remakes the picture), or None.
    """
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    with atomic_write(path) as file:
        to_pil(picture).save(file, format="PNG", pnginfo=info)

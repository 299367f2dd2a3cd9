"""Embedded colour profiles: pictures that are not in sRGB are converted to it, by LittleCMS (Pillow's ImageCms)."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms, features

SAME = 2  # levels of 255: a profile that moves no colour further counts as sRGB, and the pixels stay as they are
CONVERTED, IGNORED = "icc", "icc ignored"  # notes
COLOURS = {"P": "RGB", "PA": "RGBA", "RGBX": "RGB"}


def to_srgb(image, profile):
    """Convert a picture with an embedded ICC profile to sRGB (relative colorimetric, black points adapted).

    CMYK becomes RGB; grey stays grey; transparency is kept as it is. What ImageCms cannot handle (16 bits, a profile that is
    damaged or belongs to another kind of picture) keeps its pixels.

    Args:
        image: PIL image.
        profile: bytes of the profile, or None.
    Returns:
        the image, and a tuple of notes: ("icc",) if it was converted, ("icc ignored",) if it should have been, or ().
    """
    if not profile:
        return image, ()
    if not features.check("littlecms2"):
        return image, (IGNORED,)
    mode = COLOURS.get(image.mode, image.mode)
    if mode == "RGB" and "transparency" in image.info:
        mode = "RGBA"
    bands = {"LA": "L", "RGBA": "RGB"}.get(mode, mode)
    try:
        change = _change(bytes(profile), bands)
        if change is None:
            return image, ()
        image = image if image.mode == mode else image.convert(mode)
        alpha = image.getchannel("A") if mode in ("LA", "RGBA") else None
        colours = image.convert(bands) if alpha is not None else image
        converted = ImageCms.applyTransform(colours, change)
    except (ImageCms.PyCMSError, ValueError, TypeError, OSError, MemoryError):
        return image, (IGNORED,)
    if bands == "L":
        converted = converted.convert("L")
    if alpha is not None:
        converted.putalpha(alpha)
        converted.info.pop("transparency", None)
    return converted, (CONVERTED,)


@functools.lru_cache(maxsize=8)
def _change(profile, bands):
    """Make the transform of a profile's bytes for pictures of mode `bands`; None if it changes nothing worth mentioning."""
    if bands not in ("L", "RGB", "CMYK"):
        raise ValueError(f"no profile can be applied to pictures of mode {bands}")
    change = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        bands,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if bands == "CMYK":
        return change
    probe = _probe(bands)
    before = np.asarray(probe.convert("RGB")).astype(int)
    after = np.asarray(ImageCms.applyTransform(probe, change)).astype(int)
    return None if np.abs(after - before).max() <= SAME else change


def _probe(bands):
    """A picture of all greys, or of 16x16x16 colours."""
    if bands == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, 256, 3))

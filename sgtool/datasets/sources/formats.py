"""Which picture formats are read, and which file names are pictures or videos."""

import functools
import os

from PIL import Image

# Formats whose decoders are plain readers. EPS is left out on purpose: opening one runs Ghostscript.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO", "PCX", "QOI")
EXTENSIONS = frozenset(
    f".{ending}"
    for ending in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "tga"),
        *("jp2", "j2k", "jpx", "avif", "ico", "pcx", "qoi", "apng"),
        *("heic", "heif"),  # not readable here, but pictures: they must show up as skipped, not vanish
    )
)
VIDEO_EXTENSIONS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv"})
ANIMATED_EXTENSIONS = frozenset({".gif", ".webp", ".png", ".apng", ".tif", ".tiff", ".avif"})


def extension(name):
    """Return the ending of a file name in small letters, with its dot."""
    return os.path.splitext(name.rsplit("/", 1)[-1])[1].lower()


def is_hidden(name):
    """Tell whether a file (forward slashes) is hidden: it, or a folder it lies in, begins with a dot or is `__MACOSX`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def is_picture_name(name):
    """Tell whether `name` (forward slashes) is a picture file by its ending. Hidden files and `__MACOSX` are not."""
    return extension(name) in EXTENSIONS and not is_hidden(name)


@functools.cache
def formats():
    """Names of the picture formats that may be opened."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)

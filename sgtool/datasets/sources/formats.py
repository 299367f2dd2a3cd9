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
        *("jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "mpo", "avif", "ico", "pcx", "qoi", "apng"),
        *("heic", "heif", "jxl"),  # not readable here, but pictures: they must show up as skipped, not vanish
    )
)
# What may lie under a picture's name and is none, or none that Pillow reads: at which byte, how it begins, and what to say.
OTHERS = (
    (0, b"8BPS", "a Photoshop file, which is not read"),
    (0, b"%PDF", "a PDF, no picture"),
    (0, b"%!PS", "PostScript, which is not read"),
    (0, b"<svg", "a drawing (SVG), which is not read"),
    (0, b"<?xml", "XML, no picture"),
    (0, b"<!doctype html", "a web page, no picture"),
    (0, b"<html", "a web page, no picture"),
    (0, b"\0\0\0\x0cjxl ", "JPEG XL, which is not read"),
    *((4, b"ftyp" + brand, "HEIC, which is not read; save it as JPEG") for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    (4, b"ftypavi", "AVIF, which this Pillow does not read"),
)
VIDEO_EXTENSIONS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv"})
BESIDE = ("__MACOSX", "@eaDir")  # folders that macOS and Synology put beside others, with copies and previews in them
ANIMATED_EXTENSIONS = frozenset({".gif", ".webp", ".png", ".apng", ".tif", ".tiff", ".avif"})


def extension(name):
    """Return the ending of a file name in small letters, with its dot."""
    return os.path.splitext(name.rsplit("/", 1)[-1])[1].lower()


def is_hidden(name):
    """Tell whether a file (forward slashes) is hidden: it, or a folder it lies in, begins with a dot or is of `BESIDE`."""
    return any(part.startswith(".") or part in BESIDE for part in name.split("/"))


def is_picture_name(name):
    """Tell whether `name` (forward slashes) is a picture file by its ending. Hidden ones are not."""
    return extension(name) in EXTENSIONS and not is_hidden(name)


def unknown(head):
    """Say what a file is that Pillow does not recognize, by its first 32 bytes, in a few words."""
    if not head:
        return "empty, 0 bytes"
    head = head.lower() if head.lstrip()[:1] == b"<" else head
    return next((words for at, begin, words in OTHERS if head.lstrip()[at:].startswith(begin)), "not a picture in a known format")


@functools.cache
def formats():
    """Names of the picture formats that may be opened."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)

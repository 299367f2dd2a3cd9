"""A sheet of pictures as a few kilobytes for a page."""

import base64
import io
import math
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, features

MOST_PIXELS = 160_000_000  # of a sheet; more is no sheet of a run
LOSSLESS_PIXELS = 200_000  # up to here it is tried: small pictures, pixel art
QUALITIES = (82, 55)
CELLS = (10, 10)  # columns and rows that are shown at most
SIDES = (896, 640)  # their width and height, at `CELL` pixels a picture
CELL = 128


@dataclass(frozen=True)
class Encoded:
    """A picture inside a page.

    Attributes:
        source: `data:` address.
        width, height: pixels.
        columns, rows: pictures shown; 0 where the size of a picture is not known: the whole sheet.
        of: (columns, rows) of the whole sheet.
    """

    source: str
    width: int
    height: int
    columns: int
    rows: int
    of: tuple


class NoPicture(Exception):
    """A file that cannot be shown; the message says why."""


def encoded(path, cell, edge, most_bytes):
    """Read the upper left pictures of a sheet, make them smaller if they are large, and encode them.

    Args:
        path: PNG or JPEG.
        cell: (height, width) of one picture, None = not known.
        edge: longest side of a picture in the result, pixels.
        most_bytes: size of the result.
    Returns:
        `Encoded`.
    Raises:
        NoPicture: it cannot be read.
    """
    image, shown, of = _opened(path, cell, edge)
    mime, data, size = _compressed(image, most_bytes)
    return Encoded(f"data:{mime};base64,{base64.b64encode(data).decode()}", *size, *shown, of)


def _opened(path, cell, edge):
    """Open, cut and shrink: (image, (columns, rows) shown, those of the sheet)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise NoPicture(f"{image.width}x{image.height} pixels are too many")
                shown, of = _layout(image.size, cell)
                box = (shown[0] * cell[1], shown[1] * cell[0]) if shown[0] else image.size
                image = image.crop((0, 0, *box))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise NoPicture("it is no picture that can be read") from error
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    longest = max(cell) if shown[0] else max(image.size) / 8
    return _shrunk(image, min(1.0, edge / longest)), shown, of


def _layout(size, cell):
    """Return (columns, rows) to show and (columns, rows) there are; zeros where the sheet has no such cells."""
    if cell is None or size[0] % cell[1] or size[1] % cell[0]:
        return (0, 0), (0, 0)
    of = size[0] // cell[1], size[1] // cell[0]
    scale = min(1.0, CELL / max(cell))
    most = [max(1, int(side // (length * scale))) for side, length in zip(SIDES, (cell[1], cell[0]), strict=True)]
    return tuple(min(number, limit, cells) for number, limit, cells in zip(of, most, CELLS, strict=True)), of


def _shrunk(image, scale):
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX if scale <= 0.25 else Image.Resampling.LANCZOS, reducing_gap=3.0)


def _compressed(image, most_bytes):
    """Return (type, bytes, size): without loss if that is small enough, else as good as fits, else smaller."""
    webp = features.check("webp")
    if image.width * image.height <= LOSSLESS_PIXELS:
        data = _saved(image, "WEBP", lossless=True, quality=50, method=3) if webp else _saved(image, "PNG", optimize=True)
        if len(data) <= most_bytes:
            return ("image/webp" if webp else "image/png"), data, image.size
    while True:
        for quality in QUALITIES:
            data = _saved(image, "WEBP", quality=quality, method=3) if webp else _jpeg(image, quality)
            if len(data) <= most_bytes:
                return ("image/webp" if webp else "image/jpeg"), data, image.size
        if max(image.size) <= 16:
            raise NoPicture("it does not become small enough")
        image = _shrunk(image, min(max(0.95 * math.sqrt(most_bytes / len(data)), 0.3), 0.9))


def _jpeg(image, quality):
    if image.mode in ("LA", "RGBA"):
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return _saved(image, "JPEG", quality=quality, optimize=True)


def _saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

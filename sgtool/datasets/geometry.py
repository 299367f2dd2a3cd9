"""Which part of a picture goes where: crops, tiles, bars and padding as plain numbers, before a pixel is touched."""

from dataclasses import dataclass, replace

from sgtool.errors import UserError

TRANSFORMS = ("none", "center-crop", "center-crop-wide", "center-crop-tall", "square-crop", "pad", "tile")
NEED_SIZE = ("center-crop", "center-crop-wide", "center-crop-tall", "pad", "tile")
WITH_BARS = ("center-crop-wide", "center-crop-tall")
MIDDLE = (0.5, 0.5)
MOST_PIXELS = 1 << 29  # of all tiles of one picture together, which are in memory at once


class Skip(Exception):
    """This picture is left out; the text is the reason. `unreadable` ones are what `--strict` refuses."""

    def __init__(self, reason, unreadable=False):
        super().__init__(reason)
        self.unreadable = unreadable


@dataclass(frozen=True)
class Conversion:
    """What is done to every picture, in this order: 8 bits, channels, crop, resize, pad.

    Attributes:
        size: (width, height) in pixels to reach; None in either place keeps what the transform leaves there.
        transform: one of `TRANSFORMS`.
        resize_filter: key of `transforms.FILTERS`.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        background: RGBA under transparent pixels and around padded ones, 0..255; None is white, but black for the bars of
            center-crop-wide and center-crop-tall, and transparent around pictures of 4 channels.
        focus: where square-crop cuts: "center", or "saliency" (where there is most to see).
        overlap: pixels that neighbouring tiles share at least.
    """

    size: tuple = (None, None)
    transform: str = "none"
    resize_filter: str = "lanczos"
    channels: int = 3
    background: tuple | None = None
    focus: str = "center"
    overlap: int = 0


@dataclass(frozen=True)
class Piece:
    """One picture to make: the part `box` (left, top, right, bottom), resized to `size`, in the middle of `canvas`.

    `suffix` tells several pieces of one picture apart: `#x256y0` begins at that pixel. It is empty where there is one piece.
    """

    box: tuple
    size: tuple
    canvas: tuple
    suffix: str = ""


def check_conversion(conversion):
    """Raise `UserError` where the options contradict each other."""
    transform, (width, height) = conversion.transform, conversion.size
    if transform in NEED_SIZE and None in conversion.size:
        raise UserError(f"--transform {transform} needs a size to reach. Add --resolution 256 (or another one).")
    if transform == "center-crop-wide" and height > width:
        raise UserError(f"--transform {transform}: {width}x{height} is tall. Give a wide size, --resolution 512x384.")
    if transform == "center-crop-tall" and width > height:
        raise UserError(f"--transform {transform}: {width}x{height} is wide. Give a tall size, --resolution 384x512.")
    if transform == "square-crop" and conversion.size != (None, None) and width != height:
        raise UserError("--transform square-crop makes squares. Give --resolution 256, or take --transform center-crop.")
    if conversion.focus != "center" and transform != "square-crop":
        raise UserError(f"--focus {conversion.focus} goes with --transform square-crop, not with {transform}. Leave one out.")
    if conversion.overlap and transform != "tile":
        raise UserError(f"--overlap goes with --transform tile, not with {transform}. Leave one out.")
    if transform == "tile" and not 0 <= conversion.overlap < min(width, height):
        most = min(width, height) - 1
        raise UserError(f"--overlap {conversion.overlap}: tiles of {width}x{height} can share 0 to {most} pixels. Give fewer.")


def output_size(size, conversion):
    """Tell what size a picture of (width, height) `size` will have after `conversion`."""
    if conversion.transform in WITH_BARS:
        return max(conversion.size), max(conversion.size)
    if conversion.transform == "square-crop":
        size = (min(size), min(size))
    return conversion.size[0] or size[0], conversion.size[1] or size[1]


def settled(conversion, size):
    """Fill in what the options leave open about the size, from a picture of (width, height) `size`."""
    if None not in conversion.size:
        return conversion
    return replace(conversion, size=output_size(size, conversion))


def size_hint(size, *conversions):
    """Tell to what size a whole picture is reduced, so that a decoder may give it smaller from the start.

    Args:
        size: (width, height) of the picture in its file, upright.
        conversions: what will be made of it.
    Returns:
        (width, height): what the whole picture is, at the largest scale that any piece needs, rounded up. Never more than
        `size`, and `size` itself where pixels are taken as they are (tiles, nearest, enlarging) or the picture is left out.
    """
    width, height = 1, 1
    for conversion in conversions:
        if conversion.resize_filter == "nearest":
            return size
        try:
            parts = pieces(size, conversion)
        except Skip:
            return size
        for part in parts:
            left, top, right, bottom = part.box
            width = max(width, -(-size[0] * part.size[0] // (right - left)))
            height = max(height, -(-size[1] * part.size[1] // (bottom - top)))
    return min(width, size[0]), min(height, size[1])


def pieces(size, conversion, place=MIDDLE):
    """Lay out what is made of one picture.

    Args:
        size: (width, height) of the picture.
        conversion: `Conversion`; None in its size is filled in from this picture.
        place: where in the picture a square crop lies: 0 is left and top, 1 right and bottom.
    Returns:
        list of `Piece`, with boxes in whole pixels inside the picture.
    Raises:
        Skip: center-crop-wide and -tall leave out pictures that are too small for the side asked for, or not wide or tall
            enough; tile those that are smaller than a tile.
    """
    transform, whole = conversion.transform, (0, 0, *size)
    target = output_size(size, conversion)
    if transform == "tile":
        return _tiles(size, target, conversion.overlap)
    if transform in WITH_BARS:
        _check_bars(size, conversion)
        return [Piece(centred_box(size, conversion.size), tuple(conversion.size), target)]
    if transform == "pad":
        scale = min(1, target[0] / size[0], target[1] / size[1])  # never enlarges
        return [Piece(whole, tuple(max(1, round(n * scale)) for n in size), target)]
    if transform == "square-crop":
        return [Piece(centred_box(size, (1, 1), place), target, target)]
    box = centred_box(size, target) if transform == "center-crop" else whole
    return [Piece(box, target, target)]


def _check_bars(size, conversion):
    wide = conversion.transform == "center-crop-wide"
    long, short = conversion.size if wide else conversion.size[::-1]
    along, across = size if wide else size[::-1]
    if along < long or round(long * across / along) < short:
        shape = "wide" if wide else "tall"
        raise Skip(f"{size[0]}x{size[1]} is too small or too {shape} for {conversion.size[0]}x{conversion.size[1]}")


def centred_box(size, aspect, place=MIDDLE):
    """Find the largest box of given proportions in a picture, centred unless `place` says otherwise.

    Args:
        size: (width, height) of the picture.
        aspect: (width, height) whose proportions the box has, to the nearest pixel.
        place: share, 0..1, of what is cut away that is cut from the left and from the top.
    Returns:
        (left, top, right, bottom) in pixels; an odd pixel more is cut from the right or the bottom.
    """
    width = max(1, min(size[0], round(size[1] * aspect[0] / aspect[1])))
    height = max(1, min(size[1], round(size[0] * aspect[1] / aspect[0])))
    left, top = int((size[0] - width) * place[0]), int((size[1] - height) * place[1])
    return left, top, left + width, top + height


def _tiles(size, tile, overlap):
    if size[0] < tile[0] or size[1] < tile[1]:
        raise Skip(f"{size[0]}x{size[1]} is smaller than a tile of {tile[0]}x{tile[1]}")
    columns, rows = (starts(*lengths, overlap) for lengths in zip(size, tile, strict=True))
    if len(columns) * len(rows) * tile[0] * tile[1] > MOST_PIXELS:
        raise Skip(f"{size[0]}x{size[1]} would make {len(columns) * len(rows)} tiles, which together are too large")
    return [Piece((x, y, x + tile[0], y + tile[1]), tile, tile, f"#x{x}y{y}") for y in rows for x in columns]


def starts(length, tile, overlap):
    """Place tiles along a side: as few as cover it, evenly, the first at its beginning and the last at its end.

    Args:
        length: of the side in pixels, at least `tile`.
        tile: side of a tile in pixels.
        overlap: pixels, less than `tile`, that two neighbours share at least. They share more where the side is no whole
            number of steps.
    Returns:
        list of first pixels.
    """
    steps = -(-(length - tile) // (tile - overlap))
    return [i * (length - tile) // steps for i in range(steps)] + [length - tile]

"""One picture of any kind into one uint8 array of the size and channels that were asked for."""

import math

import numpy as np
from PIL import Image, ImageColor

from sgtool.datasets.geometry import MIDDLE, NEED_SIZE, TRANSFORMS, WITH_BARS, Conversion, Skip, output_size, pieces
from sgtool.errors import UserError
from sgtool.images import from_pil

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
WHITE, BLACK, CLEAR = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
STRETCH = 1.02  # a change of proportions by more than this ratio is reported
REDUCTIONS = (1, 2, 4, 8)  # by which a JPEG decoder can shrink

__all__ = [
    "FILTERS",
    "NEED_SIZE",
    "TRANSFORMS",
    "Conversion",
    "Skip",
    "convert",
    "convert_all",
    "convert_sizes",
    "is_grey",
    "output_size",
    "parse_colour",
    "to_8_bit",
    "to_channels",
]


def parse_colour(text):
    """Turn `white`, `#ff8800`, `rgb(1, 2, 3)` or `#ff880080` into RGBA numbers 0..255."""
    try:
        colour = ImageColor.getrgb(text)
    except ValueError as error:
        raise UserError(f"--background {text}: not a colour. Write a name, like white, or #rrggbb, like #638596.") from error
    return (*colour[:3], colour[3] if len(colour) == 4 else 255)


def is_grey(mode):
    """Tell whether files of this PIL mode hold grey values only. A palette counts as colour."""
    return mode in GREY_MODES


def to_8_bit(image):
    """Turn a PIL image of any mode into L, LA, RGB or RGBA.

    16-bit values v become round(v / 257); floating-point values 0..1 become round(255 v). CMYK, YCbCr and HSV become
    RGB; palettes become RGB, or RGBA where they have transparent entries.

    Returns:
        the image, and a tuple of notes: ("16 bit",), ("float",) or ().
    Raises:
        Skip: the range of its values is not known.
    """
    if image.mode.startswith("I"):
        return Image.fromarray(_integers_to_8_bit(np.asarray(image))), ("16 bit",)
    if image.mode == "F":
        return Image.fromarray(_floats_to_8_bit(np.asarray(image))), ("float",)
    transparent = "transparency" in image.info  # one grey level, one colour or some palette entries
    if image.mode in ("LA", "RGBA") or (image.mode in ("L", "RGB") and not transparent):
        return image, ()
    if image.mode in ("1", "L"):
        mode = "LA" if transparent else "L"
    else:
        mode = "RGBA" if transparent or image.mode in ("PA", "RGBa") else "RGB"
    try:
        return image.convert(mode), ()
    except ValueError as error:
        raise Skip(f"colour mode {image.mode} cannot be converted", unreadable=True) from error


def _integers_to_8_bit(values):
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise Skip(f"integer values from {low} to {high}; only 0 to 65535 (16 bits) has a known white", unreadable=True)
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _floats_to_8_bit(values):
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise Skip(f"floating-point values from {low:g} to {high:g}; only 0 to 1 has a known white", unreadable=True)
    return np.rint(values * 255).astype(np.uint8)


def to_channels(image, channels, background):
    """Turn an L, LA, RGB or RGBA image into `channels` channels.

    Unless 4 are asked for, transparent pixels are laid over `background`: a * value + (1 - a) * background. Grey is
    ITU-R 601 luma, (299 R + 587 G + 114 B) / 1000.

    Returns:
        the image of mode L, RGB or RGBA, and a tuple of notes: ("transparent",) if a pixel was not opaque.
    """
    notes = ()
    if image.mode in ("LA", "RGBA"):
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] < 255:
            notes = ("transparent",)
        if channels != 4:
            opaque = Image.new("RGB", image.size, (background or WHITE)[:3])
            opaque.paste(image.convert("RGB"), mask=alpha)
            image = opaque
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return (image if image.mode == mode else image.convert(mode)), notes


def convert(image, conversion, original=None):
    """Turn a PIL image of any mode and size into what `conversion` says, where that is one picture.

    Args:
        image: PIL image, upright.
        conversion: `Conversion` of any transform but tile.
        original: (width, height) of the picture in its file, if the decoder has reduced it.
    Returns:
        uint8 array `[H, W, C]`, and a list of notes on what was done: "16 bit", "float", "transparent", "enlarged",
        "stretched".
    Raises:
        Skip: the picture is left out; the text says why.
    """
    if conversion.transform == "tile":
        raise ValueError("tiles are several pictures: take convert_all")
    ((_, pixels, notes),) = convert_all(image, conversion, original)
    return pixels, notes


def convert_all(image, conversion, original=None):
    """Turn a PIL image into all the pictures that `conversion` makes of it.

    Arguments and errors as in `convert`.

    Returns:
        list of (suffix, uint8 array `[H, W, C]`, list of notes); suffixes as in `geometry.Piece`.
    """
    (result,) = convert_sizes(image, [conversion], original)
    if isinstance(result, Skip):
        raise result
    return result


def convert_sizes(image, conversions, original=None):
    """Turn a PIL image into pictures of several sizes, with one look at its colours and at where there is most to see.

    Args:
        image: PIL image, upright.
        conversions: `Conversion`s that differ in size, resize filter or transform, not in channels, background or focus.
        original: (width, height) of the picture in its file, if the decoder has reduced it.
    Returns:
        for each conversion, in order, what `convert_all` gives, or the `Skip` that says why this one leaves the picture out.
    Raises:
        Skip: the picture is left out by all, for its colours.
    """
    if len({(c.channels, c.background, c.focus) for c in conversions}) != 1:
        raise ValueError("the conversions of one picture must agree in channels, background and focus")
    image, depth = to_8_bit(image)
    image, alpha = to_channels(image, conversions[0].channels, conversions[0].background)
    original, place = original or image.size, _place(image, conversions[0].focus)
    results = []
    for conversion in conversions:
        try:
            made = [_make(image, piece, conversion, original) for piece in pieces(original, conversion, place)]
        except Skip as skip:
            results.append(skip)
        else:
            results.append([(suffix, pixels, [*depth, *alpha, *notes]) for suffix, pixels, notes in made])
    return results


def _place(image, focus):
    if focus == "center":
        return MIDDLE
    from sgtool.datasets.saliency import square_place  # late: SciPy takes as long to import as many pictures to convert

    return square_place(image)


def _make(image, piece, conversion, original):
    """Cut one piece out of an image of mode L, RGB or RGBA; return suffix, pixels, and notes: "enlarged", "stretched"."""
    left, top, right, bottom = piece.box
    width, height = right - left, bottom - top
    notes = ["enlarged"] if piece.size[0] > width or piece.size[1] > height else []
    ratio = width * piece.size[1] / (height * piece.size[0])
    if conversion.transform == "none" and max(ratio, 1 / ratio) > STRETCH:
        notes.append("stretched")
    image = _resized(image, piece, FILTERS[conversion.resize_filter], original)
    if piece.canvas != piece.size:
        image = _on_canvas(image, piece.canvas, conversion)
    return piece.suffix, from_pil(image), notes


def _resized(image, piece, resample, original):
    """Cut the box out, which is in pixels of the original, and resize it."""
    across, down = (_reduction(*sides) for sides in zip(original, image.size, strict=True))
    left, right = piece.box[0] / across, min(piece.box[2] / across, image.width)
    top, bottom = piece.box[1] / down, min(piece.box[3] / down, image.height)
    x, y = int(left), int(top)
    image = image.crop((x, y, math.ceil(right), math.ceil(bottom)))
    if (right - left, bottom - top) == piece.size:
        return image
    return image.resize(piece.size, resample, box=(left - x, top - y, right - x, bottom - y))


def _reduction(original, decoded):
    """How many pixels of the original one pixel of the decoded picture stands for. The last may stand for fewer."""
    return next((n for n in REDUCTIONS if math.ceil(original / n) == decoded), original / decoded)


def _on_canvas(image, size, conversion):
    colour = conversion.background
    if colour is None:
        opaque = BLACK if conversion.transform in WITH_BARS else WHITE
        colour = CLEAR if conversion.channels == 4 else opaque
    canvas = Image.new("RGBA", size, colour).convert(image.mode)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas

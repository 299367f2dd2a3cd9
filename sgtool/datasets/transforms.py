"""One picture of any kind into one uint8 array of the size and channels that were asked for."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor

from sgtool.errors import UserError
from sgtool.images import from_pil

TRANSFORMS = ("none", "center-crop", "center-crop-wide", "square-crop", "pad")
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
NEED_SIZE = ("center-crop", "center-crop-wide", "pad")
WHITE, BLACK, CLEAR = (255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0)
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
STRETCH = 1.02  # a change of proportions by more than this ratio is reported


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
        resize_filter: key of `FILTERS`.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        background: RGBA under transparent pixels and around padded ones, 0..255; None is white, but black around
            center-crop-wide and transparent around pictures of 4 channels.
    """

    size: tuple = (None, None)
    transform: str = "none"
    resize_filter: str = "lanczos"
    channels: int = 3
    background: tuple | None = None


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


def centred_box(size, aspect):
    """Find the largest centred box of a picture.

    Args:
        size: (width, height) of the picture.
        aspect: (width, height) whose proportions the box has, to the nearest pixel.
    Returns:
        (left, top, right, bottom) in pixels; an odd pixel more is cut from the right or the bottom.
    """
    width = max(1, min(size[0], round(size[1] * aspect[0] / aspect[1])))
    height = max(1, min(size[1], round(size[0] * aspect[1] / aspect[0])))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def output_size(size, conversion):
    """Tell what size a picture of (width, height) `size` will have after `conversion`."""
    if conversion.transform == "center-crop-wide":
        return conversion.size[0], conversion.size[0]
    if conversion.transform == "square-crop":
        size = (min(size), min(size))
    return conversion.size[0] or size[0], conversion.size[1] or size[1]


def shape_picture(image, conversion):
    """Crop, resize and pad an image of mode L, RGB or RGBA.

    Returns:
        the image, of size `output_size(image.size, conversion)`, and notes: "enlarged", "stretched".
    Raises:
        Skip: center-crop-wide drops pictures that are narrower than the width asked for, or too wide in proportion.
    """
    target = output_size(image.size, conversion)
    if conversion.transform == "pad":
        scale = min(1, target[0] / image.width, target[1] / image.height)  # never enlarges
        image, notes = _resize(image, tuple(max(1, round(n * scale)) for n in image.size), conversion)
        return _on_canvas(image, target, conversion), [note for note in notes if note != "stretched"]
    if conversion.transform == "center-crop-wide":
        wide = conversion.size
        if image.width < wide[0] or round(wide[0] * image.height / image.width) < wide[1]:
            raise Skip(f"{image.width}x{image.height} is too small or too wide for {wide[0]}x{wide[1]}")
        image, notes = _resize(image.crop(centred_box(image.size, wide)), wide, conversion)
        return _on_canvas(image, target, conversion), notes
    if conversion.transform == "square-crop":
        image = image.crop(centred_box(image.size, (1, 1)))
    elif conversion.transform == "center-crop":
        image = image.crop(centred_box(image.size, target))
    return _resize(image, target, conversion)


def _resize(image, size, conversion):
    if image.size == size:
        return image, []
    notes = ["enlarged"] if size[0] > image.width or size[1] > image.height else []
    ratio = image.width * size[1] / (image.height * size[0])
    if conversion.transform == "none" and max(ratio, 1 / ratio) > STRETCH:
        notes.append("stretched")
    return image.resize(size, FILTERS[conversion.resize_filter]), notes


def _on_canvas(image, size, conversion):
    colour = conversion.background
    if colour is None:
        opaque = BLACK if conversion.transform == "center-crop-wide" else WHITE
        colour = CLEAR if conversion.channels == 4 else opaque
    canvas = Image.new("RGBA", size, colour).convert(image.mode)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


def convert(image, conversion):
    """Turn a PIL image of any mode and size into what `conversion` says.

    Returns:
        uint8 array `[H, W, C]`, and a list of notes on what was done: "16 bit", "float", "transparent", "enlarged",
        "stretched".
    Raises:
        Skip: the picture is left out; the text says why.
    """
    image, depth = to_8_bit(image)
    image, alpha = to_channels(image, conversion.channels, conversion.background)
    image, shape = shape_picture(image, conversion)
    return from_pil(image), [*depth, *alpha, *shape]

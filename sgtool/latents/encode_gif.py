"""GIF, frame by frame, in the way of encode_animation.py. GIF89a (CompuServe 1990)."""

import json
import struct

import numpy as np
from PIL import Image

from sgtool.latents.encode_animation import Animation, saved

DITHERED = 4096  # colours of a picture, from which on


class Gif(Animation):
    """256 colours a frame, exact if it has no more; a pixel is opaque or not there."""

    units = 100

    def start(self):
        height, width = self.size
        self.file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        if self.loop:
            self.file.write(b"\x21\xff\x0bNETSCAPE2.0" + _blocks(struct.pack("<BH", 1, 0)))
        self.file.write(b"\x21\xfe" + _blocks(f"sgtool {json.dumps(self.recipe)}".encode()))

    def put(self, frame):
        # A transparent pixel leaves what lies below, so that a frame with alpha is drawn whole on a cleared picture.
        if frame.shape[2] in (2, 4):
            self.before = None
        super().put(frame)

    def add(self, image, left, top):
        image, hole = _with_palette(image)
        data = saved(image, "GIF", optimize=False, interlace=0)
        bits = data[10] & 7
        palette = data[13 : 13 + 3 * 2 ** (bits + 1)]
        pixels = _pixels(data, 13 + len(palette))
        clears, none = 2, 0  # before the next frame
        disposal = none if hole is None else clears
        flags = disposal << 2 | (hole is not None)
        self.file.write(b"\x21\xf9\x04" + struct.pack("<BHBB", flags, self.shown_for(), hole or 0, 0))
        self.file.write(b"\x2c" + struct.pack("<HHHHB", left, top, *image.size, 0x80 | bits) + palette + pixels)

    def finish(self):
        self.file.write(b"\x3b")


def _blocks(data):
    """Return data as GIF keeps it: blocks of up to 255 bytes, each after its length, and an empty one."""
    parts = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _pixels(data, at):
    """Return the compressed pixels of a GIF of one picture; its blocks begin at `at`."""
    while data[at] == 0x21:  # an extension
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at] != 0x2C or data[at + 9] & 0xC0:
        raise ValueError("Pillow has written a GIF of another layout than this program knows")
    return data[at + 10 : -1]


def _with_palette(image):
    """Return (P image of at most 256 colours, number of the colour that stands for nothing; None without alpha)."""
    if image.mode in ("L", "RGB"):
        return _reduced(image.convert("RGB"), 256), None
    pixels = np.array(image.convert("RGBA"))
    opaque = pixels[:, :, 3] >= 128
    pixels[~opaque] = 0
    reduced = _reduced(Image.fromarray(pixels[:, :, :3].copy()), 255)
    palette = reduced.getpalette()[: 3 * (1 + int(np.asarray(reduced).max()))]
    hole = len(palette) // 3
    shown = Image.fromarray(np.where(opaque, np.asarray(reduced), hole).astype(np.uint8))
    shown.putpalette(palette + [0, 0, 0])
    return shown, hole


def _reduced(image, most):
    """Return an RGB image with a palette of at most `most` colours, its own if they are no more.

    Dithering is for pictures of thousands of colours; in small, enlarged pictures it would be seen.
    """
    if image.getcolors(most) is None:
        palette = image.quantize(most, Image.Quantize.MEDIANCUT)
        dither = Image.Dither.NONE if image.getcolors(DITHERED) else Image.Dither.FLOYDSTEINBERG
        return image.quantize(palette=palette, dither=dither)
    pixels = np.asarray(image)
    table, numbers = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    indexed = Image.fromarray(numbers.reshape(pixels.shape[:2]).astype(np.uint8))
    indexed.putpalette(table.ravel().tolist())
    return indexed

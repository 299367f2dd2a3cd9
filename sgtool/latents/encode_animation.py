"""APNG and WebP (GIF: encode_gif.py), frame by frame: Pillow compresses each picture, its place in the file is found here.

Pillow's own writers of animations keep all frames until the last one is there; these keep one. A frame stores the box of
what changed since the frame before.

PNG, third edition (W3C 2025), chunks acTL, fcTL and fdAT; WebP container (RFC 9649), section 2.7.
"""

import io
import json
import struct
import zlib
from fractions import Fraction

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents.recipes import texts

LONGEST_RIFF = 2**32 - 2**20


def changed_box(before, frame):
    """Return (left, top, right, bottom) around the pixels that differ, one pixel if none does; all of it for the first frame.

    Args:
        before: uint8 `[H, W, C]`, or None.
        frame: uint8 `[H, W, C]`.
    """
    if before is None:
        return 0, 0, frame.shape[1], frame.shape[0]
    different = (before != frame).any(axis=2)
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    if not rows.size:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Animation:
    """Frames on their way into a file. `units` are the parts of a second in which the format counts."""

    units = 1000

    def __init__(self, file, size, fps, recipe, loop, quality):
        self.file, self.size, self.recipe, self.loop, self.quality = file, size, recipe, loop, quality
        self.fps = Fraction(fps).limit_denominator(65535)
        self.number, self.before = 0, None
        self.start()

    def put(self, frame):
        """Add a frame, uint8 `[H, W, C]` with C from 1 to 4."""
        left, top, right, bottom = self.aligned(changed_box(self.before, frame))
        self.add(images.to_pil(frame[top:bottom, left:right]), left, top)
        self.before = frame.copy()
        self.number += 1

    def aligned(self, box):
        """Return a box that the format can place."""
        return box

    def shown_for(self):
        """Return for how many units the next frame is shown: whole numbers whose sums stay closest to the frame rate."""
        return round((self.number + 1) * self.units / self.fps) - round(self.number * self.units / self.fps)


class Apng(Animation):
    """Exact; alpha is kept."""

    def start(self):
        self.sequence = 0

    def add(self, image, left, top):
        chunks = self._compressed(image)
        if self.number == 0:
            self.file.write(b"\x89PNG\r\n\x1a\n")
            self._chunk(b"IHDR", chunks[0][1])
            info = PngImagePlugin.PngInfo()
            for key, value in texts(self.recipe).items():
                info.add_itxt(key, value)
            for kind, data, *_ in info.chunks:
                self._chunk(kind, data)
            self.control = self.file.tell()
            self._control()
        delay = 1 / self.fps
        box = struct.pack(">IIIII", self._next(), *image.size, left, top)
        self._chunk(b"fcTL", box + struct.pack(">HHBB", delay.numerator, delay.denominator, 0, 0))
        for data in (data for kind, data in chunks if kind == b"IDAT"):
            if self.number == 0:
                self._chunk(b"IDAT", data)
            else:
                self._chunk(b"fdAT", struct.pack(">I", self._next()) + data)

    def finish(self):
        self._chunk(b"IEND", b"")
        self.file.seek(self.control)
        self._control()
        self.file.seek(0, 2)

    def _control(self):
        """Write how many frames there are, which is known at the end only, and how often they are shown."""
        self._chunk(b"acTL", struct.pack(">II", max(1, self.number), 0 if self.loop else 1))

    def _next(self):
        self.sequence += 1
        return self.sequence - 1

    def _chunk(self, kind, data):
        self.file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    def _compressed(self, image):
        """Return the chunks [(kind, data)] of a picture as a PNG."""
        data = saved(image, "PNG")
        chunks, at = [], 8
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
            at += 12 + length
        return chunks


class Webp(Animation):
    """Exact at quality 100, else as libwebp's quality says; alpha is kept."""

    def start(self):
        self.file.write(b"RIFF\0\0\0\0WEBP")

    def aligned(self, box):
        return box[0] & ~1, box[1] & ~1, *box[2:]

    def add(self, image, left, top):
        if self.number == 0:
            height, width = self.size
            animated, alpha, exif = 0x02, 0x10 if image.mode in ("LA", "RGBA") else 0, 0x08
            self._chunk(b"VP8X", struct.pack("<I", animated | alpha | exif) + _three(width - 1) + _three(height - 1))
            self._chunk(b"ANIM", struct.pack("<IH", 0, 0 if self.loop else 1))
        options = {"lossless": True, "exact": True} if self.quality >= 100 else {"quality": self.quality, "exact": True}
        data, parts, at = saved(image, "WEBP", method=4, **options), b"", 12
        while at < len(data):
            kind, length = struct.unpack_from("<4sI", data, at)
            end = at + 8 + length + length % 2
            if kind in (b"ALPH", b"VP8 ", b"VP8L"):
                parts += data[at:end]
            at = end
        width, height = image.size
        box = _three(left // 2) + _three(top // 2) + _three(width - 1) + _three(height - 1)
        replaces = b"\x02"  # what lies below, its alpha too
        self._chunk(b"ANMF", box + _three(self.shown_for()) + replaces + parts)

    def finish(self):
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = f"sgtool {json.dumps(self.recipe)}"
        exif[ExifTags.Base.Software] = texts(self.recipe)["Software"]
        self._chunk(b"EXIF", exif.tobytes().removeprefix(b"Exif\0\0"))
        length = self.file.tell()
        self.file.seek(4)
        self.file.write(struct.pack("<I", length - 8))
        self.file.seek(0, 2)

    def _chunk(self, kind, data):
        if self.file.tell() + len(data) > LONGEST_RIFF:
            raise UserError("A WebP file holds at most 4 GB. Ask for fewer frames, or write .mp4 or a folder of frames.")
        self.file.write(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))


def saved(image, kind, **options):
    """Return the bytes of a PIL image as a file of its own."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _three(number):
    """Return a number as three bytes, the least first."""
    return struct.pack("<I", number)[:3]

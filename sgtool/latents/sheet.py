"""A sheet of pictures as a PNG that is written while its pictures are made: memory is one row of cells, however many there are.

PNG: ISO/IEC 15948:2004, sections 9 (filters), 10 (compression) and 11 (chunks).
"""

import zlib

import numpy as np
from PIL import PngImagePlugin

from sgtool.datasets.png import COLOUR_TYPES, SIGNATURE
from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.latents.recipes import texts
from sgtool.latents.sheet_labels import Labels

BAND_BYTES = 1 << 22  # pixels that are put together at once
LONGEST_SIDE = 2**31 - 1  # of a PNG


def write_sheet(
    path, rows, columns, size, channels, recipe, *, number_of_rows, enlarge=1, gap=0, row_labels=None, column_labels=None,
):  # fmt: skip
    """Write a sheet of pictures as a PNG, atomically, one row of cells at a time.

    Gaps and empty cells are black (transparent). 1, 2, 3 and 4 channels become L, LA, RGB and RGBA; with more, the
    channels of the sheet lie side by side as one grey picture.

    Args:
        path: the file. Whether it may be replaced is the caller's to ask (`recipes.refuse_strangers`).
        rows: iterable, which may be lazy, of lists of uint8 pictures `[H, W, C]`; None is an empty cell, and so is what
            a short list leaves out.
        columns: cells in a row.
        size: (height, width) of each picture.
        channels: C.
        recipe: dict that remakes the sheet, kept in the PNG text "sgtool".
        number_of_rows: of cells.
        enlarge: each pixel becomes a block of so many pixels a side.
        gap: pixels between cells.
        row_labels: a text for each row, at the left edge; None = no such edge.
        column_labels: a text for each column, at the upper edge; None = no such edge.
    Returns:
        `path`.
    Raises:
        UserError: the file cannot be written, or a side is longer than a PNG's may be.
        ValueError: rows, pictures or labels are not as many or as large as was said.
    """
    layout = _Layout(columns, number_of_rows, size, channels, enlarge, gap, Labels(row_labels, column_labels, size, enlarge))
    with atomic_write(path) as file:
        stream = _Stream(file, layout.height, layout.width, channels, texts(recipe))
        stream.put(layout.head())
        rows = iter(rows)
        for index in range(number_of_rows):
            for band in layout.bands(index, next(rows, None)):
                stream.put(band)
        if next(rows, None) is not None:
            raise ValueError(f"there are more than {number_of_rows} rows")
        stream.close()
    return path


class _Layout:
    """Where on the sheet each pixel of a row of cells lies."""

    def __init__(self, columns, number_of_rows, size, channels, enlarge, gap, labels):
        labels.check(number_of_rows, columns)
        self.columns, self.rows, self.size, self.channels = columns, number_of_rows, size, channels
        self.enlarge, self.gap, self.labels = enlarge, gap, labels
        self.pitch = size[1] * enlarge + gap  # from one cell to the next
        self.width = labels.left + columns * self.pitch - gap
        self.height = labels.top + number_of_rows * (size[0] * enlarge + gap) - gap
        longest = max(self.width * (channels if channels not in COLOUR_TYPES else 1), self.height)
        if longest > LONGEST_SIDE:
            raise UserError(f"The sheet would be {longest} pixels long, more than a PNG holds. Ask for fewer pictures at a time.")

    def head(self):
        """The upper edge, `[top, width, C]`."""
        edge = np.zeros([self.labels.top, self.width], np.uint8)
        for column in range(self.columns if self.labels.top else 0):
            label = self.labels.of_column(column)
            left = self.labels.left + column * self.pitch
            edge[:, left : left + label.shape[1]] = label
        return self._ink(edge)

    def bands(self, index, pictures):
        """Yield row `index` of the cells from above to below, some lines at a time: `[lines, width, C]`."""
        if pictures is None:
            raise ValueError(f"there are {index} rows instead of {self.rows}")
        wrong = [picture.shape for picture in pictures if picture is not None and picture.shape != (*self.size, self.channels)]
        if wrong or len(pictures) > self.columns:
            raise ValueError(f"row {index}: {len(pictures)} cells, of {wrong[:1]} instead of {[*self.size, self.channels]}")
        edge = self._ink(self.labels.of_row(index)) if self.labels.left else None
        step = max(1, BAND_BYTES // (self.width * self.channels * self.enlarge))
        for y in range(0, self.size[0], step):
            band = self._band(pictures, slice(y, y + step))
            if edge is not None:
                band[:, : self.labels.left] = edge[y * self.enlarge :][: len(band)]
            yield band
        if index < self.rows - 1 and self.gap:
            yield self._empty(self.gap)

    def _band(self, pictures, lines):
        """Return some lines of the pictures, enlarged and in their places."""
        band = self._empty(len(range(*lines.indices(self.size[0]))))
        for column, picture in enumerate(pictures):
            if picture is not None:
                left = self.labels.left + column * self.pitch
                band[:, left : left + self.size[1] * self.enlarge] = picture[lines].repeat(self.enlarge, axis=1)
        return band.repeat(self.enlarge, axis=0)

    def _empty(self, lines):
        band = np.zeros([lines, self.width, self.channels], np.uint8)
        band[:, : self.labels.left] = self._ink(np.zeros([lines, self.labels.left], np.uint8))
        return band

    def _ink(self, grey):
        """Turn grey `[H, W]` into pixels `[H, W, C]`, opaque where there is an alpha channel."""
        pixels = grey[:, :, np.newaxis].repeat(self.channels, axis=2)
        if self.channels in (2, 4):
            pixels[:, :, -1] = 255
        return pixels


class _Stream:
    """A PNG that is written from above to below."""

    def __init__(self, file, height, width, channels, text):
        self.file, self.channels = file, channels
        self.parts = 1 if channels in COLOUR_TYPES else channels  # side by side
        self.samples = channels // self.parts  # of a pixel
        self.above = np.zeros([1, width * channels], np.uint8)
        self.pressed = zlib.compressobj()
        file.write(SIGNATURE)
        sides = (width * self.parts).to_bytes(4, "big") + height.to_bytes(4, "big")
        self._chunk(b"IHDR", sides + bytes([8, COLOUR_TYPES[self.samples], 0, 0, 0]))
        info = PngImagePlugin.PngInfo()
        for key, value in text.items():
            info.add_itxt(key, value)
        for kind, data, *_ in info.chunks:
            self._chunk(kind, data)

    def _chunk(self, kind, data):
        PngImagePlugin.putchunk(self.file, kind, data)

    def put(self, band):
        """Add lines `[H, W, C]`."""
        step = max(1, BAND_BYTES // self.above.size)
        for start in range(0, len(band), step):
            lines = band[start : start + step]
            if self.parts > 1:
                lines = lines.transpose(0, 2, 1)
            lines = lines.reshape(len(lines), -1)
            if data := self.pressed.compress(_filtered(lines, self.above, self.samples)):
                self._chunk(b"IDAT", data)
            self.above = lines[-1:]

    def close(self):
        self._chunk(b"IDAT", self.pressed.flush())
        self._chunk(b"IEND", b"")


def _filtered(lines, above, samples):
    """Return lines `[H, bytes]` as a PNG keeps them: the kind of filter, then what it leaves.

    Of none (0), difference to the left (1) and to the line above (2), each line has the one whose bytes, taken as signed
    numbers, have the least sum: section 12.8 of the standard.
    """
    left = lines.copy()
    left[:, samples:] -= lines[:, :-samples]
    ways = [lines, left, lines - np.concatenate([above, lines[:-1]])]
    costs = [np.minimum(way, -way).sum(axis=1, dtype=np.int64) for way in ways]  # |signed byte|
    best = np.argmin(costs, axis=0)
    filtered = np.empty([len(lines), 1 + lines.shape[1]], np.uint8)
    filtered[:, 0] = best
    for kind, way in enumerate(ways):
        filtered[best == kind, 1:] = way[best == kind]
    return filtered.tobytes()

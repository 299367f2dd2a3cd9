"""The texts along the edges of a sheet, as grey pixels."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sgtool.datasets.face_sheet import caption

LONGEST = 160  # pixels of a text; longer ones lose their middle
SPACE = 3  # pixels around a text
LARGE = 320  # pixels: cells with sides of twice that have texts twice as large, and so on


class Labels:
    """Texts for the rows and the columns of a sheet.

    A text that is wider than its column stands upright, and so do all texts of columns then.

    Args:
        rows, columns: list of texts, or None for none.
        size: (height, width) of a picture.
        enlarge: each pixel is a block of so many pixels a side.
    """

    def __init__(self, rows, columns, size, enlarge):
        self.cell = tuple(side * enlarge for side in size)  # height, width
        self.scale = max(1, min(self.cell) // LARGE)
        self.font = ImageFont.load_default()
        self.rows, self.columns = self._captions(rows), self._captions(columns)
        widest = max(map(self.font.getlength, self.columns), default=0) + 2 * SPACE
        self.upright = widest * self.scale > self.cell[1]
        line = self._line_height() * self.scale
        self.left = self._longest(self.rows) if self.rows else 0  # pixels of the edge
        self.top = (self._longest(self.columns) if self.upright else line) if self.columns else 0

    def check(self, rows, columns):
        """Raise ValueError unless there are so many, or none."""
        for texts, number in ((self.rows, rows), (self.columns, columns)):
            if texts and len(texts) != number:
                raise ValueError(f"{len(texts)} labels for {number} rows or columns")

    def of_row(self, index):
        """The text at the left of row `index`, uint8 `[height of a cell, left]`."""
        return self._placed(self.rows[index], (self.cell[0], self.left), upright=False)

    def of_column(self, index):
        """The text above column `index`, uint8 `[top, width of a cell]`."""
        return self._placed(self.columns[index], (self.top, self.cell[1]), self.upright)

    def _captions(self, texts):
        return [caption(text, self.font, LONGEST) for text in texts or []]

    def _line_height(self):
        return self.font.getbbox("Ag")[3] + 2 * SPACE

    def _longest(self, texts):
        return (int(max(map(self.font.getlength, texts))) + 1 + 2 * SPACE) * self.scale

    def _placed(self, text, shape, upright):
        """Return a text in the middle of `shape`; what does not fit is cut off."""
        drawn = Image.new("L", (int(self.font.getlength(text)) + 1, self._line_height()))
        ImageDraw.Draw(drawn).text((0, SPACE), text, 255, self.font)
        drawn = drawn.resize([side * self.scale for side in drawn.size], Image.Resampling.LANCZOS)
        if upright:
            drawn = drawn.transpose(Image.Transpose.ROTATE_90)
        height, width = shape
        place = Image.new("L", (width, height))
        place.paste(drawn, ((width - drawn.width) // 2, (height - drawn.height) // 2))
        return np.asarray(place)

"""Contact sheets: thumbnails of many pictures with the faces that were found in them, page by page."""

import unicodedata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sgtool.datasets.transforms import to_8_bit, to_channels
from sgtool.errors import UserError
from sgtool.files import atomic_write

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
COLUMNS, ROWS = 6, 5  # thumbnails on a page
SIDE, GAP, CAPTION = 240, 8, 18  # pixels: of a thumbnail, between two, of the line under each
PAPER, INK = (255, 255, 255), (32, 32, 32)
BOX, POINT = (0, 220, 60), (255, 60, 160)


def thumbnail(picture, faces=(), side=SIDE):
    """Make a small copy of a picture with the boxes and landmarks of its faces.

    Args:
        picture: PIL image of any mode (see `transforms.to_8_bit`).
        faces: list of `faces.Face`.
        side: longest side of the copy in pixels.
    Returns:
        PIL image RGB.
    """
    picture, _ = to_8_bit(picture)
    picture, _ = to_channels(picture, 3, None)
    scale = min(1.0, side / max(picture.size))
    size = [max(1, round(n * scale)) for n in picture.size]
    small = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    draw = ImageDraw.Draw(small)
    for face in faces:
        left, top, right, bottom = face.box
        draw.rectangle([left * scale, top * scale, (right + 1) * scale, (bottom + 1) * scale], outline=BOX, width=2)
        draw.point([(float(x + 0.5) * scale, float(y + 0.5) * scale) for x, y in face.landmarks], fill=POINT)
    return small


def contact_sheet(entries, columns=COLUMNS, side=SIDE):
    """Lay thumbnails out row by row, with a name under each.

    Args:
        entries: list of (name, PIL image RGB of at most `side` x `side`).
        columns: thumbnails in a row.
        side: of the square that each one is centred in, in pixels.
    Returns:
        PIL image RGB, as wide as `columns` thumbnails, as high as it needs to be.
    """
    rows = max(1, -(-len(entries) // columns))
    width, height = side + GAP, side + CAPTION + GAP
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for i, (name, picture) in enumerate(entries):
        left, top = GAP + i % columns * width, GAP + i // columns * height
        sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
        text = caption(name, font, side)
        draw.text((left + (side - font.getlength(text)) / 2, top + side + 3), text, INK, font)
    return sheet


def caption(name, font, width):
    """Shorten a name in its middle until it is at most `width` pixels wide.

    PIL's font has ASCII only: accents are dropped, other letters become `?`.
    """
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    name = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in bare)
    text, kept = name, min(len(name), width)
    while font.getlength(text) > width and kept > 1:
        kept -= 1
        text = name[: kept // 2] + "..." + name[len(name) - (kept - kept // 2) :]
    return text


class ContactSheets:
    """Pages of thumbnails in files, each written when it is full, so that any number of pictures takes the memory of one.

    The first page is `path` itself, the others `faces-2.jpg`, `faces-3.jpg`, ... beside it; files that are there are
    replaced. Used as a context manager, it writes the last page at the end, unless there was an error.

    Args:
        path: `.png`, `.jpg` or `.webp` file, in a folder that exists.
        columns, rows: thumbnails on a page.
        side: longest side of a thumbnail in pixels.
    Raises:
        UserError: another ending, no such folder, or a page cannot be written.
    """

    def __init__(self, path, columns=COLUMNS, rows=ROWS, side=SIDE):
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise UserError(f"The contact sheet {path} is no kind of picture. Give a name that ends in .jpg, .png or .webp.")
        if not self.path.resolve().parent.is_dir():
            raise UserError(f"The contact sheet {path} has no folder to be in. Make it, or choose another one.")
        self.columns, self.rows, self.side = columns, rows, side
        self.paths = []
        self._waiting = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        if kind is None and self._waiting:
            self._write()

    def add(self, name, picture):
        """Put a picture (see `thumbnail`) on the page, with its name."""
        self._waiting.append((name, picture))
        if len(self._waiting) == self.columns * self.rows:
            self._write()

    def _write(self):
        number = len(self.paths) + 1
        path = self.path if number == 1 else self.path.with_name(f"{self.path.stem}-{number}{self.path.suffix}")
        with atomic_write(path) as file:
            contact_sheet(self._waiting, self.columns, self.side).save(file, FORMATS[path.suffix.lower()], quality=90)
        self.paths.append(path)
        self._waiting = []

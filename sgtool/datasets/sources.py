"""Where pictures come from: a folder, a zip, a sprite sheet, the embedded digits.

A source has an ordered list of names and gives, for each, a small object that a worker process can open. The order is
that of the sorted names, so that a source always gives the same dataset.
"""

import contextlib
import functools
import os
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sgtool.datasets.transforms import Skip, to_8_bit
from sgtool.errors import UserError
from sgtool.images import from_pil, to_pil

# Formats whose decoders are plain readers. EPS is left out on purpose: opening one runs Ghostscript.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO", "PCX", "QOI")
EXTENSIONS = frozenset(
    f".{ending}"
    for ending in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "tga"),
        *("jp2", "j2k", "jpx", "avif", "ico", "pcx", "qoi"),
        *("heic", "heif"),  # not readable here, but pictures: they must show up as skipped, not vanish
    )
)
METADATA = ("dataset.json", "prepare.json")
LARGEST_FILE = 1 << 30  # bytes of one picture inside a zip, unpacked
EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_picture_name(name):
    """Tell whether `name` (forward slashes) is a picture file by its ending. Hidden files and `__MACOSX` are not."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and os.path.splitext(parts[-1])[1].lower() in EXTENSIONS


# ---------------------------------------------------------------------------------------------------------------------
# One picture


@dataclass(frozen=True)
class FilePicture:
    """A picture in a file of its own."""

    path: str

    def stream(self):
        return open(self.path, "rb")


@dataclass(frozen=True)
class ZipPicture:
    """A picture inside a zip. It is read from there; nothing is unpacked to the disk."""

    archive: str
    stamp: tuple  # size and time of the archive: a handle kept open is not used for a newer file of that name
    member: str

    def stream(self):
        archive = _open_zip(self.archive, self.stamp)
        if archive.getinfo(self.member).file_size > LARGEST_FILE:
            raise Skip(f"larger than {LARGEST_FILE >> 30} GiB unpacked", unreadable=True)
        return archive.open(self.member)


@dataclass(frozen=True)
class ArrayPicture:
    """A picture in memory: uint8 `[H, W, C]`."""

    array: np.ndarray


@functools.lru_cache(maxsize=1)
def _open_zip(path, stamp):
    return zipfile.ZipFile(path)


def close_files():
    """Close the zip that this process keeps open between two pictures."""
    _open_zip.cache_clear()


@functools.cache
def formats():
    """Names of the picture formats that may be opened."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def _reading():
    """Turn whatever a decoder raises into `Skip`. Decoders of broken files raise nearly anything, so all is caught here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, of no effect on the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Skip:
        raise
    except UnidentifiedImageError as error:
        raise Skip("not a picture in a known format", unreadable=True) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Skip(f"more than {Image.MAX_IMAGE_PIXELS} pixels", unreadable=True) from error
    except OSError as error:
        raise Skip(error.strerror or str(error), unreadable=True) from error
    except Exception as error:
        raise Skip(str(error) or type(error).__name__, unreadable=True) from error


def load(picture):
    """Decode a picture and turn it upright by its EXIF orientation.

    Returns:
        PIL image of any mode.
    Raises:
        Skip: it cannot be read; the text says why.
    """
    if isinstance(picture, ArrayPicture):
        return to_pil(picture.array)
    with _reading(), picture.stream() as file, Image.open(file, formats=formats()) as image:
        image.load()
        turn = TURNS.get(image.getexif().get(EXIF_ORIENTATION, 1))
        return image.transpose(turn) if turn is not None else image.copy()


def examine(picture):
    """Read a picture's header only.

    Returns:
        (width, height) upright, and the PIL mode.
    Raises:
        Skip: it cannot be read.
    """
    if isinstance(picture, ArrayPicture):
        image = to_pil(picture.array)
        return image.size, image.mode
    with _reading(), picture.stream() as file, Image.open(file, formats=formats()) as image:
        # A PNG tells its orientation before the pixels; asking `getexif` for one that has none would decode it all.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        sideways = exif.get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
        # PIL turns TIFF pictures itself, and from some version on says so before it does: ask the file, not PIL.
        size = (image.tag_v2[256], image.tag_v2[257]) if image.format == "TIFF" else image.size
        return (size[::-1] if sideways else size), image.mode


# ---------------------------------------------------------------------------------------------------------------------
# Many pictures


@dataclass
class Source:
    """An ordered collection of pictures.

    Attributes:
        names: what each picture is called: its path below the source with forward slashes, `tile00042.png`, ...
        picture: function from an index to a `FilePicture`, `ZipPicture` or `ArrayPicture`.
        text: function from the name of a text file at the top of the source (dataset.json) to its bytes, or None.
        labels: `{name: label}` that the source brings itself, or None.
        class_names: names of the classes 0, 1, ... of `labels`, or None.
        ignored_files: files that are no pictures.
        empty_tiles: fully transparent tiles of a sprite sheet.
    """

    names: list
    picture: object
    text: object = field(default=lambda name: None)
    labels: dict | None = None
    class_names: list | None = None
    ignored_files: int = 0
    empty_tiles: int = 0


def open_source(source, tile=None):
    """Find out what `source` is and list its pictures.

    Args:
        source: folder, zip, picture (with `tile`) or `demo:digits`.
        tile: (width, height) of the tiles of a sprite sheet in pixels, or None.
    Raises:
        UserError: it is not there, it is none of these, or it holds no picture.
    """
    source = str(source)
    path = Path(source)
    if tile is not None:
        return sheet_source(path, tile)
    if source.startswith("demo:"):
        return demo_source(source)
    if path.is_dir():
        return folder_source(path)
    if not path.exists():
        raise UserError(f"{source} does not exist. Give a folder of pictures, a zip, a sprite sheet with --tile, or demo:digits.")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return zip_source(path)
    if path.suffix.lower() in EXTENSIONS:
        raise UserError(f"{source} is a single picture. Give a folder of pictures, or cut a sprite sheet into tiles: --tile 24")
    raise UserError(f"{source} is not a folder, a zip or a picture. Put the pictures into a folder or a zip.")


def folder_source(folder):
    """The pictures in a folder and in all folders below it (symbolic links are followed, each folder once)."""
    files = {}
    seen = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = os.path.join(here, name)
            shown = os.fsencode(os.path.relpath(path, folder)).decode("utf-8", "replace").replace(os.sep, "/")
            files[shown] = path
    names = _pictures_among(files, folder)

    def text(name):
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    return Source(names, lambda i: FilePicture(files[names[i]]), text, ignored_files=_ignored(files, names))


def zip_source(path):
    """The pictures in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = {info.filename.replace("\\", "/"): info.filename for info in archive.infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} cannot be read as a zip ({error}). Download or pack it again.") from error
    stamp = (path.stat().st_size, path.stat().st_mtime_ns)
    names = _pictures_among(files, path)

    def text(name):
        if name not in files:
            return None
        with zipfile.ZipFile(path) as archive:
            return archive.read(files[name])

    return Source(names, lambda i: ZipPicture(str(path), stamp, files[names[i]]), text, ignored_files=_ignored(files, names))


def _pictures_among(files, where):
    names = sorted(name for name in files if is_picture_name(name))
    if not names:
        what = f"{len(files)} files, but none is a picture" if files else "nothing"
        raise UserError(f"{where} holds {what}. Give a folder or zip of PNG, JPEG, WebP, GIF, BMP or TIFF pictures.")
    return names


def _ignored(files, names):
    return len(files) - len(names) - sum(name in files for name in METADATA)


def sheet_source(path, tile):
    """The tiles of a sprite sheet, row by row. Fully transparent tiles are left out.

    Tiles are called `tile00000.png`, `tile00001.png`, ...; empty ones keep their number.
    """
    width, height = tile
    if not path.is_file():
        raise UserError(f"--tile {width}x{height}: {path} is not a picture file. Give the sprite sheet itself.")
    try:
        image, _ = to_8_bit(load(FilePicture(str(path))))
    except Skip as reason:
        raise UserError(f"{path}: the sprite sheet cannot be read: {reason}. Save it again as PNG.") from reason
    sheet = from_pil(image)
    columns, rows = sheet.shape[1] // width, sheet.shape[0] // height
    if (columns * width, rows * height) != image.size:
        raise UserError(
            f"--tile {width}x{height}: {path} is {image.width}x{image.height}, which is no whole number of tiles. "
            "Give the tile size that divides it."
        )
    cells = sheet.reshape(rows, height, columns, width, -1).swapaxes(1, 2).reshape(rows * columns, height, width, -1)
    if image.mode in ("LA", "RGBA"):
        kept = np.flatnonzero(cells[..., -1].max(axis=(1, 2)))
    else:
        kept = np.arange(rows * columns)
    if not len(kept):
        raise UserError(f"{path}: every tile is fully transparent. Give another sprite sheet.")
    names = [f"tile{i:05d}.png" for i in kept]
    return Source(names, lambda i: ArrayPicture(cells[kept[i]]), empty_tiles=rows * columns - len(kept))


def demo_source(name):
    """`demo:digits`: 1,797 handwritten digits, grey, 8x8, with their labels.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998), CC BY 4.0.
    The 17 grey levels 0..16 are scaled to 0..255.
    """
    if name != "demo:digits":
        raise UserError(f"{name} is not known. The one embedded collection is demo:digits.")
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        levels, digits = file["images"], file["labels"]
    pictures = np.rint(levels * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # [N, 8, 8, 1]
    names = [f"digit{i:05d}.png" for i in range(len(pictures))]
    labels = {name: int(digit) for name, digit in zip(names, digits, strict=True)}
    return Source(names, lambda i: ArrayPicture(pictures[i]), labels=labels, class_names=[str(i) for i in range(10)])

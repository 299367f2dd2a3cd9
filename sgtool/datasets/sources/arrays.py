"""NumPy arrays of pictures, `.npy`. They stay on the disk and are read picture by picture."""

import ast
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.array_labels import labels_from_array
from sgtool.datasets.sources.kept import kept
from sgtool.datasets.sources.pictures import Raw, open_regular, open_stamped, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.errors import UserError

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1 << 16  # bytes


class NoArray(ValueError):
    """It is not an array file, or a damaged one."""


@dataclass(frozen=True)
class Place:
    """Where an array of bytes lies in a file: uint8 `shape`, from `offset`, by columns (Fortran) or rows."""

    offset: int
    shape: tuple
    by_columns: bool


@dataclass(frozen=True)
class MappedPicture(Raw):
    """Picture number `index` of an array in a file. `axes` are those of height, width and channels in `array[index]`."""

    path: str
    stamp: tuple
    place: Place
    index: int
    axes: tuple

    def pixels(self):
        array = kept((self.path, self.stamp, self.place), self._open).array
        return np.ascontiguousarray(array[self.index].transpose(self.axes).reshape(self.shape()))

    def shape(self):
        sizes = self.place.shape[1:]
        return (*(sizes[axis] for axis in self.axes), 1)[:3]

    def _open(self):
        return _Mapped(open_stamped(self.path, self.stamp), self.place)


class _Mapped:
    """An array that is read from its file as it is used."""

    def __init__(self, file, place):
        order = "F" if place.by_columns else "C"
        with file:
            self.array = np.memmap(file, np.uint8, "r", place.offset, place.shape, order)

    def close(self):
        self.array._mmap.close()


def array_header(file, size):
    """Read the header of an array file, where `file` stands.

    Args:
        file: binary file.
        size: bytes of the array file, header included.
    Returns:
        dtype as text, shape, by columns or not, bytes of the header.
    Raises:
        NoArray: it is not one, or its size is not what the header says.
    """
    head = file.read(8)
    if head[:6] != MAGIC or head[6] not in (1, 2, 3):
        raise NoArray("not an array of NumPy")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_HEADER or 8 + width + length > size:
        raise NoArray("its header is too long")
    try:
        header = ast.literal_eval(file.read(length).decode("utf-8" if head[6] == 3 else "latin1"))
        kind, shape, by_columns = header["descr"], header["shape"], header["fortran_order"]
        whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        dtype = np.dtype(kind) if isinstance(kind, str) else None
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise NoArray("its header is damaged") from error
    if dtype is None or dtype.hasobject or not whole:
        raise NoArray("it holds Python objects, which are not read")
    start = 8 + width + length
    if math.prod(shape) * dtype.itemsize != size - start:
        raise NoArray(f"its header says {list(shape)} {dtype}, which is not its size")
    return dtype, shape, bool(by_columns), start


def npy_source(path):
    """The pictures of an array file: uint8 `[N, H, W, C]`, `[N, C, H, W]` or `[N, H, W]`. They are `img00000000.png`, ..."""
    path = Path(path)
    stamp = stamp_of(path)
    with open_regular(path) as file:
        dtype, place = find_array(path, file, stamp[0])
    return array_source(path, path, stamp, dtype, place, {})


def find_array(where, file, size):
    """Return dtype and `Place` of the array file of `size` bytes that begins where `file` stands; `where` is for the message."""
    start = file.tell()
    try:
        dtype, shape, by_columns, head = array_header(file, size)
    except NoArray as error:
        raise UserError(f"{where} cannot be read: {error}. Write it again with numpy.save.") from error
    return dtype, Place(start + head, shape, by_columns)


def array_source(shown, path, stamp, dtype, place, labels):
    """The pictures of an array, `img00000000.png`, ...

    Args:
        shown: what it is called in messages.
        path, stamp, place: where it lies.
        dtype: its type; uint8, or it is refused.
        labels: `{name: array}`, one or none.
    """
    if dtype != np.uint8:
        raise UserError(f"{shown} is {dtype}. Pictures must be uint8, 0 to 255: convert it, and save it again.")
    axes, warnings = _axes(shown, place.shape)
    if not math.prod(place.shape):
        raise UserError(f"{shown} holds no picture: its shape is {list(place.shape)}. Give another file.")
    where = str(path)
    names = [f"img{i:08d}.png" for i in range(place.shape[0])]
    by_name = None
    for name, array in labels.items():
        by_name = labels_from_array(array, names, f"{shown}: {name}")
    return Source(
        names,
        lambda i: MappedPicture(where, stamp, place, i, axes),
        labels=by_name,
        warnings=warnings,
        stamps=[(where, *stamp)],
    )


def _axes(shown, shape):
    """Tell which axes of a picture are height, width and channels."""
    if len(shape) == 3 and shape[2] not in (3, 4):
        return (0, 1), []
    if len(shape) == 3:
        raise UserError(f"{shown} is {list(shape)}: one picture, or many that are {shape[2]} wide? Make it [N, H, W, C].")
    if len(shape) != 4 or not {shape[1], shape[3]} & {1, 3, 4}:
        raise UserError(f"{shown} is {list(shape)}. Pictures are [N, H, W, C], [N, C, H, W] or [N, H, W], with C 1, 3 or 4.")
    if shape[3] in (1, 3, 4):
        both = shape[1] in (1, 3, 4)
        return (0, 1, 2), [f"{shown} is {list(shape)}: it was read as [N, H, W, C], although it could be [N, C, H, W]."] * both
    return (1, 2, 0), []

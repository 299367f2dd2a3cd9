"""One picture of a source: a small object that can be pickled, and that a worker process can open.

There are two kinds. `Encoded` ones have `stream()`, which opens a picture file for Pillow. `Raw` ones have `pixels()`, which
returns a uint8 array `[H, W, C]`, and `shape()`. Either raises `Skip` or OSError where the picture cannot be read.
"""

import io
import os
import stat
import zipfile
from dataclasses import dataclass

import numpy as np

from sgtool.datasets.sources.kept import kept, read_at
from sgtool.datasets.transforms import Skip

LARGEST_FILE = 1 << 30  # bytes of one picture inside an archive, unpacked


class Encoded:
    """A picture in one of the formats of Pillow."""

    def stream(self):
        """Open it: a binary file that the caller closes."""
        raise NotImplementedError


class Raw:
    """A picture as plain numbers."""

    def pixels(self):
        """Return uint8 `[H, W, C]`."""
        raise NotImplementedError

    def shape(self):
        """Return (H, W, C)."""
        return self.pixels().shape


def open_regular(path):
    """Open a file for reading; never waits for the other end of a pipe.

    Raises:
        Skip: it is a pipe, a device or a folder.
        OSError: it cannot be opened.
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Skip("not a regular file", unreadable=True)
    return file


def _open_at_once(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def stamp_of(path):
    """Return (size, time) of an archive: a handle that is kept open, or a list of places, is not used for a newer file."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def open_stamped(path, stamp):
    """Open an archive that must be the one that was looked at before.

    Raises:
        Skip: it has changed since.
    """
    file = open_regular(path)
    found = os.fstat(file.fileno())
    if (found.st_size, found.st_mtime_ns) != tuple(stamp):
        file.close()
        raise Skip("the file it lies in has changed meanwhile", unreadable=True)
    return file


def read_span(path, stamp, offset, size):
    """Return `size` bytes from the place `offset` of an archive.

    Raises:
        Skip: it ends before, has changed, or so much is no picture.
    """
    if size > LARGEST_FILE:
        raise Skip(f"larger than {LARGEST_FILE >> 30} GiB", unreadable=True)
    data = read_at((path, stamp), lambda: open_stamped(path, stamp), offset, size)
    if len(data) != size:
        raise Skip("the file it lies in ends before it does", unreadable=True)
    return data


@dataclass(frozen=True)
class FilePicture(Encoded):
    """A picture in a file of its own."""

    path: str

    def stream(self):
        return open_regular(self.path)


@dataclass(frozen=True)
class ZipPicture(Encoded):
    """A picture inside a zip. It is read from there; nothing is unpacked to the disk."""

    archive: str
    stamp: tuple
    member: str

    def stream(self):
        archive = kept((self.archive, self.stamp, "zip"), self._open)
        info = archive.getinfo(self.member)
        if info.flag_bits & 1:
            raise Skip("encrypted", unreadable=True)
        if info.file_size > LARGEST_FILE:
            raise Skip(f"larger than {LARGEST_FILE >> 30} GiB unpacked", unreadable=True)
        return archive.open(info)

    def _open(self):
        file = open_stamped(self.archive, self.stamp)
        try:
            return _ZipHandle(file)
        except BaseException:
            file.close()
            raise


class _ZipHandle(zipfile.ZipFile):
    """A zip that closes the file it reads."""

    def __init__(self, file):
        super().__init__(file)
        self._own = file

    def close(self):
        super().close()
        self._own.close()


@dataclass(frozen=True)
class SpanPicture(Encoded):
    """A picture file that is a range of bytes of another file, such as a tar."""

    path: str
    stamp: tuple
    offset: int
    size: int

    def stream(self):
        return io.BytesIO(read_span(self.path, self.stamp, self.offset, self.size))


@dataclass(frozen=True)
class RawPicture(Raw):
    """Pixels, one byte each, that are a range of bytes of a file.

    Attributes:
        sizes: length of each axis as stored.
        axes: which axis of those is the height, the width and the channels: (1, 2, 0) for pictures stored plane by plane;
            two numbers for grey pictures.
    """

    path: str
    stamp: tuple
    offset: int
    sizes: tuple
    axes: tuple

    def pixels(self):
        data = read_span(self.path, self.stamp, self.offset, int(np.prod(self.sizes)))
        array = np.frombuffer(data, np.uint8).reshape(self.sizes).transpose(self.axes)
        return np.ascontiguousarray(array.reshape(self.shape()))

    def shape(self):
        return (*(self.sizes[axis] for axis in self.axes), 1)[:3]


@dataclass(frozen=True)
class ArrayPicture(Raw):
    """A picture in memory: uint8 `[H, W, C]`."""

    array: np.ndarray

    def pixels(self):
        return self.array


@dataclass(frozen=True)
class BrokenPicture(Encoded):
    """What should have been a picture: it is skipped for this reason, so that it is listed and not lost."""

    reason: str

    def stream(self):
        raise Skip(self.reason, unreadable=True)


@dataclass(frozen=True)
class FramePicture(Encoded):
    """One of several pictures in a file: a frame of an animation, a page of a TIFF. `frame` counts from 0."""

    file: Encoded
    frame: int

    @property
    def stamp(self):
        """That of the archive the file lies in, if it lies in one (otherwise there is no such attribute)."""
        return self.file.stamp

    def stream(self):
        return self.file.stream()

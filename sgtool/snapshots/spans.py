"""Bytes of a file, and tensors in it, that are described first and read when they are asked for."""

import contextlib
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sgtool.errors import UserError

LARGEST = 2**48  # sizes, steps and offsets beyond it are nonsense, and would not fit into torch's own arithmetic
MOST_AXES = 8


class Refused(Exception):  # noqa: N818 - a verdict on a file, not an error of the program
    """A file that is not opened. The text goes on after the file's name: "is damaged: ...", "asks for os.system ..."."""


def damaged(what):
    """Return the `Refused` for a file that contradicts itself: "a part of it reaches beyond its end"."""
    return Refused(f"is damaged: {what}. Copy or download it again.")


class Span:
    """A range of bytes in an open file. Nothing is read until it is asked for, and never more than is there.

    Args:
        file: an open binary file (or `io.BytesIO`), used by this process alone.
        start, size: the range in bytes.
    """

    def __init__(self, file, start, size):
        self.file, self.start, self.size = file, start, size

    def __len__(self):
        return self.size

    def part(self, offset, size):
        """Return the `Span` of `size` bytes from `offset` on.

        Raises:
            Refused: it reaches beyond the end.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise damaged("a part of it reaches beyond its end")
        return Span(self.file, self.start + offset, size)

    def read(self, offset=0, size=None):
        """Return `size` bytes from `offset` on (None = to the end) as bytes."""
        part = self.part(offset, self.size - offset if size is None else size)
        with _system_errors():
            self.file.seek(part.start)
            data = self.file.read(part.size)
        if len(data) != part.size:
            raise damaged("it became shorter while it was read")
        return data

    def into(self, buffer):
        """Fill a writable buffer, as long as the span, with its bytes."""
        view = memoryview(buffer).cast("B")
        with _system_errors():
            self.file.seek(self.start)
            complete = len(view) == self.size and self.file.readinto(view) == self.size
        if not complete:
            raise damaged("it became shorter while it was read")


@contextlib.contextmanager
def _system_errors():
    """Turn an error of the disk or the network behind a file into `Refused`."""
    try:
        yield
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def file_span(path, wanted):
    """Open a file: yields the `Span` of all of it. Links are followed; nothing but a plain file is opened.

    Args:
        path: the file.
        wanted: what is expected, for messages: "a snapshot".
    Raises:
        UserError: it does not exist, is a folder or a device, is empty, or cannot be read.
    """
    path = Path(path)
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):
            raise UserError(f"{path} is not a file. Give {wanted}.")
        file = open(path, "rb")  # noqa: SIM115 - closed below; what the `with` block of the caller raises is not ours to name
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path} does not exist. Give {wanted}, or a run folder that holds one.") from error
    except (OSError, ValueError) as error:  # a ValueError for a name that no file can have
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError(f"{path} is empty. Copy or download it again.")
        yield Span(file, 0, size)


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor in a file: its type and shape are known, its numbers are read by `tensor()`.

    Raises:
        Refused: type and shape need more bytes than there are; nothing has been allocated by then.
    """

    span: Span = field(repr=False)  # the whole storage
    dtype: torch.dtype
    shape: tuple
    strides: tuple | None = None  # in elements; None = contiguous
    offset: int = 0  # of the first element, in elements
    swapped: bool = False  # bytes of an element are in the order of the other kind of machine

    def __post_init__(self):
        strides = () if self.strides is None else self.strides
        whole = all(type(n) is int and 0 <= n < LARGEST for n in (*self.shape, *strides, self.offset))
        if not whole or len(self.shape) > MOST_AXES or (self.strides is not None and len(strides) != len(self.shape)):
            raise damaged(f"it describes a tensor of shape {_brief(self.shape)}")
        held = self.span.size // self.dtype.itemsize
        if self.numel == 0:
            if math.prod(max(n, 1) for n in self.shape) >= LARGEST:
                raise damaged(f"it describes a tensor of shape {_brief(self.shape)}")
        elif self.numel > held or self.offset + self.reach > held:
            raise damaged(f"it describes a tensor of shape {_brief(self.shape)} but holds {held} numbers for it")

    @property
    def numel(self):
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def reach(self):
        """How many numbers lie from its first to its last in the storage; those between them may belong to others."""
        if self.strides is None or self.numel == 0:
            return self.numel
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    def tensor(self):
        """Read it. Returns a contiguous CPU tensor that owns its memory."""
        if self.numel == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        size, reach = self.dtype.itemsize, self.reach
        data = torch.empty(reach * size, dtype=torch.uint8)
        self.span.part(self.offset * size, reach * size).into(data.numpy())
        if self.swapped:
            single = size // 2 if self.dtype.is_complex else size
            data = data.view(-1, single).flip(1).view(-1)
        data = data.view(self.dtype)
        return data.view(self.shape) if self.strides is None else data.as_strided(self.shape, self.strides).contiguous()


def _brief(shape):
    return f"[{', '.join(str(n) if type(n) is int and abs(n) < LARGEST else '...' for n in shape[: MOST_AXES + 1])}]"

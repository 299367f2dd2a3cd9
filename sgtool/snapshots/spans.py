"""Bytes of a file, and tensors in it, that are described first and read when they are asked for."""

import math
from dataclasses import dataclass, field

import torch


class Refused(Exception):  # noqa: N818 - a verdict on a file, not an error of the program
    """A file that is not opened. The text goes on after the file's name: "is damaged: ...", "asks for os.system ..."."""


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
            raise Refused("is damaged: a part of it reaches beyond its end. Copy or download it again.")
        return Span(self.file, self.start + offset, size)

    def read(self, offset=0, size=None):
        """Return `size` bytes from `offset` on (None = to the end) as bytes."""
        part = self.part(offset, self.size - offset if size is None else size)
        self.file.seek(part.start)
        data = self.file.read(part.size)
        if len(data) != part.size:
            raise Refused("is damaged: it became shorter while it was read. Copy or download it again.")
        return data

    def into(self, buffer):
        """Fill a writable buffer, as long as the span, with its bytes."""
        view = memoryview(buffer).cast("B")
        self.file.seek(self.start)
        if len(view) != self.size or self.file.readinto(view) != self.size:
            raise Refused("is damaged: it became shorter while it was read. Copy or download it again.")


@dataclass(frozen=True)
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
        whole = all(type(n) is int and n >= 0 for n in (*self.shape, *(self.strides or ()), self.offset))
        if not whole or len(self.shape) > 8 or (self.strides is not None and len(self.strides) != len(self.shape)):
            raise Refused(f"is damaged: it describes a tensor of shape {list(self.shape)[:9]}. Copy or download it again.")
        held = self.span.size // self.dtype.itemsize
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self._strides(), strict=True))
        if self.numel and (self.numel > held or last >= held):
            raise Refused(
                f"is damaged: it describes a tensor of shape {list(self.shape)} but holds {held} numbers for it. "
                "Copy or download it again."
            )

    @property
    def numel(self):
        """How many numbers it has."""
        return math.prod(self.shape)

    def _strides(self):
        if self.strides is not None:
            return self.strides
        return tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))

    def tensor(self):
        """Read it. Returns a contiguous CPU tensor that owns its memory."""
        if self.numel == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        size = self.dtype.itemsize
        reach = 1 + sum((n - 1) * step for n, step in zip(self.shape, self._strides(), strict=True))
        data = torch.empty(reach * size, dtype=torch.uint8)
        self.span.part(self.offset * size, reach * size).into(data.numpy())
        if self.swapped and size > 1:
            data = data.view(-1, size).flip(1).contiguous().view(-1)
        return data.view(self.dtype).as_strided(self.shape, self._strides()).contiguous()

"""A pickle as a row of bytes, read a window at a time, and what reading it may cost."""

import struct

from sgtool.snapshots.spans import Refused, damaged

WINDOW = 1 << 14  # bytes read at a time


class Budget:
    """What opening a file may cost, in relation to its size, so that a small file cannot take hours or all memory.

    Args:
        size: of the file in bytes.

    An opcode is one unit of work, and so are 16 bytes of text; the largest genuine files need 100,000. Tensors are counted
    with the bytes between their first number and their last; genuine ones are together as large as the file.
    """

    def __init__(self, size):
        self.work = min(150_000 + size // 8, 600_000)
        self.tensors = 4 * size + (1 << 20)

    def spend(self, work):
        """Raise `Refused` if there is not as much left."""
        self.work -= work
        if self.work < 0:
            raise Refused("asks for far more objects than any model of its size has, and is not opened.")

    def spend_tensor(self, stored):
        """Count a tensor, and return it."""
        self.tensors -= stored.reach * stored.dtype.itemsize
        if self.tensors < 0:
            raise damaged("it describes tensors that are together much larger than the file")
        self.spend(4)
        return stored


class Stream:
    """The bytes of a span in order, a window at a time. `at` is a place in the window `data`."""

    def __init__(self, span):
        self.span = span
        self.base, self.at, self.data = 0, 0, b""
        self.fill(0)

    @property
    def position(self):
        """How many bytes of the span are behind."""
        return self.base + self.at

    def fill(self, size):
        """Read the next window, at least `size` bytes."""
        here = self.position
        left = len(self.span) - here
        if size > left:
            raise damaged("it is cut short")
        self.base, self.at, self.data = here, 0, self.span.read(here, min(max(size, WINDOW), left))
        self.low = len(self.data) - 16 if left > len(self.data) else len(self.data)  # beyond it, fill again

    def take(self, size):
        """Return the next `size` bytes."""
        if self.at + size > len(self.data):
            self.fill(size)
        start = self.at
        self.at = start + size
        return self.data[start : self.at]

    def skip(self, size):
        """Return the next `size` bytes as an unread `Span`."""
        part = self.span.part(self.position, size)
        self.at += size
        if self.at > len(self.data):
            self.fill(0)
        return part

    def line(self, longest):
        """Return the bytes up to the next newline, and pass it."""
        while True:
            end = self.data.find(b"\n", self.at, self.at + longest + 1)
            if end >= 0:
                line = self.data[self.at : end]
                self.at = end + 1
                return line
            have = len(self.data) - self.at
            if have > longest:
                raise damaged("a line of it is too long")
            self.fill(min(2 * have + 64, max(len(self.span) - self.position, have + 1)))

    def number(self, form, size):
        """Return the next `size` bytes as a number, `form` as in struct."""
        if self.at + size > len(self.data):
            self.fill(size)
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return value

"""The pickles of the CIFAR archives, read without Python's pickle: nothing that a file names is looked up or called.

They hold a dict of texts, numbers, lists of these, and one NumPy array of bytes, which is not read but only found. The codes
are those of protocol 2, which the archives are written in, and their like in 3 and 4. A call becomes a tuple of what was
to be called and its arguments; the only one that is understood is the making of a uint8 array.
https://github.com/python/cpython/blob/main/Lib/pickletools.py describes each code.
"""

import struct
from dataclasses import dataclass

MOST_CODES = 5_000_000
WIDTHS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
INTEGERS = {b"K": "<B", b"M": "<H", b"J": "<i"}
TEXTS = {b"U": 1, b"T": 4, b"X": 4, b"\x8c": 1, b"C": 1, b"B": 4, b"\x8e": 8}  # bytes of the length before it
CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
SKIPPED = {b"\x80": 1, b"\x95": 8}  # protocol, frame: bytes of their argument
LONG = 4096  # bytes: what is longer is not read


class Unreadable(ValueError):
    """It is not such a pickle, or is damaged."""


@dataclass(frozen=True)
class Span:
    """Bytes that were not read: where they lie in the file."""

    offset: int
    size: int


@dataclass(frozen=True)
class Bytes:
    """A uint8 array `shape` whose numbers, row by row, are a range of bytes of the file."""

    offset: int
    shape: tuple


@dataclass(frozen=True)
class Call:
    """A call that was not made."""

    what: object
    arguments: object


@dataclass(frozen=True)
class Name:
    """A name that was not looked up."""

    module: str
    name: str


MARK = object()


class _Machine:
    def __init__(self, file, start, size):
        self.file, self.start, self.size = file, start, size
        self.stack, self.memo = [], {}
        file.seek(start)

    def take(self, size):
        data = self.file.read(size) if size <= LONG else b""
        if len(data) != size:
            raise Unreadable("it breaks off")
        return data

    def number(self, width):
        return struct.unpack(WIDTHS[width], self.take(width))[0]

    def marked(self):
        place = len(self.stack) - 1 - self.stack[::-1].index(MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def text(self, code):
        size = self.number(TEXTS[code])
        if size > LONG:
            here = self.file.tell()
            if size > self.start + self.size - here:
                raise Unreadable("it breaks off")
            self.file.seek(size, 1)
            return Span(here - self.start, size)
        data = self.take(size)
        return data if code in (b"C", b"B", b"\x8e") else data.decode("latin1")

    def line(self):
        line = self.file.readline(LONG)
        if not line.endswith(b"\n"):
            raise Unreadable("it breaks off")
        return line[:-1].decode("latin1")

    def step(self, code):
        """Do what one code says."""
        stack = self.stack
        if code in INTEGERS:
            stack.append(struct.unpack(INTEGERS[code], self.take(struct.calcsize(INTEGERS[code])))[0])
        elif code in TEXTS:
            stack.append(self.text(code))
        elif code in CONSTANTS:
            stack.append(CONSTANTS[code])
        elif code in SKIPPED:
            self.take(SKIPPED[code])
        elif code in (b"}", b"]"):
            stack.append({} if code == b"}" else [])
        elif code == b"(":
            stack.append(MARK)
        elif code in (b"q", b"r"):
            self.memo[self.number(1 if code == b"q" else 4)] = stack[-1]
        elif code == b"\x94":
            self.memo[len(self.memo)] = stack[-1]
        elif code in (b"h", b"j"):
            stack.append(self.memo[self.number(1 if code == b"h" else 4)])
        else:
            self.build(code)

    def build(self, code):
        """Do what one code says that puts values together."""
        stack = self.stack
        if code in TUPLES:
            values = tuple(stack[-TUPLES[code] :])
            stack[-TUPLES[code] :] = [values]
        elif code == b"t":
            stack.append(tuple(self.marked()))
        elif code in (b"a", b"e"):
            values = [stack.pop()] if code == b"a" else self.marked()
            stack[-1].extend(values)
        elif code in (b"s", b"u"):
            values = [stack.pop(-2), stack.pop()] if code == b"s" else self.marked()
            if not all(type(key) in (str, bytes, int) for key in values[::2]):
                raise Unreadable("it has a key that is no text")
            stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif code == b"c":
            stack.append(Name(self.line(), self.line()))
        elif code == b"\x93":
            stack[-2:] = [Name(*stack[-2:])]
        elif code == b"R":
            stack[-2:] = [Call(*stack[-2:])]
        elif code == b"b":
            state = stack.pop()
            stack[-1] = _built(stack[-1], state)
        else:
            raise Unreadable(f"it has the code {code!r}")


def _built(call, state):
    """Recognize the state of a uint8 array (version, shape, dtype, by columns, data) or of its dtype."""
    name = call.what.name
    if name == "dtype":
        return call
    _, shape, dtype, by_columns, data = state
    simple = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    total = 1
    for length in shape if simple else ():
        total *= length
    if name != "_reconstruct" or not simple or dtype.arguments[0] != "u1" or by_columns or data.size != total:
        raise Unreadable("it has an array that is not of bytes")
    return Bytes(data.offset, shape)


def read_batch(file, start, size):
    """Read the dict of one CIFAR batch.

    Args:
        file: binary file.
        start, size: where the pickle lies in it.
    Returns:
        dict of texts to texts, numbers, lists and `Bytes`, whose offset counts from `start`.
    Raises:
        Unreadable: it is not such a pickle.
    """
    machine = _Machine(file, start, size)
    try:
        for _ in range(MOST_CODES):
            code = machine.take(1)
            if code == b".":
                (value,) = machine.stack
                break
            machine.step(code)
        else:
            raise Unreadable("it is too long")
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise Unreadable(str(error) or type(error).__name__) from error
    if not isinstance(value, dict) or file.tell() > start + size:
        raise Unreadable("it is no batch of pictures")
    return {key.decode("latin1") if isinstance(key, bytes) else key: item for key, item in value.items()}

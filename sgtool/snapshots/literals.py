"""Opcodes of a pickle that put a number, a text or bytes on the stack. Functions of the machine (`unpickler.Machine`)."""

import codecs
import io
import re
import struct

from sgtool.snapshots.spans import Span, damaged

LONG = 256  # bytes from which on they are not read but come out as a `Span`
LONGEST_TEXT = 1 << 20  # bytes of one str in protocol 0; source text in genuine files has up to 200 KB
LONG_TEXT = 1 << 16  # bytes from which on a text of the other protocols comes out as a `LongText`
LONGEST_NAME = 1 << 10
BLOCK = 1 << 20  # bytes of a long text that are decoded at a time
UTF8 = codecs.getincrementaldecoder("utf-8")
LONGEST_NUMBER = 1 << 10  # bytes of a binary integer; in text, 4,300 digits


class LongText:
    """A text that is too long to be read: source text, or numbers, which protocol 2 writes as text since it has no bytes."""

    def __init__(self, span):
        self.span, self.decoded = span, None

    def __repr__(self):
        return "<a long text>"

    def latin1(self):
        """Return the bytes that it stands for, one for each character, as a `Span`. They are made once, and stay in memory.

        Raises:
            Refused: it is not UTF-8, or has characters that are no bytes.
        """
        if self.decoded is None:
            decoder, data = UTF8(), io.BytesIO()
            try:
                for at in range(0, len(self.span), BLOCK):
                    block = self.span.read(at, min(BLOCK, len(self.span) - at))
                    data.write(decoder.decode(block, at + BLOCK >= len(self.span)).encode("latin-1"))
            except UnicodeError as error:
                raise damaged("it has text where bytes should be") from error
            self.decoded = Span(data, 0, data.tell())
        return self.decoded


def _constant(value):
    return lambda m: m.stack.append(value)


def _number(form):
    size = struct.calcsize(form)
    return lambda m: m.stack.append(m.stream.number(form, size))


def _binint1(m):
    stream = m.stream
    m.stack.append(stream.data[stream.at])
    stream.at += 1


def _long1(m):
    m.stack.append(int.from_bytes(m.stream.take(m.stream.number("<B", 1)), "little", signed=True))


def _long4(m):
    size = m.stream.number("<i", 4)
    if not 0 <= size <= LONGEST_NUMBER:
        raise damaged(f"it has an integer of {size} bytes")
    m.stack.append(int.from_bytes(m.stream.take(size), "little", signed=True))


def _int(m):
    line = m.stream.line(LONGEST_NAME << 3)
    m.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else digits(line))


def _long(m):
    line = m.stream.line(LONGEST_NAME << 3)
    m.stack.append(digits(line[:-1] if line.endswith(b"L") else line))


def digits(line):
    """Return the number that a text has. Raises `Refused` if it is none."""
    if not re.fullmatch(rb"-?[0-9]{1,4300}", line):
        raise damaged("a number of it is not a number")
    return int(line)


def _float(m):
    line = m.stream.line(LONGEST_NAME)
    if not re.fullmatch(rb"[-+]?([0-9]+\.?[0-9]*([eE][-+]?[0-9]+)?|inf|nan)", line):
        raise damaged("a number of it is not a number")
    m.stack.append(float(line))


def _sized_text(form):
    def read(m):
        size = m.stream.number(form, struct.calcsize(form))
        if size > len(m.stream.span):
            raise damaged(f"it has a text of {size} bytes")
        m.stack.append(LongText(m.stream.skip(size)) if size > LONG_TEXT else m.text(m.stream.take(size)))

    return read


def _sized_bytes(form, kind):
    def read(m):
        size = m.stream.number(form, struct.calcsize(form))
        if size < 0:
            raise damaged("it has bytes of negative length")
        m.stack.append(m.stream.skip(size) if size > LONG else kind(m.stream.take(size)))

    return read


def _latin(data):
    return data.decode("latin-1")  # text of Python 2, or bytes: who asks for bytes gets them back exactly


def _unicode(m):
    m.stack.append(m.text(m.stream.line(LONGEST_TEXT), codecs.raw_unicode_escape_decode))


ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}


def _string(m):
    """A text as Python 2's repr writes it."""
    line = m.stream.line(LONGEST_TEXT)
    m.budget.spend(len(line) >> 4)
    if not re.fullmatch(rb"""(['"])([^\\]|\\[nrt\\'"]|\\x[0-9a-fA-F]{2})*\1""", line, re.DOTALL) or len(line) < 2:
        raise damaged("a text of it is not text")

    def plain(match):
        return ESCAPES.get(match[1]) or bytes([int(match[1][1:], 16)])

    m.stack.append(_latin(re.sub(rb"""\\(x[0-9a-fA-F]{2}|[nrt\\'"])""", plain, line[1:-1])))


LITERALS = {
    0x29: _constant(()),  # EMPTY_TUPLE
    0x42: _sized_bytes("<I", bytes),  # BINBYTES
    0x43: _sized_bytes("<B", bytes),  # SHORT_BINBYTES
    0x46: _float,  # FLOAT
    0x47: _number(">d"),  # BINFLOAT
    0x49: _int,  # INT
    0x4A: _number("<i"),  # BININT
    0x4B: _binint1,  # BININT1
    0x4C: _long,  # LONG
    0x4D: _number("<H"),  # BININT2
    0x4E: _constant(None),  # NONE
    0x53: _string,  # STRING
    0x54: _sized_bytes("<i", _latin),  # BINSTRING
    0x55: _sized_bytes("<B", _latin),  # SHORT_BINSTRING
    0x56: _unicode,  # UNICODE
    0x58: _sized_text("<I"),  # BINUNICODE
    0x88: _constant(True),  # NEWTRUE
    0x89: _constant(False),  # NEWFALSE
    0x8A: _long1,  # LONG1
    0x8B: _long4,  # LONG4
    0x8C: _sized_text("<B"),  # SHORT_BINUNICODE
    0x8D: _sized_text("<Q"),  # BINUNICODE8
    0x8E: _sized_bytes("<Q", bytes),  # BINBYTES8
    0x96: _sized_bytes("<Q", bytearray),  # BYTEARRAY8
}

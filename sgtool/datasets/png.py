"""Pictures as PNG files that cost nothing to read: unfiltered rows, not compressed.

The bytes follow from the pixels alone, whatever libraries are installed. ISO/IEC 15948:2004 (PNG), RFC 1950 (zlib),
RFC 1951, section 3.2.4 (blocks that are stored).
"""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels: L, LA, RGB, RGBA
BLOCK = 65535  # bytes: the most that a stored block holds


def encode_png(picture):
    """Encode a uint8 picture `[H, W, C]`, C from 1 to 4, as the bytes of a PNG of mode L, LA, RGB or RGBA."""
    height, width, channels = picture.shape
    rows = np.zeros([height, 1 + width * channels], np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = picture.reshape(height, width * channels)
    header = struct.pack(">2L5B", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(rows.tobytes())) + _chunk(b"IEND", b"")


def png_bytes(width, height, channels):
    """Number of bytes that `encode_png` gives."""
    data = height * (1 + width * channels)
    return len(SIGNATURE) + 3 * 12 + 13 + 2 + 5 * -(-data // BLOCK) + data + 4


def _chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(data, zlib.crc32(kind)))


def _stored(data):
    """Wrap bytes as a zlib stream of blocks that are stored as they are."""
    parts = [b"\x78\x01"]
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        last = start + BLOCK >= len(data)
        parts += [struct.pack("<B2H", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack(">L", zlib.adler32(data))])

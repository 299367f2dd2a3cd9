"""CRC-32C, the checksum of TFRecord files: Castagnoli's polynomial 0x1EDC6F41, reflected, as in RFC 3720, appendix B.4.

It is linear over GF(2): long data are cut into lanes that are worked on side by side, and their remainders are put together.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
ONES = 0xFFFFFFFF
BITS = np.arange(32, dtype=np.uint32)
SHORT = 256  # bytes: below, byte by byte


@functools.cache
def _byte_table():
    """Remainder after each byte, as a list of 256 numbers."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


@functools.cache
def _word_tables():
    """Two uint32 tables of 65,536: what the low and the high half of a 32-bit word leave after four bytes."""
    step = np.array(_byte_table(), np.uint32)
    after = [step]  # after[k]: of a byte that k zero bytes follow
    for _ in range(3):
        after.append((after[-1] >> 8) ^ step[after[-1] & 255])
    halves = np.arange(65536)
    return (after[3][halves & 255] ^ after[2][halves >> 8]), (after[1][halves & 255] ^ after[0][halves >> 8])


def crc32c(data):
    """Return the CRC-32C of bytes: 32 bits."""
    if len(data) < SHORT:
        table, value = _byte_table(), ONES
        for byte in data:
            value = table[(value ^ byte) & 255] ^ (value >> 8)
        return value ^ ONES
    lanes = 1 << min(12, max(4, len(data).bit_length() // 2))
    words = -(-len(data) // (4 * lanes))  # of a lane
    padded = np.zeros(lanes * words * 4, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)  # zeros in front of all change nothing
    start = len(padded) - len(data)
    padded[start : start + 4] ^= 255  # the same as to begin with a remainder of ones
    columns = np.ascontiguousarray(padded.view("<u4").reshape(lanes, words).T)
    low, high = _word_tables()
    value = np.zeros(lanes, np.uint32)
    for column in columns:
        halves = (value ^ column).astype("<u4", copy=False).view("<u2")
        value = low.take(halves[::2]) ^ high.take(halves[1::2])
    return int(_joined(value, words)) ^ ONES


def _joined(value, words):
    """Put the remainders of neighbouring lanes together until there is one."""
    while len(value) > 1:
        value = _apply(_zeros(words), value[::2]) ^ value[1::2]
        words *= 2
    return value[0]


@functools.lru_cache(maxsize=256)
def _zeros(words):
    """What `words` zero words make of each bit of a remainder: uint32 `[32]`."""
    if words % 2 == 0:
        half = _zeros(words // 2)
        return _apply(half, half)
    low, high = _word_tables()
    value = np.uint32(1) << BITS
    for _ in range(words):
        value = low[value & 65535] ^ high[value >> 16]
    return value


def _apply(operator, values):
    """Add up (without carry) what `operator` has for each bit of each of `values`."""
    return np.bitwise_xor.reduce((values[:, np.newaxis] >> BITS & 1) * operator, axis=1)


def masked(crc):
    """Return a CRC as TFRecord files store it: rotated right by 15 bits, plus 0xa282ead8."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & ONES

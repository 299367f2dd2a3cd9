"""Makers of the files that sources read, each written from the description of its format."""

import io
import struct
import tarfile

import numpy as np
from PIL import Image

from sgtool.datasets.sources import load


def picture(seed=0, width=6, height=4, channels=3):
    """Random uint8 pixels `[H, W, C]`."""
    return np.random.RandomState(seed).randint(0, 256, [height, width, channels], np.uint8)


def encoded(array, format="PNG", **options):
    """A picture file's bytes, of uint8 `[H, W, C]` or `[H, W]`."""
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array).save(buffer, format, **options)
    return buffer.getvalue()


def pixels(source):
    """All pictures of a source as arrays."""
    return [np.asarray(load(source.picture(i))) for i in range(len(source.names))]


def assert_pixels(source, expected):
    """Compare all pictures of a source, bit by bit."""
    found = pixels(source)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def write_tar(path, files, mode="w"):
    """Write a tar of `[(name, bytes or TarInfo)]`."""
    with tarfile.open(path, mode) as tar:
        for name, data in files:
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def idx_bytes(array):
    """An idx file of a uint8 array."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


# -- CIFAR, as Python 2 wrote its pickles


def _string(text):
    data = text.encode("latin1")
    return b"U" + bytes([len(data)]) + data


def _int(value):
    if value < 256:
        return b"K" + bytes([value])
    return b"M" + struct.pack("<H", value) if value < 65536 else b"J" + struct.pack("<i", value)


def _list(items):
    return b"](" + b"".join(items) + b"e"


def _array(array):
    """A uint8 array as cPickle of Python 2 writes it, protocol 2."""
    made = b"cnumpy.core.multiarray\n_reconstruct\nq\x10cnumpy\nndarray\nq\x11" + _int(0) + b"\x85" + _string("b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + _string("u1") + _int(0) + _int(1) + b"\x87R"
    kind += b"(" + _int(3) + _string("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + _int(0) + b"tb"
    shape = b"".join(_int(n) for n in array.shape) + b"\x86"
    data = b"T" + struct.pack("<I", array.nbytes) + array.tobytes()
    return made + b"(" + _int(1) + shape + kind + b"\x89" + data + b"tb"


def batch_pickle(values):
    """A dict of texts, numbers, lists of those and uint8 arrays, as the CIFAR archives hold it."""
    parts = []
    for place, (key, value) in enumerate(values.items()):
        if isinstance(value, list):
            item = _list([_string(v) if isinstance(v, str) else _int(v) for v in value])
        else:
            item = _array(value) if isinstance(value, np.ndarray) else _string(value) if isinstance(value, str) else _int(value)
        parts.append(_string(key) + b"q" + bytes([2 + place]) + item)
    return b"\x80\x02}q\x01(" + b"".join(parts) + b"u."


# -- TFRecord


def crc32c_by_bits(data):
    """CRC-32C, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _masked(data):
    crc = crc32c_by_bits(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(value):
    """A number of a protocol buffer."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def field(number, data):
    """A field of a protocol buffer that holds bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(shape, values):
    """The tf.Example of a picture: features "shape" (packed int64) and "data" (bytes)."""
    features = {"shape": field(3, field(1, b"".join(map(varint, shape)))), "data": field(1, field(1, values))}
    return field(1, b"".join(field(1, field(1, name.encode()) + field(2, value)) for name, value in features.items()))


def record(data):
    """A record of a TFRecord file."""
    size = struct.pack("<Q", len(data))
    return size + _masked(size) + data + _masked(data)


def picture_record(array):
    """The record of uint8 `[H, W, C]`."""
    planes = array.transpose(2, 0, 1)
    return record(example(planes.shape, planes.tobytes()))

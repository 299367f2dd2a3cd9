import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.png import encode_png
from sgtool.datasets.png_reading import plain_pixels
from sgtool.images import to_pil


def noise(height, width, channels, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [height, width, channels], np.uint8)


def saved(array, **options):
    file = io.BytesIO()
    to_pil(array).save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (8, 5), (64, 64), (257, 90), (400, 500)])
def test_what_was_written_plainly_is_read_without_pillow(size, channels):
    array = noise(*size, channels)
    np.testing.assert_array_equal(plain_pixels(encode_png(array), array.shape), array)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_filtered_and_compressed_files_are_left_to_pillow(level):
    array = np.cumsum(noise(64, 64, 3), axis=1).astype(np.uint8)
    assert plain_pixels(saved(array, compress_level=level), array.shape) is None


def test_another_shape_than_expected_is_left_to_pillow():
    data = encode_png(noise(6, 4, 1))
    assert plain_pixels(data, (4, 6, 1)) is None
    assert plain_pixels(data, (6, 2, 2)) is None
    assert plain_pixels(b"", (6, 4, 1)) is None
    assert plain_pixels(data, (6, 4, 5)) is None


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


@pytest.mark.parametrize("filters", [(0, 0, 0, 1), (2, 0, 0, 0), (4, 4, 4, 4)])
def test_a_filtered_row_is_seen_wherever_it_is(filters):
    array = noise(4, 6, 3)
    rows = np.concatenate([np.array(filters, np.uint8)[:, None], array.reshape(4, 18)], axis=1)
    plain = encode_png(array)
    data = plain[:33] + chunk(b"IDAT", zlib.compress(rows.tobytes(), 0)) + plain[-12:]
    assert len(data) == len(plain)
    assert plain_pixels(data, array.shape) is None


def test_no_changed_byte_gives_other_pixels():
    array = noise(5, 7, 3)
    data = encode_png(array)
    taken = set()
    for place in range(len(data)):
        for change in (1, 128, 255):
            damaged = bytearray(data)
            damaged[place] ^= change
            pixels = plain_pixels(bytes(damaged), array.shape)
            if pixels is not None:
                np.testing.assert_array_equal(pixels, array)
                taken.add(place)
    assert taken <= {*range(29, 33), 43, *range(len(data) - 16, len(data))}  # checksums, the end, bits without a meaning


def test_a_file_cut_short_or_lengthened_is_left_to_pillow():
    array = noise(5, 7, 3)
    data = encode_png(array)
    for other in [data[:n] for n in range(len(data))] + [data + b"x"]:
        assert plain_pixels(other, array.shape) is None


def test_a_stream_that_holds_more_than_the_picture_is_not_unpacked():
    array = noise(200, 200, 3)
    plain = encode_png(array)
    room = len(plain) - 33 - 12 - 12
    bomb = zlib.compress(bytes(60_000_000), 9)
    data = plain[:33] + chunk(b"IDAT", bomb + bytes(room - len(bomb))) + plain[-12:]
    assert len(data) == len(plain)
    assert plain_pixels(data, array.shape) is None


def test_pillow_reads_the_same_from_what_is_read_here():
    array = noise(40, 30, 4)
    with Image.open(io.BytesIO(encode_png(array))) as image:
        np.testing.assert_array_equal(np.asarray(image), plain_pixels(encode_png(array), array.shape))

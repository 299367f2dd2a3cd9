import io
import warnings

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.png import encode_png, png_bytes


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 2), (1, 1, 3), (200, 300, 3), (64, 64, 4), (1, 65534, 1), (3, 65535, 4)])
def test_pixels_survive_and_the_size_is_foretold(shape):
    pixels = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    data = encode_png(pixels)
    assert len(data) == png_bytes(shape[1], shape[0], shape[2])
    with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
        image.load()  # Pillow checks every checksum
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[shape[2]]
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)


def test_any_layout_in_memory_gives_the_same_bytes():
    pixels = np.random.RandomState(0).randint(0, 256, [6, 5, 3], np.uint8)
    assert encode_png(np.asfortranarray(pixels)) == encode_png(pixels)
    assert encode_png(pixels[:, ::-1][:, ::-1]) == encode_png(pixels)

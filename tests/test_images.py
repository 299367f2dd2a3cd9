"""Pictures between floats, bytes and PIL."""

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import images


def test_every_byte_survives_the_way_to_floats_and_back():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = images.to_float(values)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(floats)[0, :, :, 0], values[0, 0])


@pytest.mark.parametrize(("value", "byte"), [(-5, 0), (-1, 0), (0, 128), (1, 255), (5, 255), (1 / 255, 128), (-1 / 127.5, 127)])
def test_bytes_are_nvidias_rounding_clamped(value, byte):
    # (x * 127.5 + 128) cut off and clamped, as in the published tools
    assert images.to_uint8(torch.full([1, 1, 1, 1], value, dtype=torch.float64))[0, 0, 0, 0] == byte


def test_channels_go_last():
    img = torch.zeros(2, 3, 4, 5)
    img[:, 1] = 1
    made = images.to_uint8(img.half())
    assert made.shape == (2, 4, 5, 3)
    assert made[0, 0, 0].tolist() == [128, 255, 128]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pil_pictures_come_back_as_they_were(channels, mode):
    picture = np.random.RandomState(0).randint(0, 256, [5, 7, channels]).astype(np.uint8)
    image = images.to_pil(picture)
    assert (image.mode, image.size) == (mode, (7, 5))
    np.testing.assert_array_equal(images.from_pil(image), picture)


def test_more_channels_lie_side_by_side():
    picture = np.random.RandomState(0).randint(0, 256, [5, 7, 6]).astype(np.uint8)
    laid_out = images.from_pil(images.to_pil(picture))
    assert laid_out.shape == (5, 42, 1)
    np.testing.assert_array_equal(laid_out[:, 14:21, 0], picture[:, :, 2])


def test_grid_is_row_by_row_and_empty_cells_are_black():
    pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones([1, 2, 3, 1], np.uint8)
    sheet = images.grid(pictures, 2)
    assert sheet.shape == (6, 6, 1)
    assert sheet[::2, ::3, 0].tolist() == [[1, 2], [3, 4], [5, 0]]
    assert images.grid(pictures).shape == (4, 9, 1)


def test_grid_cells_are_the_pictures():
    pictures = np.random.RandomState(0).randint(0, 256, [6, 4, 5, 3]).astype(np.uint8)
    sheet = images.grid(pictures, 3)
    for i, picture in enumerate(pictures):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(sheet[4 * row : 4 * row + 4, 5 * column : 5 * column + 5], picture)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_pixels_and_text(tmp_path, channels):
    picture = np.random.RandomState(0).randint(0, 256, [5, 7, channels]).astype(np.uint8)
    images.save_png(tmp_path / "x.png", picture, {"sgtool": '{"seed": 5}', "Größe": "fünf ☂"})
    with Image.open(tmp_path / "x.png") as image:
        assert {key: image.info[key] for key in ("sgtool", "Größe")} == {"sgtool": '{"seed": 5}', "Größe": "fünf ☂"}
        np.testing.assert_array_equal(images.from_pil(image), picture)


def test_png_without_text_is_a_png(tmp_path):
    images.save_png(tmp_path / "x.png", np.zeros([2, 2, 3], np.uint8))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_levels_are_those_of_files_and_let_gradients_pass():
    values = torch.arange(256, dtype=torch.uint8)
    floats = images.to_float(values).double().requires_grad_()
    levels = images.to_levels(floats)
    torch.testing.assert_close(levels.detach(), values.double(), rtol=0, atol=2e-5)
    (gradient,) = torch.autograd.grad(levels.sum(), floats)
    assert (gradient == 127.5).all()

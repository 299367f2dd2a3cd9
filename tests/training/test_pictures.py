"""reals.png and the sheets of fakes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import open_dataset
from sgtool.training.pictures import PictureGrid, render
from sgtool.training.state import TrainState


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_reals_show_one_class_a_row(data, config, tmp_path):
    dataset = open_dataset(data)
    grid = PictureGrid(tmp_path, dataset, config, "cpu")
    sheet = pixels(tmp_path / "reals.png")
    assert sheet.shape == (grid.rows * 16, grid.columns * 16)
    by_pixels = {dataset[i][0].tobytes(): dataset[i][1] for i in range(50)}
    cells = sheet.reshape(grid.rows, 16, grid.columns, 16).swapaxes(1, 2)
    for row in range(grid.rows):
        assert {by_pixels[np.ascontiguousarray(cell).tobytes()] for cell in cells[row]} == {row % 3}
        assert grid.c[row * grid.columns].argmax() == row % 3


def test_reals_without_labels_are_in_random_order(write_dataset, config, tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / "d.zip", number=7, classes=None))
    grid = PictureGrid(tmp_path, dataset, dataclasses.replace(config, c_dim=0), "cpu")
    assert grid.c is None
    assert len(grid.z) == grid.rows * grid.columns


@pytest.mark.parametrize(("size", "columns", "rows"), [((16, 16), 32, 32), ((256, 256), 4, 4), ((1024, 512), 2, 2)])
def test_a_sheet_on_a_cpu_stays_small(size, columns, rows):
    layout = PictureGrid._layout(None, size, "cpu")
    assert layout == (columns, rows)


@pytest.mark.parametrize(("size", "columns", "rows"), [((256, 256), 30, 16), ((1024, 1024), 7, 4), ((32, 32), 32, 32)])
def test_a_sheet_elsewhere_has_the_published_layout(size, columns, rows):
    assert PictureGrid._layout(None, size, "cuda") == (columns, rows)


def test_a_cell_is_the_same_latent_in_every_sheet_and_real_pictures_are_written_once(data, config, tmp_path):
    state = TrainState.fresh(config, "cpu")
    grid = PictureGrid(tmp_path, open_dataset(data), config, "cpu")
    grid.save(state.G_ema, "one.png")
    (tmp_path / "reals.png").write_bytes(b"kept")
    PictureGrid(tmp_path, open_dataset(data), config, "cpu").save(state.G_ema, "two.png")
    assert np.array_equal(pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png"))
    assert (tmp_path / "reals.png").read_bytes() == b"kept"


def test_rendering_in_small_batches_changes_nothing(data, config, tmp_path):
    state = TrainState.fresh(config, "cpu")
    grid = PictureGrid(tmp_path, open_dataset(data), config, "cpu")
    whole, parts = render(state.G_ema, grid.z[:20], grid.c[:20]), render(state.G_ema, grid.z[:20], grid.c[:20], batch=3)
    assert whole.shape == (20, 16, 16, 1)
    assert np.abs(whole.astype(int) - parts).max() <= 1

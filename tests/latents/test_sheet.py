"""Sheets: every pixel where it belongs, any number of channels, labels, memory of one row, nothing written by halves."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents import sheet
from sgtool.latents.sheet import write_sheet
from sgtool.latents.sheet_labels import Labels


def pictures(rows, columns, size=(8, 16), channels=3, seed=0):
    """Random `[rows][columns]` pictures with smooth lines in them, so that each PNG filter is the best somewhere."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, [rows, columns, *size, channels], np.uint8)
    made[:, :, ::3] = np.arange(size[1], dtype=np.uint8)[:, None]
    made[:, :, 1::3] = made[:, :, :1]
    return made


def expected(made, enlarge=1, gap=0):
    """The sheet by its definition: a canvas on which each enlarged picture is put into its place."""
    rows, columns, height, width, channels = made.shape
    down, right = height * enlarge + gap, width * enlarge + gap
    canvas = np.zeros([rows * down - gap, columns * right - gap, channels], np.uint8)
    for r in range(rows):
        for c in range(columns):
            block = np.kron(made[r, c], np.ones([enlarge, enlarge, 1], np.uint8))
            canvas[r * down : r * down + block.shape[0], c * right : c * right + block.shape[1]] = block
    return canvas


def write(path, made, **options):
    rows, columns, *size, channels = made.shape
    write_sheet(path, map(list, made), columns, tuple(size), channels, {"a": 1}, number_of_rows=rows, **options)
    with Image.open(path) as picture:
        picture.load()
        return picture.mode, images.from_pil(picture), picture.info


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.integers(0, 3))
def test_every_pixel_is_where_it_belongs(tmp_path_factory, rows, columns, channels, width, enlarge, gap):
    made = pictures(rows, columns, (5, width), channels)
    mode, pixels, _ = write(tmp_path_factory.mktemp("s") / "s.png", made, enlarge=enlarge, gap=gap)
    assert mode == images.MODES[channels]
    np.testing.assert_array_equal(pixels, expected(made, enlarge, gap))


@pytest.mark.parametrize("band", [1, 100, 1000])
def test_bands_of_any_height_make_the_same_sheet(tmp_path, monkeypatch, band):
    made = pictures(3, 2)
    labels = {"row_labels": ["a", "b", "c"], "column_labels": ["d", "e"]}
    whole = write(tmp_path / "a.png", made, enlarge=3, gap=1, **labels)[1]
    monkeypatch.setattr(sheet, "BAND_BYTES", band)
    np.testing.assert_array_equal(write(tmp_path / "b.png", made, enlarge=3, gap=1, **labels)[1], whole)


@pytest.mark.parametrize("channels", [5, 7])
def test_more_than_four_channels_lie_side_by_side(tmp_path, channels):
    made = pictures(2, 3, channels=channels)
    mode, pixels, _ = write(tmp_path / "s.png", made, gap=2)
    assert mode == "L"
    np.testing.assert_array_equal(pixels, images.from_pil(images.to_pil(expected(made, 1, 2))))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_empty_cells_and_short_rows_are_black_and_transparent(tmp_path, channels):
    made = pictures(2, 3, channels=channels)
    rows = [[made[0, 0], None, made[0, 2]], [made[1, 0]]]
    write_sheet(tmp_path / "s.png", rows, 3, (8, 16), channels, {}, number_of_rows=2)
    with Image.open(tmp_path / "s.png") as picture:
        pixels = images.from_pil(picture)
    assert not pixels[:8, 16:32].any()
    assert not pixels[8:, 16:].any()
    np.testing.assert_array_equal(pixels[:8, 32:], made[0, 2])
    np.testing.assert_array_equal(pixels[8:, :16], made[1, 0])


def test_the_recipe_is_in_the_file(tmp_path):
    _, _, info = write(tmp_path / "s.png", pictures(1, 1))
    assert json.loads(info["sgtool"]) == {"a": 1}
    assert info["Software"].startswith("sgtool ")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_labels_stand_at_the_edges_and_leave_the_cells_alone(tmp_path, channels):
    made = pictures(2, 3, (20, 60), channels)
    plain = expected(made, 1, 4)
    _, pixels, _ = write(
        tmp_path / "s.png", made, gap=4, row_labels=["seed0001", "seed0002"], column_labels=["coarse", "middle", "fine"]
    )
    if channels == 5:
        plain = plain[:, :, :1]
        pixels = pixels[:, : pixels.shape[1] // 5]
    top, left = (big - small for big, small in zip(pixels.shape[:2], plain.shape[:2], strict=True))
    np.testing.assert_array_equal(pixels[top:, left:], plain)
    assert 10 <= top <= 24
    assert 45 <= left <= 70
    for cell in range(3):
        ink = pixels[:top, left + cell * 64 :][:, :60, 0]
        assert ink.max() > 200
        assert not ink[:, 0].any()
    assert pixels[top : top + 20, :left, 0].max() > 200
    assert not pixels[:top, :left, 0].any()
    if channels in (2, 4):
        assert (pixels[:, :left, -1] == 255).all()


def test_different_labels_look_different(tmp_path):
    labels = Labels(["1", "7", "7"], None, (20, 20), 1)
    assert not np.array_equal(labels.of_row(0), labels.of_row(1))
    np.testing.assert_array_equal(labels.of_row(1), labels.of_row(2))


def test_labels_wider_than_their_column_stand_upright():
    narrow, wide = (Labels(None, ["seed0001", "b"], (20, width), 1) for width in (16, 200))
    assert narrow.upright
    assert not wide.upright
    assert narrow.top > wide.top
    assert narrow.of_column(0).shape == (narrow.top, 16)
    ink = np.argwhere(narrow.of_column(0) > 128)
    assert np.ptp(ink[:, 0]) > np.ptp(ink[:, 1])


def test_labels_grow_with_the_cells():
    small, large = (Labels(["seed0001"], None, (side, side), 1) for side in (256, 1024))
    assert large.left == 3 * small.left


@pytest.mark.parametrize("text", ["", "é", "日本", "x" * 500, "\n", "\0", "‮"])
def test_any_text_can_be_a_label(tmp_path, text):
    _, pixels, _ = write(tmp_path / "s.png", pictures(1, 1), row_labels=[text], column_labels=[text])
    assert pixels.shape[0] < 250
    assert pixels.shape[1] < 250


@pytest.mark.parametrize("number", [1, 3])
def test_another_number_of_rows_than_was_said_is_an_error_and_no_file(tmp_path, number):
    made = pictures(number, 2)
    with pytest.raises(ValueError, match="rows"):
        write_sheet(tmp_path / "s.png", map(list, made), 2, (8, 16), 3, {}, number_of_rows=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ([np.zeros([8, 8, 3], np.uint8)], {}),
        ([np.zeros([8, 16, 1], np.uint8)], {}),
        ([None] * 3, {}),
        ([None], {"row_labels": ["a", "b"]}),
        ([None], {"column_labels": ["a"]}),
    ],
)
def test_what_does_not_fit_is_an_error_and_no_file(tmp_path, row, options):
    with pytest.raises(ValueError, match="instead of|labels for"):
        write_sheet(tmp_path / "s.png", [row], 2, (8, 16), 3, {}, number_of_rows=1, **options)
    assert not list(tmp_path.iterdir())


def test_a_failure_while_pictures_are_made_leaves_what_was_there(tmp_path):
    write(tmp_path / "s.png", pictures(1, 1))
    before = (tmp_path / "s.png").read_bytes()

    def rows():
        yield [np.zeros([8, 16, 3], np.uint8)]
        raise UserError("the network diverged")

    with pytest.raises(UserError, match="diverged"):
        write_sheet(tmp_path / "s.png", rows(), 1, (8, 16), 3, {}, number_of_rows=2)
    assert (tmp_path / "s.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_more_pixels_than_a_png_holds_are_refused(tmp_path):
    with pytest.raises(UserError, match="more than a PNG holds"):
        write_sheet(tmp_path / "s.png", [], 2**22, (1024, 1024), 3, {}, number_of_rows=1)


@pytest.mark.parametrize(("enlarge", "number"), [(1, 200), (4, 12)])
def test_memory_is_that_of_one_row(tmp_path, monkeypatch, enlarge, number):
    monkeypatch.setattr(sheet, "BAND_BYTES", 1 << 18)
    row = [np.full([32, 32, 3], 7, np.uint8)] * 40
    tracemalloc.start()
    write_sheet(tmp_path / "s.png", (row for _ in range(number)), 40, (32, 32), 3, {}, number_of_rows=number, enlarge=enlarge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * sheet.BAND_BYTES < number * 40 * 32 * 32 * 3 * enlarge**2 / 6


def test_files_are_about_as_small_as_pillows(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.integers(-2, 3, [1, 1, 256, 256, 3]), axis=3).astype(np.uint8)
    write(tmp_path / "a.png", smooth)
    images.save_png(tmp_path / "b.png", smooth[0, 0])
    assert (tmp_path / "a.png").stat().st_size < 1.25 * (tmp_path / "b.png").stat().st_size

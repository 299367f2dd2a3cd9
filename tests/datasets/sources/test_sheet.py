import numpy as np
import pytest
from PIL import Image
from source_makers import assert_pixels, picture

from sgtool.datasets.sources import open_source
from sgtool.errors import UserError


def test_a_sheet_is_cut_row_by_row(tmp_path):
    sheet = picture(3, width=12, height=16)
    Image.fromarray(sheet).save(tmp_path / "s.png")
    source = open_source(tmp_path / "s.png", tile=(4, 8))
    assert source.names == [f"tile{i:05d}.png" for i in range(6)]
    assert_pixels(source, [sheet[y : y + 8, x : x + 4] for y in (0, 8) for x in (0, 4, 8)])


def test_fully_transparent_tiles_are_left_out_and_counted(tmp_path):
    sheet = np.full([4, 12, 4], 255, np.uint8)
    sheet[:, 4:8, 3] = 0
    Image.fromarray(sheet).save(tmp_path / "s.png")
    source = open_source(tmp_path / "s.png", tile=(4, 4))
    assert source.names == ["tile00000.png", "tile00002.png"]
    assert source.empty_tiles == 1


def test_a_sheet_that_changes_has_another_stamp(tmp_path):
    stamps = []
    for side in (8, 64):
        Image.fromarray(picture(0, side, side)).save(tmp_path / "s.png")
        stamps.append(open_source(tmp_path / "s.png", tile=(4, 4)).stamps)
    assert stamps[0] != stamps[1]


@pytest.mark.parametrize("size", [(10, 8), (2, 2)])
def test_a_sheet_that_is_no_whole_number_of_tiles_is_an_error(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "s.png")
    with pytest.raises(UserError, match=f"--tile 4x4: .*s.png is {size[0]}x{size[1]}, which is no whole number of tiles"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_a_sheet_of_nothing_is_an_error(tmp_path):
    Image.new("RGBA", (8, 8)).save(tmp_path / "s.png")
    with pytest.raises(UserError, match="every tile is fully transparent"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_a_sheet_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "s.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="the sprite sheet cannot be read: not a picture"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_tiles_of_a_folder_are_an_error(tmp_path):
    with pytest.raises(UserError, match="--tile 4x4: .* is not a picture file"):
        open_source(tmp_path, tile=(4, 4))

"""Numbers and sheet of a projection."""

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool.latents.perceptual import choose
from sgtool.latents.projection.scores import difference, enlargement, medians, score, table, write_comparison


def test_scores_are_those_of_the_definitions():
    rng = np.random.RandomState(0)
    a = rng.randint(0, 256, (2, 16, 16, 3), np.uint8)
    b = a.copy()
    b[1] = np.clip(a[1].astype(int) + 8 * (1 - 2 * (np.indices(a[1].shape).sum(0) % 2)), 0, 255)
    same, other = score(a, b, choose("pixels"), torch.device("cpu"))
    assert same == {"psnr": None, "ssim": pytest.approx(1), "distance": 0}
    error = np.square(a[1].astype(float) - b[1])
    assert other["psnr"] == pytest.approx(10 * np.log10(255**2 / error.mean()))
    assert other["distance"] == pytest.approx(4 * (error / 127.5**2).mean(), rel=1e-4)


def test_the_median_counts_equal_pictures_as_the_best():
    rows = [{"name": "a", "psnr": psnr, "ssim": 0.5, "distance": 1.0} for psnr in (None, 20.0, 30.0)]
    assert medians(rows) == {"psnr": 30.0, "ssim": 0.5, "distance": 1.0}
    assert medians(rows[:1])["psnr"] is None
    lines = table(rows, "pixels")
    assert lines[0].split() == ["PSNR", "dB", "SSIM", "pixels"]
    assert lines[1].split() == ["a", "equal", "0.500", "1.0000"]
    assert lines[-1].split() == ["median", "30.00", "0.500", "1.0000"]
    assert len(table(rows[:1], "pixels")) == 2


def test_a_long_table_is_cut():
    rows = [{"name": f"{i}" * 99, "psnr": 20.0, "ssim": 0.5, "distance": 1.0} for i in range(9)] * 5
    lines = table(rows, "lpips")
    assert lines[-2:] == ["... 25 more in scores.json", lines[-1]]
    assert max(map(len, lines)) < 80


def test_differences_are_amplified_and_opaque():
    target, found = np.full([2, 2, 4], 100, np.uint8), np.full([2, 2, 4], 100, np.uint8)
    found[0, 0] = (110, 95, 100, 100)
    found[1, 1] = (100, 100, 100, 0)
    gap = difference(target, found)
    assert gap[0, 0].tolist() == [40, 20, 0, 255]
    assert gap[0, 1].tolist() == [0, 0, 0, 255]
    assert gap[1, 1].tolist() == [255, 255, 255, 255]
    assert difference(target[..., :3], found[..., :3])[0, 0].tolist() == [40, 20, 0]


def test_the_sheet_shows_target_projection_and_difference(tmp_path):
    target, found = np.full([4, 4, 3], 200, np.uint8), np.full([4, 4, 3], 190, np.uint8)
    write_comparison(tmp_path / "a.png", iter([(target, found)] * 3), 3, (4, 4), 3, {"network": "m"}, ["x", "y", "z"], 8)
    with Image.open(tmp_path / "a.png") as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 16)}
        assert {(200,) * 3, (190,) * 3, (40,) * 3} <= colours
        assert '"difference": "4 times what it is"' in sheet.info["sgtool"]


def test_small_pictures_are_enlarged_on_the_sheet():
    assert [enlargement(size) for size in ((8, 8), (32, 32), (64, 32), (256, 256))] == [8, 3, 2, 1]

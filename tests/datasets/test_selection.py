import os

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import open_dataset
from sgtool.datasets.prepare import look, prepare, prepare_all
from sgtool.errors import UserError


def scene(seed, side=64):
    """Blobs of colour: smooth enough to be compared, different enough to be told apart."""
    coarse = np.random.RandomState(seed).randint(0, 256, [6, 6, 3], np.uint8)
    fine = np.random.RandomState(seed + 1000).randint(-20, 20, [side, side, 3])
    smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + fine).clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Twenty scenes, the first three of which are there again, once smaller."""
    (tmp_path / "in").mkdir()
    for i in range(20):
        scene(i).save(tmp_path / "in" / f"{i:02d}.png")
    for i in range(2):
        scene(i).save(tmp_path / "in" / f"again{i}.png")
    scene(2).resize((48, 48), Image.Resampling.LANCZOS).save(tmp_path / "in" / "small2.png")
    return tmp_path / "in"


def test_duplicates_are_left_out_in_the_same_run(folder, tmp_path):
    report = prepare(folder, tmp_path / "d.zip", resolution=(32, 32), drop=("duplicates",))
    assert report["counts"]["written"] == 21
    assert report["skipped"] == [
        ["again0.png", "duplicates: the same pixels as 00.png"],
        ["again1.png", "duplicates: the same pixels as 01.png"],
    ]
    assert report["options"]["drop"] == ["duplicates"]


def test_what_is_dropped_is_what_the_check_finds(folder, tmp_path):
    kinds = ("duplicates", "near-duplicates", "small")
    findings = look(folder, resolution=(56, 56))
    report = prepare(folder, tmp_path / "d.zip", resolution=(56, 56), drop=kinds)
    assert dict(report["skipped"]) == findings.to_drop(kinds)
    assert "small2.png" in dict(report["skipped"])


def test_an_unknown_kind_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match="--drop ugly: not a finding of pictures. Choose from unreadable"):
        prepare(tmp_path / "not even there", tmp_path / "d.zip", drop=("ugly",))


def test_copies_of_one_picture_are_held_out_together(folder, tmp_path):
    for i in range(2, 20):
        scene(i).resize((60, 60), Image.Resampling.LANCZOS).save(folder / f"small{i}.png")
    reports = prepare_all(folder, tmp_path / "d.zip", resolution=(16, 16), holdout="30%")
    training, held_out = ([open_dataset(path)[i][0].astype(int) for i in range(len(open_dataset(path)))] for path in reports)
    assert len(held_out) == pytest.approx(12, abs=2)
    nearest = [min(np.abs(picture - other).mean() for other in training) for picture in held_out]
    assert min(nearest) > 20  # of 255; between copies it is below 8
    assert sorted(os.listdir(tmp_path)) == ["d-holdout.zip", "d.zip", "in"]


def test_dropped_pictures_are_held_out_of_nothing(folder, tmp_path):
    reports = prepare_all(folder, tmp_path / "d.zip", resolution=(16, 16), holdout="5", drop=("duplicates", "near-duplicates"))
    assert sum(report["counts"]["written"] for report in reports.values()) == 20


def test_pictures_that_fail_are_judged_as_failures(folder, tmp_path):
    (folder / "broken.png").write_bytes(b"no picture")
    report = prepare(folder, tmp_path / "d.zip", resolution=(16, 16), drop=("duplicates", "unreadable"))
    assert ["broken.png", "not a picture in a known format"] in report["skipped"]
    assert report["counts"]["written"] == 21

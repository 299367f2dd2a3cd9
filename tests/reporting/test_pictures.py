"""Sheets of pictures: which are shown, how small they become, that each is encoded once."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from sgtool.reporting import pictures
from sgtool.reporting.encode import NoPicture, encoded
from sgtool.reporting.pictures import Allowance, Gallery, sheets_of, thinned


def decoded(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))).convert("RGB"))


def noise(path, width, height, seed=0):
    Image.fromarray(np.random.RandomState(seed).randint(0, 256, [height, width, 3]).astype(np.uint8)).save(path)


@pytest.mark.parametrize("n", [1, 2, 3, 30, 31, 126, 500])
def test_first_and_last_are_always_among_the_chosen(n):
    chosen = thinned([200.0 * i for i in range(n)], 30)
    assert len(chosen) == min(n, 30)
    assert chosen[0] == 0
    assert chosen[-1] == n - 1
    assert chosen == sorted(set(chosen))


def test_what_was_left_out_does_not_come_back():
    gone, before = set(), set()
    for n in range(1, 200):
        chosen = set(thinned([200.0 * i for i in range(n)], 30))
        gone |= before - chosen
        assert not gone & chosen
        before = chosen


def test_early_sheets_lie_denser_and_no_stretch_is_left_empty():
    moments = [200.0 * i for i in range(126)]
    chosen = [moments[i] for i in thinned(moments, 30)]
    gaps = np.diff(chosen)
    assert gaps[:8].mean() < gaps[-8:].mean()
    assert gaps.max() <= 0.1 * moments[-1]


def test_a_small_sheet_is_shown_without_loss_and_only_whole_pictures(tmp_path):
    noise(tmp_path / "a.png", 8 * 16, 8 * 12)
    picture = encoded(tmp_path / "a.png", (8, 8), 128, 100_000)
    assert (picture.width, picture.height, picture.columns, picture.rows, picture.of) == (80, 80, 10, 10, (16, 12))
    np.testing.assert_array_equal(decoded(picture), np.asarray(Image.open(tmp_path / "a.png"))[:80, :80])


def test_a_large_sheet_is_shrunk_and_stays_within_its_bytes(tmp_path):
    noise(tmp_path / "a.png", 7 * 256, 4 * 256)
    picture = encoded(tmp_path / "a.png", (256, 256), 128, 20_000)
    assert (picture.columns, picture.rows) == (7, 4)
    assert len(picture.source) < 20_000 * 4 / 3 + 100
    assert max(picture.width / 7, picture.height / 4) <= 128


@pytest.mark.parametrize("cell", [None, (100, 100)])
def test_a_sheet_whose_cells_are_not_known_is_shown_whole(tmp_path, cell):
    noise(tmp_path / "a.png", 300, 130)
    picture = encoded(tmp_path / "a.png", cell, 128, 1_000_000)
    assert (picture.width, picture.height, picture.columns) == (300, 130, 0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
@pytest.mark.parametrize("webp", [True, False])
def test_every_kind_of_png_is_shown(tmp_path, mode, webp, monkeypatch):
    if not webp:
        monkeypatch.setattr("sgtool.reporting.encode.features.check", lambda name: False)
    Image.new(mode, (600, 600)).save(tmp_path / "a.png")
    for most in (700, 100_000):
        picture = encoded(tmp_path / "a.png", None, 128, most)
        assert picture.source.startswith("data:image/")
        assert decoded(picture).shape[2] == 3


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 50])
def test_what_is_no_picture_is_said(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(NoPicture):
        encoded(tmp_path / "a.png", None, 128, 1000)


def test_a_cut_or_gigantic_picture_is_said(tmp_path, monkeypatch):
    noise(tmp_path / "a.png", 100, 100)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(NoPicture, match="no picture that can be read"):
        encoded(tmp_path / "b.png", None, 128, 1000)
    monkeypatch.setattr("sgtool.reporting.encode.MOST_PIXELS", 9999)
    with pytest.raises(NoPicture, match="100x100 pixels are too many"):
        encoded(tmp_path / "a.png", None, 128, 1000)


def test_sheets_are_found_in_order_and_other_files_are_not(tmp_path):
    for name in ("fakes000200.png", "fakes000000.png", "fakes_init.png", "fakes.png", "fakes000200.png.part", "xfakes000001.png"):
        (tmp_path / name).touch()
    assert sheets_of(tmp_path) == [(0.0, "fakes_init.png"), (0.0, "fakes000000.png"), (200.0, "fakes000200.png")]


def test_a_sheet_is_encoded_once_and_again_when_it_changes(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(pictures, "encoded", lambda path, *rest: calls.append(path.name) or encoded(path, *rest))
    gallery = Gallery(tmp_path, Allowance())
    for i in range(3):
        noise(tmp_path / f"fakes{i:06d}.png", 32, 32, i)
    noise(tmp_path / "reals.png", 32, 32)
    gallery.refresh((8, 8))
    gallery.refresh((8, 8))
    assert sorted(calls) == ["fakes000000.png", "fakes000001.png", "fakes000002.png", "reals.png"]
    calls.clear()
    noise(tmp_path / "fakes000003.png", 32, 32, 3)
    noise(tmp_path / "fakes000001.png", 32, 32, 9)
    os.utime(tmp_path / "fakes000001.png", (1, 1))
    frames, _ = gallery.refresh((8, 8))
    assert sorted(calls) == ["fakes000001.png", "fakes000002.png", "fakes000003.png"]  # 2: no longer the newest
    assert [frame.kimg for frame in frames] == [0, 1, 2, 3]


def test_with_little_time_the_newest_and_the_real_ones_come_first_and_the_others_follow(tmp_path):
    for i in range(6):
        noise(tmp_path / f"fakes{i:06d}.png", 32, 32, i)
    noise(tmp_path / "reals.png", 32, 32)
    gallery = Gallery(tmp_path, Allowance())
    frames, reals = gallery.refresh((8, 8), 3)
    assert ([frame.kimg for frame in frames], reals is None) == ([4, 5], False)
    assert gallery.notes == ["4 sheets follow when the page is next written."]
    gallery.refresh((8, 8), 3)
    assert [frame.kimg for frame in gallery.refresh((8, 8), 3)[0]] == [0, 1, 2, 3, 4, 5]
    assert gallery.notes == []


def test_a_sheet_that_leads_elsewhere_or_is_broken_is_left_out_and_said(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    noise(tmp_path / "private.png", 16, 16)
    (run / "fakes000001.png").symlink_to(tmp_path / "private.png")
    (run / "fakes000002.png").write_bytes(b"x")
    noise(run / "fakes000003.png", 16, 16)
    gallery = Gallery(run, Allowance())
    frames, reals = gallery.refresh(None)
    assert [frame.name for frame in frames] == ["fakes000003.png"]
    assert reals is None
    assert sorted(note.split()[0] for note in gallery.notes) == ["fakes000001.png", "fakes000002.png"]

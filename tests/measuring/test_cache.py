"""What is kept: found again under the same description only, and made anew where it is damaged."""

import os

import numpy as np
import pytest

from sgtool.errors import UserError
from sgtool.measuring import cache

ABOUT = {"pictures": "abc", "detector": ["stub", "0"], "count": 3}
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_what_is_kept_is_read_again():
    assert cache.read(ABOUT, {"rows": (3, None)}) is None
    assert cache.keep(ABOUT, {"rows": ROWS})
    np.testing.assert_array_equal(cache.read(ABOUT, {"rows": (3, None)})["rows"], ROWS)


@pytest.mark.parametrize("change", [{"pictures": "abd"}, {"detector": ["stub", "1"]}, {"count": 4}])
def test_another_description_is_another_file(change):
    cache.keep(ABOUT, {"rows": ROWS})
    assert cache.read({**ABOUT, **change}, {"rows": (3, None)}) is None


def test_arrays_of_another_shape_or_name_are_not_taken():
    cache.keep(ABOUT, {"rows": ROWS})
    assert cache.read(ABOUT, {"rows": (4, None)}) is None
    assert cache.read(ABOUT, {"mu": (None,)}) is None


def test_numbers_that_are_not_finite_are_not_taken():
    cache.keep(ABOUT, {"rows": np.full([3, 2], np.nan, np.float32)})
    assert cache.read(ABOUT, {"rows": (3, None)}) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "pickle"])
def test_a_damaged_file_is_as_none(damage, tmp_path):
    cache.keep(ABOUT, {"rows": ROWS})
    path = cache.path_of(ABOUT)
    data = path.read_bytes()
    if damage == "pickle":
        np.savez(path, rows=np.array([[object()] * 2] * 3, dtype=object))
    else:
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"not a zip"}[damage])
    assert cache.read(ABOUT, {"rows": (3, None)}) is None


def test_very_large_arrays_are_not_kept(monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 10)
    assert not cache.keep(ABOUT, {"rows": ROWS})
    assert not cache.path_of(ABOUT).exists()


def test_a_cache_that_cannot_be_written_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="SGTOOL_CACHE"):
        cache.keep(ABOUT, {"rows": ROWS})


def test_what_was_not_used_for_the_longest_time_makes_room_and_other_files_stay(monkeypatch):
    abouts = [{**ABOUT, "count": n} for n in range(4)]
    for age, about in enumerate(abouts[:3]):
        cache.keep(about, {"rows": ROWS})
        os.utime(cache.path_of(about), (age, age))
    folder = cache.path_of(ABOUT).parent
    foreign = [folder / "notes.npz", folder / "f.txt", folder / f".{'0' * 64}.npz.new.part"]
    for path in foreign:
        path.write_bytes(bytes(10_000))
        os.utime(path, (0, 0))
    cache.read(abouts[0], {"rows": (3, None)})  # used now
    monkeypatch.setattr(cache, "MOST", 2 * cache.path_of(abouts[0]).stat().st_size)
    cache.keep(abouts[3], {"rows": ROWS})
    assert [cache.path_of(about).exists() for about in abouts] == [True, False, False, True]
    assert [path.exists() for path in foreign] == [True, True, False]


def test_the_newest_file_stays_though_it_is_larger_than_all_that_may_be_kept(monkeypatch):
    monkeypatch.setattr(cache, "MOST", 1)
    cache.keep(ABOUT, {"rows": ROWS})
    assert cache.path_of(ABOUT).exists()

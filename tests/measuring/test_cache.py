"""What is kept: found again under the same description only, and made anew where it is damaged."""

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

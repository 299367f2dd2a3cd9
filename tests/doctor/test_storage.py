"""Rows about the kernel cache and the disk."""

import shutil
from types import SimpleNamespace

import pytest

from sgtool.doctor import storage


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of compiled kernels, not made yet."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def free(monkeypatch):
    """A function that sets how many bytes every disk has free."""

    def set_free(number):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=number))

    set_free(50_000_000_000)
    return set_free


def test_a_cache_that_is_not_there_yet_is_fine_and_stays_away(cache, free):
    row = storage.kernel_cache()
    assert (row.state, row.found) == ("ok", f"{cache}, 0 files, 0.0 MB, can be written, 50.0 GB free")
    assert not cache.parent.exists()


def test_compiled_kernels_are_counted(cache, free):
    cache.mkdir(parents=True)
    (cache / "a.cubin").write_bytes(bytes(1_500_000))
    (cache / "notes.txt").write_text("not a kernel")
    row = storage.kernel_cache()
    assert row.found == f"{cache}, 1 file, 1.5 MB, can be written, 50.0 GB free"
    assert row.details["files"] == 1
    assert sorted(path.name for path in cache.iterdir()) == ["a.cubin", "notes.txt"]


def test_a_cache_that_cannot_be_written_is_missing(cache, free):
    cache.parent.write_text("a file in the way")
    row = storage.kernel_cache()
    assert (row.state, row.details["writable"]) == ("missing", False)
    assert row.found == f"{cache} cannot be written (Not a directory)"
    assert "export SGTOOL_CACHE=" in row.remedy


@pytest.mark.parametrize("check", [storage.kernel_cache, storage.disk])
def test_a_disk_that_is_nearly_full_is_reported(cache, free, check):
    free(4_900_000_000)
    row = check()
    assert row.state == "missing"
    assert row.remedy.startswith("4.9 GB of disk are free, and a run writes a few; ")
    free(5_000_000_000)
    assert check().state == "ok"


def test_the_current_folder_is_the_one_looked_at(tmp_path, monkeypatch, free):
    monkeypatch.chdir(tmp_path)
    assert storage.disk().found == f"{tmp_path}, 50.0 GB free"

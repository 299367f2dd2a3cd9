"""Files are written whole or not at all."""

import errno
import hashlib
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from sgtool.errors import UserError
from sgtool.files import atomic_write, cache_folder, json_line, make_folder, sha256_of, sync_folder, try_lock, write_text


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["x.bin"]


def write_half(path, error):
    with atomic_write(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["x.bin"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match="x.bin could not be written: No space left on device.*untouched"):
        write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["x.bin"]


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="could not be written: No such file"):
        write_text(tmp_path / "none" / "x.txt", "text")


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(UserError, match="could not be written"):
        write_text(tmp_path / "x.txt", "text")
    assert names_in(tmp_path) == ["x.txt"]


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "x.txt", "größe\nzwei\n")
    assert (tmp_path / "x.txt").read_bytes() == "größe\nzwei\n".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_files_get_the_permissions_that_open_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x.txt", "text")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


def test_sha256_is_the_known_one(tmp_path):
    # FIPS 180-2, appendix B.1 and B.3
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "million").write_bytes(b"a" * 1_000_000)
    assert sha256_of(tmp_path / "million") == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


def test_sha256_of_more_than_one_block_is_hashlibs(tmp_path):
    data = os.urandom(3_000_001)
    (tmp_path / "x").write_bytes(data)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_folders_are_made_with_their_parents_and_may_exist(tmp_path):
    assert make_folder(str(tmp_path / "a" / "b"), "--outdir") == tmp_path / "a" / "b"
    assert make_folder(tmp_path / "a" / "b", "--outdir").is_dir()


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path):
    (tmp_path / "a").write_text("in the way")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match=f"--outdir {path}: the folder cannot be created .*Choose another one"):
            make_folder(path, "--outdir")


def test_syncing_a_missing_folder_does_nothing(tmp_path):
    sync_folder(tmp_path / "none")
    assert names_in(tmp_path) == []


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder("models") == Path("/a/models")
    monkeypatch.setenv("SGTOOL_CACHE", "")
    assert cache_folder("models") == Path("/b/sgtool/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("USERPROFILE", "/home/someone")
    assert cache_folder("kernels") == Path("/home/someone/.cache/sgtool/kernels")


def test_a_lock_is_held_until_the_file_is_closed(tmp_path):
    with open(tmp_path / "lock", "w") as first, open(tmp_path / "lock", "w") as second:
        assert try_lock(first)
        assert not try_lock(second)
        first.close()
        assert try_lock(second)


@pytest.mark.parametrize("name", ["", " "])
def test_a_folder_without_a_name_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--outdir is empty. Name a folder, like out"):
        make_folder(name, "--outdir")


def test_a_line_of_json_has_null_for_numbers_that_json_does_not_know():
    line = json_line({"a": float("nan"), "b": [1.5, float("inf")], "c": ({"d": -float("inf")}, "text", 3, None)})
    assert json.loads(line) == {"a": None, "b": [1.5, None], "c": [{"d": None}, "text", 3, None]}
    assert "\n" not in line

import io
import os
import zipfile
import zlib

import pytest

from sgtool.datasets.archive import check_destination, open_part, picture_name
from sgtool.errors import UserError


def test_pictures_are_named_as_nvidias():
    assert picture_name(0) == "00000/img00000000.png"
    assert picture_name(999) == "00000/img00000999.png"
    assert picture_name(1234) == "00001/img00001234.png"
    assert picture_name(12345678) == "12345/img12345678.png"


def write(path, number, texts=None, stop=None):
    """Write a dataset of small files; with `stop`, close it there and go on in a second part."""
    part, contents = open_part(path), []
    for i in range(number):
        if i == stop:
            position = part.position
            part.add("00000/cut", b"this is cut off")
            part.close()
            part = open_part(path, position)
        name, data = picture_name(i), b"%d" % i
        part.add(name, data)
        contents.append((name, len(data), zlib.crc32(data)))
    part.finish(iter(contents), texts or {})


def by_zipfile(number, texts):
    """The same zip, made by Python's library."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in [*((picture_name(i), b"%d" % i) for i in range(number)), *texts.items()]:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr, info.create_system = 0o644 << 16, 3
            archive.writestr(info, data)
    return buffer.getvalue()


@pytest.mark.parametrize("number", [3, 70_000])  # more than 65,535 files take the Zip64 format
def test_a_zip_has_the_bytes_that_pythons_zipfile_writes(tmp_path, number):
    texts = {"dataset.json": b'{"labels": null}', "prepare.json": b"{}"}
    write(tmp_path / "a.zip", number, texts)
    assert (tmp_path / "a.zip").read_bytes() == by_zipfile(number, texts)


def test_a_zip_beyond_two_gigabytes_can_be_read(tmp_path):
    part = open_part(tmp_path / "large.zip")
    part.add("00000/a", b"first")
    hole = (1 << 31) + 12345
    part.add("00000/hole", b"")
    part._file.truncate(part.position + hole)  # takes no space on the disk
    part._file.seek(0, os.SEEK_END)
    part.add("00000/b", b"last")
    part.finish([("00000/a", 5, zlib.crc32(b"first")), ("00000/hole", hole, 0), ("00000/b", 4, zlib.crc32(b"last"))], {})
    with zipfile.ZipFile(tmp_path / "large.zip") as archive:
        assert archive.namelist() == ["00000/a", "00000/hole", "00000/b"]
        assert archive.getinfo("00000/b").header_offset > 1 << 31
        assert archive.read("00000/a") == b"first"


def test_a_list_of_contents_that_is_wrong_is_noticed(tmp_path):
    part = open_part(tmp_path / "a.zip")
    part.add("00000/a", b"123")
    with pytest.raises(ValueError, match="a list of contents of"):
        part.finish([("00000/a", 4, 0)], {})
    part.close()


@pytest.mark.parametrize("dest", ["d.zip", "d"])
def test_what_is_cut_off_and_gone_on_with_is_the_same(tmp_path, dest):
    for name, stop in (("whole", None), ("cut", 4)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / dest, 9, {"dataset.json": b"{}"}, stop)
    if dest == "d.zip":
        assert (tmp_path / "cut" / dest).read_bytes() == (tmp_path / "whole" / dest).read_bytes()
    for i in range(9 if dest == "d" else 0):
        assert (tmp_path / "cut" / "d" / picture_name(i)).read_bytes() == b"%d" % i


def test_a_folder_holds_the_same_files_with_the_usual_permissions(tmp_path):
    write(tmp_path / "d", 1001, {"dataset.json": b"{}"})
    assert sorted(os.listdir(tmp_path / "d")) == ["00000", "00001", "dataset.json"]
    assert (tmp_path / "d" / "00001" / "img00001000.png").read_bytes() == b"1000"
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "d").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_destination_that_exists_is_refused(tmp_path):
    (tmp_path / "d.zip").write_bytes(b"precious")
    with pytest.raises(UserError, match="DEST .*d.zip already exists.*--force"):
        check_destination(tmp_path / "d.zip", "demo:digits")
    check_destination(tmp_path / "d.zip", "demo:digits", force=True)


def test_an_empty_folder_may_be_filled_and_any_other_not(tmp_path):
    dest = tmp_path / "d"
    dest.mkdir()
    check_destination(dest, "demo:digits")
    (dest / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="already exists"):
        check_destination(dest, "demo:digits")
    with pytest.raises(UserError, match="holds no dataset, so --force does not delete it"):
        check_destination(dest, "demo:digits", force=True)
    (dest / "dataset.json").write_text("{}")
    check_destination(dest, "demo:digits", force=True)


def test_a_folder_named_like_a_zip_and_a_file_named_like_a_folder_are_refused(tmp_path):
    (tmp_path / "d.zip").mkdir()
    (tmp_path / "d").write_text("x")
    for name, what in (("d.zip", "no zip file"), ("d", "no folder")):
        with pytest.raises(UserError, match=f"exists and is {what}"):
            check_destination(tmp_path / name, "demo:digits", force=True)


def test_writing_into_the_source_is_refused(tmp_path):
    for dest in (tmp_path, tmp_path / "out", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match="lies inside, the source"):
            check_destination(dest, tmp_path)
    check_destination(tmp_path / "out.zip", tmp_path)


def test_a_destination_around_the_source_is_refused(tmp_path):
    (tmp_path / "a" / "in").mkdir(parents=True)
    with pytest.raises(UserError, match="lies inside DEST"):
        check_destination(tmp_path / "a", tmp_path / "a" / "in", force=True)

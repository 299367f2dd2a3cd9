import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.archive import check_destination, encode_png, open_archive, picture_name
from sgtool.errors import UserError


def test_pictures_are_named_as_nvidias():
    assert picture_name(0) == "00000/img00000000.png"
    assert picture_name(999) == "00000/img00000999.png"
    assert picture_name(1234) == "00001/img00001234.png"
    assert picture_name(12345678) == "12345/img12345678.png"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_survive_the_png(channels):
    pixels = np.random.RandomState(0).randint(0, 256, [5, 7, channels], np.uint8)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def write(dest, *names):
    with open_archive(dest) as add:
        for name in names:
            add(name, name.encode())


def fail(dest, error):
    with open_archive(dest) as add:
        add("00000/x", b"1")
        raise error


def test_a_zip_is_stored_and_bears_no_time(tmp_path):
    write(tmp_path / "a.zip", "00000/x", "dataset.json")
    write(tmp_path / "b.zip", "00000/x", "dataset.json")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [info.compress_type for info in archive.infolist()] == [zipfile.ZIP_STORED] * 2
        assert archive.read("00000/x") == b"00000/x"


def test_a_folder_holds_the_same_files(tmp_path):
    write(tmp_path / "new" / "d", "00000/x", "00001/y", "dataset.json")
    assert (tmp_path / "new" / "d" / "00001" / "y").read_bytes() == b"00001/y"
    assert os.listdir(tmp_path / "new") == ["d"]


def test_a_new_folder_has_the_usual_permissions(tmp_path):
    write(tmp_path / "d", "x")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "d").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("dest", ["d.zip", "d"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_an_interrupted_archive_leaves_no_trace(tmp_path, dest, error):
    with pytest.raises(error):
        fail(tmp_path / dest, error("stop"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dest", ["d.zip", "d"])
def test_an_interrupted_replacement_leaves_the_old_dataset(tmp_path, dest):
    write(tmp_path / dest, "old")
    with pytest.raises(RuntimeError):
        fail(tmp_path / dest, RuntimeError())
    assert os.listdir(tmp_path) == [dest]
    if dest == "d":
        assert os.listdir(tmp_path / dest) == ["old"]
    else:
        with zipfile.ZipFile(tmp_path / dest) as archive:
            assert archive.namelist() == ["old"]


def test_a_replaced_folder_holds_the_new_files_only(tmp_path):
    write(tmp_path / "d", "old")
    write(tmp_path / "d", "new")
    assert os.listdir(tmp_path / "d") == ["new"]
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("dest", ["d.zip", "d"])
def test_a_full_disk_is_one_clear_sentence(tmp_path, dest):
    with pytest.raises(UserError, match=r"d(\.zip)? could not be written: No space left on device"):
        fail(tmp_path / dest, OSError(28, "No space left on device"))
    assert os.listdir(tmp_path) == []


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


def test_a_parent_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="DEST .*file: the folder cannot be created"):
        write(tmp_path / "file" / "d.zip", "x")

import os
import zipfile

import numpy as np
import pytest
from source_makers import batch_pickle, encoded, idx_bytes, picture, picture_record, write_tar

from sgtool.datasets.sources import open_source
from sgtool.errors import UserError


def test_a_path_that_is_not_there_is_an_error_that_says_what_is_read(tmp_path):
    with pytest.raises(UserError, match="nothere does not exist. Give a folder of pictures.*TFRecords"):
        open_source(tmp_path / "nothere")


def test_a_single_picture_without_tile_is_an_error(tmp_path):
    (tmp_path / "b.png").write_bytes(encoded(picture()))
    with pytest.raises(UserError, match="is a single picture.*--tile 24"):
        open_source(tmp_path / "b.png")


def test_any_other_file_is_an_error_that_says_what_is_read(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="notes.txt is nothing that is read. Give a folder of pictures"):
        open_source(tmp_path / "notes.txt")


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(UserError, match="a.zip is empty"):
        open_source(tmp_path / "a.zip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_an_error_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is not a regular file"):
        open_source(tmp_path / "pipe")


def test_what_a_file_is_counts_more_than_its_name_and_that_is_said(tmp_path):
    write_tar(tmp_path / "a.zip", [("a.png", encoded(picture()))])
    with zipfile.ZipFile(tmp_path / "b.tar", "w") as archive:
        archive.writestr("a.png", encoded(picture()))
    (tmp_path / "c.npy").write_bytes(idx_bytes(np.zeros([2, 8, 8], np.uint8)))
    kinds = {"a.zip": "a tar", "b.tar": "a zip", "c.npy": "an idx file"}
    for name, kind in kinds.items():
        source = open_source(tmp_path / name)
        assert f"{name} was read as {kind}, which it is, whatever its name says." in source.warnings
        assert len(source.names) == (2 if name == "c.npy" else 1)


def test_a_collection_without_ending_is_known_by_its_contents(tmp_path):
    write_tar(tmp_path / "one", [("a.png", encoded(picture()))])
    (tmp_path / "two").write_bytes(picture_record(picture(0, 4, 4)))
    np.save(tmp_path / "x.npy", np.zeros([2, 8, 8], np.uint8))
    (tmp_path / "x.npy").rename(tmp_path / "three")
    for name, number in (("one", 1), ("two", 1), ("three", 2)):
        source = open_source(tmp_path / name)
        assert len(source.names) == number
        assert source.warnings == []


def test_pictures_beside_a_collection_are_used_and_that_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    (tmp_path / "x-r02.tfrecords").write_bytes(picture_record(picture(0, 4, 4)))
    source = open_source(tmp_path)
    assert source.names == ["a.png"]
    assert "holds pictures and TFRecord files. The pictures were used" in source.warnings[0]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("raw/train-images-idx3-ubyte", idx_bytes(np.zeros([2, 8, 8], np.uint8))),
        ("shards/s-000.tar", b"x"),
        ("cifar/data_batch_1", batch_pickle({"labels": [1]})),
        ("deep/down/x-r02.tfrecords", b"x"),
        ("lsun/data.mdb", b"x"),
    ],
)
def test_a_collection_further_down_is_named(tmp_path, name, data):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    (path.parent / "batches.meta").write_bytes(b"")
    with pytest.raises(UserError, match=f"holds no pictures, but .* in it can be read. Give {path.parent}"):
        open_source(tmp_path)


def test_a_folder_of_one_array_names_it(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros([2, 8, 8], np.uint8))
    with pytest.raises(UserError, match="but a.npz can be read. Give .*a.npz"):
        open_source(tmp_path)


@pytest.mark.parametrize("options", [{"frames": "some"}, {"every": 0}])
def test_options_outside_their_range_are_a_mistake_of_the_program(tmp_path, options):
    with pytest.raises(ValueError, match="frames must be"):
        open_source(tmp_path, **options)


def test_every_collection_names_the_files_that_its_pictures_lie_in(tmp_path):
    write_tar(tmp_path / "a.tgz", [("a.png", encoded(picture()))], "w:gz")
    np.savez_compressed(tmp_path / "b.npz", images=np.zeros([2, 8, 8], np.uint8), labels=[0, 1])
    for name in ("a.tgz", "b.npz"):
        path = tmp_path / name
        assert open_source(path).stamps == [(str(path), path.stat().st_size, path.stat().st_mtime_ns)]

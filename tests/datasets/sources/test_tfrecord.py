import struct

import numpy as np
import pytest
from source_makers import assert_pixels, example, field, picture, picture_record, record

from sgtool.datasets.sources import examine, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


@pytest.fixture
def pictures():
    return [picture(i, 8, 8) for i in range(5)]


@pytest.fixture
def path(tmp_path, pictures):
    path = tmp_path / "faces-r03.tfrecords"
    path.write_bytes(b"".join(map(picture_record, pictures)))
    return path


def test_every_record_is_a_picture_in_its_order(path, pictures):
    source = open_source(path)
    assert source.names[:2] == ["img00000000.png", "img00000001.png"]
    assert source.labels is None
    assert_pixels(source, pictures)
    assert examine(source.picture(0)) == ((8, 8), "RGB")


def test_grey_records_are_grey(tmp_path):
    grey = picture(0, 4, 4, 1)
    (tmp_path / "g.tfrecords").write_bytes(picture_record(grey))
    assert_pixels(open_source(tmp_path / "g.tfrecords"), [grey[:, :, 0]])


def test_numbers_that_are_not_packed_are_read_too(tmp_path):
    array = picture(1, 4, 4)
    shape = b"".join(b"\x08" + bytes([n]) for n in (3, 4, 4))  # field 1 as plain numbers
    features = [(b"shape", field(3, shape)), (b"data", field(1, field(1, array.transpose(2, 0, 1).tobytes())))]
    data = field(1, b"".join(field(1, field(1, name) + field(2, value)) for name, value in features))
    (tmp_path / "a.tfrecords").write_bytes(record(data))
    assert_pixels(open_source(tmp_path / "a.tfrecords"), [array])


def test_of_a_folder_the_largest_resolution_is_taken_and_that_is_said(path, tmp_path, pictures):
    (tmp_path / "faces-r02.tfrecords").write_bytes(picture_record(picture(9, 4, 4)))
    source = open_source(tmp_path)
    assert_pixels(source, pictures)
    assert source.warnings == ["faces-r03.tfrecords was used, the largest resolution; the 1 smaller ones were left out."]


def test_a_folder_of_two_datasets_is_an_error(path, tmp_path):
    (tmp_path / "cats-r03.tfrecords").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="several datasets.*Give one file"):
        open_source(tmp_path)


def test_one_hot_labels_become_class_numbers_and_others_vectors(path, tmp_path):
    beside = tmp_path / "faces-rxx.labels"
    with open(beside, "wb") as file:
        np.save(file, np.eye(3, dtype=np.float32)[[2, 0, 1, 1, 0]])
    assert list(open_source(path).labels.values()) == [2, 0, 1, 1, 0]
    with open(beside, "wb") as file:
        np.save(file, np.float32([[0.5, 1]] * 5))
    assert open_source(path).labels["img00000003.png"] == (0.5, 1.0)


def test_too_few_labels_are_an_error(path, tmp_path):
    with open(tmp_path / "faces-rxx.labels", "wb") as file:
        np.save(file, np.zeros([4, 2], np.float32))
    with pytest.raises(UserError, match="has 4 labels for 5 pictures"):
        open_source(path)


def test_labels_that_are_python_objects_are_refused(path, tmp_path):
    with open(tmp_path / "faces-rxx.labels", "wb") as file:
        np.save(file, np.array([{}] * 5, object), allow_pickle=True)
    with pytest.raises(UserError, match="is not an array of labels"):
        open_source(path)


def test_a_changed_byte_of_a_record_is_a_skip(path):
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    source = open_source(path)
    with pytest.raises(Skip, match="checksum of its record is wrong"):
        load(source.picture(0))
    load(source.picture(1))


def test_a_file_that_is_cut_off_gives_the_records_before_and_says_so(path, pictures):
    path.write_bytes(path.read_bytes()[:-20])
    source = open_source(path)
    assert_pixels(source, pictures[:4])
    assert "its last record is cut off" in source.warnings[0]


def test_a_length_beyond_the_file_reserves_nothing(tmp_path):
    size = struct.pack("<Q", 1 << 60)
    head = record(b"")  # for the shape of a record only
    assert len(head) == 16
    from source_makers import _masked

    (tmp_path / "a.tfrecords").write_bytes(size + _masked(size) + b"x" * 50)
    with pytest.raises(UserError, match="holds no complete record.*cut off"):
        open_source(tmp_path / "a.tfrecords")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (example([3, 8, 8], b"x" * 10), r"says shape \[3, 8, 8\], but has 10 values"),
        (example([1 << 40, 1 << 40, 1 << 40], b"x"), "but has 1 values"),
        (example([3, 8], b"x" * 24), "says shape"),
        (b"", "holds no uint8 picture"),
        (b"\xff" * 40, "holds no uint8 picture"),
        (field(1, field(1, field(1, b"shape"))), "holds no uint8 picture"),
    ],
)
def test_a_record_that_is_no_picture_is_an_error_in_a_sentence(tmp_path, data, reason):
    (tmp_path / "a.tfrecords").write_bytes(record(data))
    with pytest.raises(UserError, match=reason):
        open_source(tmp_path / "a.tfrecords")


def test_a_text_with_that_name_is_an_error(tmp_path):
    (tmp_path / "a.tfrecords").write_text("hello, this is no record at all")
    with pytest.raises(UserError, match="a.tfrecords is nothing that is read"):
        open_source(tmp_path / "a.tfrecords")

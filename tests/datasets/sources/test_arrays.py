import zipfile

import numpy as np
import pytest
from source_makers import assert_pixels, picture

from sgtool.datasets.sources import close_files, examine, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


@pytest.fixture
def pictures():
    return np.stack([picture(i, 6, 5) for i in range(4)])  # [4, 5, 6, 3]


@pytest.mark.parametrize(
    "stored",
    [
        lambda a: a,
        lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)),
        np.asfortranarray,
        lambda a: np.asfortranarray(a.transpose(0, 3, 1, 2)),
    ],
    ids=["NHWC", "NCHW", "NHWC by columns", "NCHW by columns"],
)
def test_an_array_file_is_read_in_either_order(tmp_path, pictures, stored):
    np.save(tmp_path / "a.npy", stored(pictures))
    source = open_source(tmp_path / "a.npy")
    assert source.names[0] == "img00000000.png"
    assert examine(source.picture(0)) == ((6, 5), "RGB")
    assert_pixels(source, list(pictures))


def test_three_axes_are_grey_pictures(tmp_path, pictures):
    np.save(tmp_path / "a.npy", pictures[..., 0])
    assert_pixels(open_source(tmp_path / "a.npy"), list(pictures[..., 0]))


def test_what_could_be_either_order_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros([2, 3, 8, 3], np.uint8))
    source = open_source(tmp_path / "a.npy")
    assert examine(source.picture(0))[0] == (8, 3)
    assert "it was read as [N, H, W, C], although it could be [N, C, H, W]" in source.warnings[0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_brings_its_labels(tmp_path, pictures, save):
    save(tmp_path / "a.npz", images=pictures, labels=np.array([3, 0, 1, 1]))
    source = open_source(tmp_path / "a.npz")
    assert list(source.labels.values()) == [3, 0, 1, 1]
    assert source.warnings == []
    assert_pixels(source, list(pictures))


def test_of_train_and_test_the_training_pictures_are_taken_and_that_is_said(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", x_test=pictures[:1], y_test=[0], x_train=pictures, y_train=[[1], [2], [3], [4]])
    source = open_source(tmp_path / "a.npz")
    assert list(source.labels.values()) == [1, 2, 3, 4]
    assert source.warnings == ["The array x_train was used; x_test, y_test were left out."]


def test_the_only_array_of_pictures_needs_no_known_name(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", faces=pictures, ages=np.arange(4.0))
    source = open_source(tmp_path / "a.npz")
    assert_pixels(source, list(pictures))
    assert source.labels is None
    assert len(source.warnings) == 2


def test_two_arrays_of_pictures_are_an_error(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", cats=pictures, dogs=pictures)
    with pytest.raises(UserError, match="holds the arrays cats, dogs. Call the one of pictures"):
        open_source(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros([2, 4, 4, 3], np.float32), "is float32. Pictures must be uint8"),
        (np.zeros([4, 4, 3], np.uint8), "one picture, or many that are 3 wide"),
        (np.zeros([2, 5, 4, 7], np.uint8), "with C 1, 3 or 4"),
        (np.zeros([9], np.uint8), "with C 1, 3 or 4"),
        (np.zeros([0, 4, 4, 3], np.uint8), "holds no picture"),
    ],
)
def test_arrays_that_are_no_pictures_are_an_error(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=reason):
        open_source(tmp_path / "a.npy")


def test_arrays_of_python_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(UserError, match="Python objects, which are not read"):
        open_source(tmp_path / "a.npy")


def with_header(text, values=b"x" * 60):
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 100000, 1000)}"), "which is not its size"),
        (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 5, -6)}"), "Python objects"),
        (with_header("__import__('os').abort()"), "its header is damaged"),
        (with_header("{'descr': '|u1'}"), "its header is damaged"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{}", "its header is too long"),
        (b"\x93NUMPY\x09\x00ab", "not an array"),
    ],
)
def test_a_header_that_lies_is_an_error(tmp_path, data, reason):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UserError, match=reason):
        open_source(tmp_path / "a.npy")


def test_labels_of_the_wrong_count_are_an_error(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", images=pictures, labels=np.arange(3))
    with pytest.raises(UserError, match="labels has 3 labels for 4 pictures"):
        open_source(tmp_path / "a.npz")


def test_labels_that_are_not_finite_are_an_error(tmp_path, pictures):
    np.savez(tmp_path / "a.npz", images=pictures, labels=np.array([0, 1, np.nan, 2]))
    with pytest.raises(UserError, match="labels that are not finite"):
        open_source(tmp_path / "a.npz")


def test_a_compressed_array_that_is_damaged_is_an_error(tmp_path, pictures):
    np.savez_compressed(tmp_path / "a.npz", images=np.stack([picture(i, 64, 64) for i in range(4)]))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        start = archive.infolist()[0].header_offset
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[start + 5000] ^= 255
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match="images is damaged"):
        open_source(tmp_path / "a.npz")


def test_an_array_file_that_changes_meanwhile_is_a_skip(tmp_path, pictures):
    np.save(tmp_path / "a.npy", pictures)
    source = open_source(tmp_path / "a.npy")
    load(source.picture(0))
    close_files()
    np.save(tmp_path / "a.npy", pictures[:3])
    with pytest.raises(Skip, match="has changed meanwhile"):
        load(source.picture(3))

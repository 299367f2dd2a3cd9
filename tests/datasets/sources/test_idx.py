import gzip

import numpy as np
import pytest
from source_makers import assert_pixels, idx_bytes, picture

from sgtool.datasets.sources import open_source
from sgtool.datasets.sources.unpacked import PREFIX
from sgtool.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def pictures():
    return np.stack([picture(i, 5, 4, 1)[:, :, 0] for i in range(6)])


def write(folder, pictures, packed, images=IMAGES, labels=LABELS):
    numbers = np.arange(len(pictures), dtype=np.uint8) % 3
    for name, array in ((images, pictures), (labels, numbers)):
        data = idx_bytes(array)
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)
    return folder / f"{images}{'.gz' if packed else ''}"


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_and_the_labels_beside_them_are_read(tmp_path, pictures, packed):
    source = open_source(write(tmp_path, pictures, packed))
    assert source.names[0] == "img00000.png"
    assert list(source.labels.values()) == [0, 1, 2, 0, 1, 2]
    assert_pixels(source, list(pictures))


def test_the_unpacked_copy_goes_away_with_the_source(tmp_path, pictures, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    source = open_source(write(tmp_path, pictures, packed=True))
    assert [path.name.startswith(PREFIX) for path in temporary.iterdir()] == [True]
    del source
    assert list(temporary.iterdir()) == []


def test_of_a_folder_the_training_pictures_are_taken_and_that_is_said(tmp_path, pictures):
    write(tmp_path, pictures, packed=True)
    write(tmp_path, pictures[:2], True, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    source = open_source(tmp_path)
    assert len(source.names) == 6
    assert source.warnings == ["The test pictures (t10k-images-idx3-ubyte.gz) were left out; give that file to take them."]


def test_a_folder_of_several_collections_is_an_error(tmp_path, pictures):
    for kind in ("letters", "digits"):
        write(tmp_path, pictures, True, f"emnist-{kind}-train-images-idx3-ubyte", f"emnist-{kind}-train-labels-idx1-ubyte")
    with pytest.raises(UserError, match="several files of images .*digits.*letters.*Give one of them"):
        open_source(tmp_path)


def test_emnist_is_turned_upright_and_that_is_said(tmp_path, pictures):
    path = write(tmp_path, pictures, True, "emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte")
    source = open_source(path)
    assert_pixels(source, [each.T for each in pictures])
    assert "turned upright" in source.warnings[0]


def test_missing_labels_are_said(tmp_path, pictures):
    path = write(tmp_path, pictures, packed=False)
    (tmp_path / LABELS).unlink()
    source = open_source(path)
    assert source.labels is None
    assert source.warnings == [f"No labels were found beside {IMAGES}."]


def test_another_number_of_labels_is_an_error(tmp_path, pictures):
    path = write(tmp_path, pictures, packed=False)
    (tmp_path / LABELS).write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(UserError, match="has 5 labels, but train-images-idx3-ubyte 6 pictures"):
        open_source(path)


def test_the_file_of_labels_alone_is_an_error(tmp_path, pictures):
    write(tmp_path, pictures, packed=False)
    with pytest.raises(UserError, match="no pictures. Give the file of images"):
        open_source(tmp_path / LABELS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"x" * 10,
            "says 4294967295x4294967295x4294967295 bytes, but it has 10",
        ),
        (b"\0\0\x08\x03\0\0\0\x01", "ends within its header"),
        (b"\0\0\x0d\x03" + bytes([0, 0, 0, 1]) * 3 + b"xxxx", "holds floats. Only idx files of bytes"),
        (b"\0\0\x08\x03" + bytes(12), "holds no picture"),
    ],
)
def test_a_header_that_lies_is_an_error(tmp_path, data, reason):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(UserError, match=reason):
        open_source(tmp_path / "train-images-idx3-ubyte")


def test_a_gzip_that_is_cut_off_is_an_error_that_says_so(tmp_path, pictures):
    path = write(tmp_path, pictures, packed=True)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="is damaged .*Download it again"):
        open_source(path)

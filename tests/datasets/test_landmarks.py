import importlib.util
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.datasets import landmarks
from sgtool.datasets.landmarks import FILE_NAME, check_file, installed_file
from sgtool.errors import UserError


def whole(value):
    """A whole number as dlib stores it."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def real(value):
    """A float as dlib stores it."""
    fraction, exponent = math.frexp(value)
    mantissa, exponent = int(fraction * (1 << 24)), exponent - 24
    for _ in range(8):
        if mantissa % 256 == 0:
            mantissa, exponent = mantissa // 256, exponent + 8
    return whole(mantissa) + whole(exponent)


def column(values, columns=1):
    return whole(-len(values)) + whole(-columns) + b"".join(map(real, values))


def listed(items):
    return whole(len(items)) + b"".join(items)


def model(version=1, points=68, pixels=(2, 3), leaves=2, leaf=136, anchors=(0, 67), offsets=2, sets=1, columns=1):
    """A landmark model of one tree with one split, which moves every point by 0.25 or by nothing."""
    mean = column([0.25, 0.5] * points, columns)
    split = whole(pixels[0]) + whole(pixels[1]) + real(-0.5)
    tree = listed([split]) + listed([column([0.25] * leaf), column([0.0] * leaf)][:leaves])
    compared = listed([whole(anchor) for anchor in anchors])
    places = listed([real(0.1) + real(-0.2)] * offsets)
    return whole(version) + mean + listed([listed([tree])]) + listed([compared] * sets) + listed([places] * sets)


GOOD = {"pixels": (0, 1)}


def write(folder, data):
    path = folder / "model.dat"
    path.write_bytes(data)
    return path


def test_a_model_that_dlib_reads_is_accepted(tmp_path):
    dlib = pytest.importorskip("dlib")
    path = write(tmp_path, model(**GOOD))
    check_file(path)
    shape = dlib.shape_predictor(str(path))(np.zeros([100, 100], np.uint8), dlib.rectangle(0, 0, 40, 80))
    assert [(point.x, point.y) for point in shape.parts()] == [(20, 60)] * 68  # 0.25 + 0.25 of 40, 0.5 + 0.25 of 80


def test_a_model_that_dlib_wrote_is_accepted(tmp_path):
    dlib = pytest.importorskip("dlib")
    before, after = write(tmp_path, model(**GOOD)), tmp_path / "again.dat"
    dlib.shape_predictor(str(before)).save(str(after))
    check_file(after)
    assert after.read_bytes() == before.read_bytes()


@pytest.mark.slow
def test_the_installed_model_is_accepted():
    pytest.importorskip("dlib")
    check_file(installed_file())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2}, "version 1"),
        ({"points": 5}, "it has 5 points"),
        ({"columns": 2}, "mean shape is 136x2"),
        ({"pixels": (0, 2)}, "compares pixel 2 of 2"),
        ({"pixels": (1 << 40, 0)}, "compares pixel 1099511627776 of 2"),
        ({"pixels": (-1, 0)}, "negative number"),
        ({"leaves": 1}, "1 splits has 1 leaves"),
        ({"leaf": 134}, "134x1 where 136x1"),
        ({"anchors": (0, 68)}, "point that is not there"),
        ({"anchors": (0, -1)}, "point that is not there"),
        ({"offsets": 1}, "offsets are missing"),
        ({"sets": 2}, "1 sets of trees, but pixels for 2"),
    ],
)
def test_a_model_with_numbers_out_of_range_is_refused(tmp_path, change, text):
    path = write(tmp_path, model(**GOOD | change))
    with pytest.raises(UserError, match=text) as error:
        check_file(path)
    assert f"--landmarks {path} is no landmark file of dlib with 68 points" in error.value.message
    assert f"Give {FILE_NAME}, unpacked." in error.value.message


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    data = model(**GOOD)
    for length in range(0, len(data), 11):
        with pytest.raises(UserError, match="is no landmark file"):
            check_file(write(tmp_path, data[:length]))


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(model(**GOOD)) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(tmp_path_factory, place, byte):
    dlib = pytest.importorskip("dlib")
    data = bytearray(model(**GOOD))
    data[place] = byte
    path = write(tmp_path_factory.mktemp("model"), bytes(data))
    try:
        check_file(path)
        predictor = dlib.shape_predictor(str(path))
    except (UserError, RuntimeError):  # dlib refuses a few more, such as minus nought
        return
    shape = predictor(np.zeros([50, 50], np.uint8), dlib.rectangle(0, 0, 40, 40))
    assert shape.num_parts == 68


@pytest.mark.parametrize("data", [b"", b"\0", b"hello, this is text\n" * 50, b"\x89PNG\r\n\x1a\n", bytes(range(256))])
def test_other_files_are_refused(tmp_path, data):
    with pytest.raises(UserError, match="is no landmark file of dlib"):
        check_file(write(tmp_path, data))


def test_a_compressed_file_is_to_be_unpacked(tmp_path):
    with pytest.raises(UserError, match="is compressed. Unpack it first"):
        check_file(write(tmp_path, b"BZh91AY&SY"))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(landmarks, "LARGEST_FILE", 2 << 20)
    path = tmp_path / "model.dat"
    with open(path, "wb") as file:
        file.truncate((2 << 20) + 1)
    with pytest.raises(UserError, match="larger than 2 MiB"):
        check_file(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="none.dat cannot be read .*Give " + FILE_NAME):
        check_file(tmp_path / "none.dat")
    with pytest.raises(UserError, match="cannot be read"):
        check_file(tmp_path)


def test_the_installed_file_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('needs a module that is gone')\n")
    (package / "models" / FILE_NAME).write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "face_recognition_models", raising=False)
    assert installed_file() == package / "models" / FILE_NAME
    (package / "models" / FILE_NAME).unlink()
    with pytest.raises(UserError, match=r'pip install "sgtool\[faces\]"'):
        installed_file()


def test_without_the_package_the_next_step_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "sgtool\[faces\]", or give one with --landmarks FILE'):
        installed_file()

import json
import sys

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import faces
from sgtool.datasets.alignment import align
from sgtool.datasets.faces import LICENCE, Detector, Face, detect, search_scale, shared_detector
from sgtool.datasets.landmarks import installed_file
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("dlib")
    try:
        installed_file()
    except UserError as error:
        pytest.skip(error.message)
    return Detector()


@pytest.fixture
def photo(shared_data):
    """One face, 386 pixels wide, in a photograph of 565x800."""
    with Image.open(shared_data / "faces/Tom_Cruise_avp_2014_4.jpg") as picture:
        return picture.convert("RGB")


@pytest.fixture
def group(shared_data):
    """Seven faces of 37 to 44 pixels in a photograph of 500x375."""
    with Image.open(shared_data / "faces/2007_007763.jpg") as picture:
        return picture.convert("RGB")


def overlap(a, b):
    """Intersection over union of two boxes."""
    area = lambda box: max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)
    common = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return common / (area(a) + area(b) - common)


# -- finding


def test_boxes_and_landmarks_equal_the_reference(detector, golden, shared_data):
    rows = json.loads((golden / "align/align.json").read_text(encoding="utf-8"))
    names = {row["file"] for row in rows}
    assert len(names) == 5
    for name in names:
        expected = [row for row in rows if row["file"] == name]
        with Image.open(shared_data / "faces" / name) as picture:
            found = detector.detect(picture)
        assert [face.box for face in found][: len(expected)] == [tuple(row["box"]) for row in expected]
        for face, row in zip(found, expected, strict=False):
            np.testing.assert_array_equal(face.landmarks, row["landmarks"])


def test_faces_come_with_the_surest_first(detector, group):
    found = detector.detect(group)
    assert len(found) == 7
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)
    assert found[-1].score > 0
    assert all(isinstance(n, int) for face in found for n in face.box)


def test_a_picture_without_faces_gives_none(detector, shared_data):
    with Image.open(shared_data / "faces/dogs.jpg") as picture:
        assert detector.detect(picture) == []


def test_small_faces_are_left_out_on_demand(detector, group):
    sizes = [face.size for face in detector.detect(group)]
    assert sorted(sizes) == [37, 37, 37, 37, 37, 44, 44]
    assert [face.size for face in detector.detect(group, min_face=38)] == [44, 44]
    assert detector.detect(group, min_face=45) == []
    assert detector.detect(group, min_face=37)[0].box == detector.detect(group)[0].box


def test_the_largest_face_is_that_with_the_largest_box(detector, group, shared_data):
    assert [face.size for face in detector.detect(group, which="largest")] == [44]
    with Image.open(shared_data / "faces/dogs.jpg") as picture:
        assert detector.detect(picture, which="largest") == []
    with pytest.raises(ValueError, match="which must be one of all, largest, not 'smallest'"):
        detector.detect(group, which="smallest")


def test_a_higher_threshold_leaves_out_doubtful_faces(detector, shared_data):
    with Image.open(shared_data / "faces/astronaut.png") as picture:
        assert len(detector.detect(picture)) == 2  # the second one is a badge
        (face,) = detector.detect(picture, threshold=0.5)
    assert face.score > 1


def test_pictures_are_enlarged_kept_or_shrunk_for_the_search():
    assert search_scale((500, 400)) == search_scale((2000, 2000)) == search_scale((1, 1)) == 2
    assert search_scale((2001, 2000)) == search_scale((4000, 4000)) == 1
    assert search_scale((500, 400), min_face=79) == 2
    assert search_scale((500, 400), min_face=80) == 1
    assert search_scale((8000, 8000)) == pytest.approx(0.5)
    assert search_scale((40000, 2000), min_face=300) == pytest.approx(np.sqrt(0.2))


def test_a_very_large_picture_is_searched_smaller_and_marked_in_its_own_pixels(detector, photo, monkeypatch):
    (expected,) = detector.detect(photo)
    searched = []
    frontal = detector._frontal

    class Spy:
        def run(self, pixels, *others):
            searched.append(pixels.shape)
            return frontal.run(pixels, *others)

    monkeypatch.setattr(faces, "MOST_PIXELS", 100_000)
    monkeypatch.setattr(detector, "_frontal", Spy())
    (face,) = detector.detect(photo)
    assert searched == [(376, 266, 3)]
    assert overlap(face.box, expected.box) > 0.75
    assert np.abs(face.landmarks - expected.landmarks).mean() < 0.03 * expected.size


# -- kinds of pictures


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16", "F"])
def test_every_mode_is_searched(detector, photo, mode):
    grey = photo.convert("L")
    values = {"I;16": np.asarray(grey).astype(np.uint16) * 257, "F": np.asarray(grey, np.float32) / 255}
    picture = Image.fromarray(values[mode]) if mode in values else photo.convert(mode)
    (face,) = detector.detect(picture)
    (expected,) = detector.detect(photo)
    assert overlap(face.box, expected.box) > 0.7
    assert align(picture, face.landmarks, 64, 256).size == (64, 64)


def test_values_of_unknown_range_are_left_out(detector):
    with pytest.raises(Skip, match="floating-point values from 0 to 2"):
        detector.detect(Image.fromarray(np.array([[0, 2]], np.float32)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (79, 81)])
def test_tiny_pictures_have_no_faces(detector, size):
    assert detector.detect(Image.new("RGB", size, "white")) == []
    assert detector.detect(Image.new("L", size), min_face=100) == []


def test_a_face_at_the_edge_has_a_box_that_leaves_the_picture(detector, photo):
    found = detector.detect(photo.crop((0, 330, 565, 800)), threshold=-0.5)
    assert any(face.box[1] < 0 for face in found)
    assert all(align(photo, face.landmarks, 64, None).size == (64, 64) for face in found)


# -- the detector


def test_one_detector_is_kept_for_a_process(detector, photo, monkeypatch):
    made = []
    monkeypatch.setattr(faces, "Detector", lambda landmarks: made.append(landmarks) or detector)
    shared_detector.cache_clear()
    assert [face.box for face in detect(photo)] == [face.box for face in detect(photo)] == [(76, 290, 461, 675)]
    assert shared_detector("other.dat") is detector
    assert made == [None, "other.dat"]
    shared_detector.cache_clear()


def test_without_dlib_the_next_step_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UserError, match=r'needs dlib, which is not here .* Run: pip install "sgtool\[faces\]"'):
        Detector()


def test_a_file_that_is_no_model_does_not_reach_dlib(detector, tmp_path):
    path = tmp_path / "model.dat"
    path.write_bytes(b"\x01\x01 and so on")
    with pytest.raises(UserError, match=f"--landmarks {path} is no landmark file"):
        Detector(path)


def test_a_damaged_installed_file_is_one_sentence(detector, tmp_path, monkeypatch):
    path = tmp_path / "model.dat"
    path.write_bytes(b"\x01\x01\x81\x10")
    monkeypatch.setattr(faces, "installed_file", lambda: path)
    with pytest.raises(UserError, match=f"{path} cannot be read by dlib"):
        Detector()


def test_the_size_of_a_face_is_the_shorter_side_of_its_box():
    assert Face((-3, 10, 6, 30), np.zeros([68, 2]), 1.0).size == 10


def test_the_licence_of_the_landmarks_is_said_in_words():
    assert "iBUG 300-W" in LICENCE
    assert "excludes commercial use" in LICENCE

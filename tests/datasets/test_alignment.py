import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from sgtool.datasets.alignment import align, enough_samples, face_square
from sgtool.datasets.padding import Padding
from sgtool.datasets.transforms import Skip


def face(x, y, width, angle=0.0):
    """Landmarks of a face centred at (x, y), its eyes `width` apart, turned by `angle` radians."""
    points = np.zeros([68, 2])
    points[36:42], points[42:48] = (-0.5, -0.5), (0.5, -0.5)
    points[48:], points[54] = (-0.4, 0.5), (0.4, 0.5)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn * width + (x, y)


def scene(width, height, channels=3, seed=0):
    """A picture with edges, slopes and a little noise."""
    random = np.random.RandomState(seed)
    blocks = random.randint(0, 256, [8, 8, channels]).astype(np.float64)
    rows, columns = (np.arange(n) * 8 // n for n in (height, width))
    noise = random.normal(0, 4, [height, width, channels])
    return Image.fromarray(np.uint8(np.clip(blocks[rows[:, None], columns] + noise, 0, 255)).squeeze())


def defined(picture, landmarks, size, samples):
    """The alignment as it is defined, each step on the whole picture. picture: RGB."""
    points = np.asarray(landmarks, np.float64)
    left, right, mouth = points[36:42].mean(0), points[42:48].mean(0), (points[48] + points[54]) / 2
    eyes = (left + right) / 2
    axis = (right - left) - np.array([-(mouth - eyes)[1], (mouth - eyes)[0]])
    axis *= max(2 * np.linalg.norm(right - left), 1.8 * np.linalg.norm(mouth - eyes)) / np.linalg.norm(axis)
    other, centre = np.array([-axis[1], axis[0]]), eyes + 0.1 * (mouth - eyes)
    corners = np.array([centre - axis - other, centre - axis + other, centre + axis + other, centre + axis - other])
    side = 2 * np.linalg.norm(axis)
    if (factor := int(side / size / 2)) > 1:
        smaller = [round(n / factor) for n in picture.size]
        picture, corners, side = picture.resize(smaller, Image.Resampling.LANCZOS), corners / factor, side / factor
    border = max(round(side * 0.1), 3)
    first, last = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    cut = np.array([np.maximum(first - border, 0), np.minimum(last + border, picture.size)])
    values = np.asarray(picture, np.float64)[cut[0, 1] : cut[1, 1], cut[0, 0] : cut[1, 0]]
    corners, first, last = corners - cut[0], first - cut[0], last - cut[0]
    height, width = values.shape[:2]
    over = np.maximum([[border - first[1], last[1] + border - height], [border - first[0], last[0] + border - width]], 0)
    if over.max() > border - 4:
        over = np.maximum(over, round(0.3 * side))
        values = np.pad(values, [*over, (0, 0)], "reflect")
        height, width = values.shape[:2]
        depth = np.empty([height, width, 1])
        for y in range(height):
            for x in range(width):
                near = [y / over[0, 0], (height - 1 - y) / over[0, 1], x / over[1, 0], (width - 1 - x) / over[1, 1]]
                depth[y, x] = 1 - min(near)
        blurred = ndimage.gaussian_filter(values, [0.02 * side, 0.02 * side, 0])
        values = values + (blurred - values) * np.clip(3 * depth + 1, 0, 1)
        values = values + (np.median(values, axis=(0, 1)) - values) * np.clip(depth, 0, 1)
        corners = corners + over[::-1, 0]
    picture = Image.fromarray(np.uint8(np.clip(np.rint(values), 0, 255)))
    quad = (corners + 0.5).ravel().tolist()
    picture = picture.transform((samples, samples), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def difference(a, b):
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))


# -- against the definition and the published pictures


def test_every_published_picture_is_reproduced(golden, shared_data):
    rows = json.loads((golden / "align/align.json").read_text(encoding="utf-8"))
    assert len(rows) == 10
    for row in rows:
        with Image.open(shared_data / "faces" / row["file"]) as picture:
            aligned = align(picture.convert("RGB"), row["landmarks"])
        with Image.open(golden / "align" / row["expected"]) as expected:
            off = difference(aligned.resize(expected.size, Image.Resampling.BOX), expected)
        assert off.mean() < 0.05, row["expected"]
        assert off.max() <= 2, row["expected"]


@pytest.mark.parametrize("angle", [0, 0.4, -2.5])
@pytest.mark.parametrize("size", [64, 16])  # the smaller one shrinks the picture first
def test_faces_inside_the_picture_equal_the_definition_bit_for_bit(angle, size):
    picture, landmarks = scene(320, 280), face(155, 140, 30, angle)
    expected = defined(picture, landmarks, size, 4 * size)
    np.testing.assert_array_equal(align(picture, landmarks, size, 4 * size), expected)


@pytest.mark.parametrize("place", [(30, 90), (170, 30), (100, 175), (195, 170), (100, 90)], ids=str)
@pytest.mark.parametrize("width", [10, 40, 90])
def test_faces_that_leave_the_picture_equal_the_definition(place, width):
    picture, landmarks = scene(200, 180, seed=width), face(*place, width, 0.3)
    off = difference(align(picture, landmarks, 64, 256), defined(picture, landmarks, 64, 256))
    assert off.mean() < 0.2
    assert off.max() <= 4


def test_a_wide_blur_at_low_resolution_equals_the_definition():
    picture, landmarks = scene(560, 400, seed=3), face(260, 120, 130, -0.2)
    assert face_square(landmarks).side * 0.02 > 9  # three pixels in one
    off = difference(align(picture, landmarks, 256, 512), defined(picture, landmarks, 256, 512))
    assert off.mean() < 0.1
    assert off.max() <= 4


@pytest.mark.parametrize("width", [12, 40, 100])
def test_fewer_samples_change_a_fraction_of_a_level(width):
    picture, landmarks = scene(700, 700), face(350, 350, width, 0.1)
    assert enough_samples(face_square(landmarks).side, 256) < 1024 or width == 100
    off = difference(align(picture, landmarks, 256, None), align(picture, landmarks, 256, 1024))
    assert off.mean() < 0.4
    assert off.max() <= 4


def test_samples_follow_the_size_of_the_face():
    assert [enough_samples(side, 1024) for side in (10, 800, 1000, 1300, 4000)] == [2048, 2048, 3072, 4096, 4096]


# -- geometry


def test_the_square_of_a_level_face_is_the_one_that_can_be_computed_by_hand():
    square = face_square(face(100, 200, 10))  # eyes 10 apart, the mouth 10 below them: half a side is 20
    assert square.side == pytest.approx(40)
    np.testing.assert_allclose(square.corners, [(80, 176), (80, 216), (120, 216), (120, 176)])


@given(st.floats(-3.1, 3.1), st.floats(0.1, 50), st.floats(-500, 500), st.floats(-500, 500))
def test_the_square_turns_grows_and_moves_with_the_face(angle, width, x, y):
    square, turned = face_square(face(0, 0, 1)), face_square(face(x, y, width, angle))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(turned.corners, square.corners @ turn * width + (x, y), atol=1e-9 * max(width, 500))
    assert turned.side == pytest.approx(square.side * width)


def test_a_turned_picture_gives_the_same_face():
    picture, landmarks = scene(300, 260), face(140, 130, 35, 0.2)
    turned = np.stack([landmarks[:, 1], picture.width - 1 - landmarks[:, 0]], axis=1)
    a, b = align(picture, landmarks, 128, 512), align(picture.transpose(Image.Transpose.ROTATE_90), turned, 128, 512)
    assert difference(a, b).max() <= 1


def test_the_face_is_upright_and_in_the_middle():
    pixels = np.zeros([400, 400], np.uint8)
    landmarks = face(200, 200, 40, 0.7)
    for x, y in (landmarks[36], landmarks[42]):
        pixels[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 255
    found = np.asarray(align(Image.fromarray(pixels), landmarks, 128, 512), np.float64)
    rows, columns = np.arange(128) @ found.sum(1) / found.sum(), np.arange(128) @ found.sum(0) / found.sum()
    assert columns == pytest.approx(63.5, abs=1)
    assert rows == pytest.approx(128 * 19 / 40 - 0.5, abs=1)  # by hand: 19 of 40 pixels below the upper side
    assert found[:, :64].sum() == pytest.approx(found[:, 64:].sum(), rel=0.05)


# -- modes


@pytest.mark.parametrize(
    ("mode", "result"), [("1", "L"), ("L", "L"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("RGB", "RGB"), ("P", "RGB")]
)
@pytest.mark.parametrize("place", [(100, 90), (20, 30)], ids=["inside", "leaving"])
def test_the_mode_is_kept_where_it_can_be(mode, result, place):
    picture = scene(200, 180).convert(mode)
    aligned = align(picture, face(*place, 25, 0.3), 64, 256)
    assert (aligned.mode, aligned.size) == (result, (64, 64))
    opaque = align(picture.convert("RGB"), face(*place, 25, 0.3), 64, 256)
    assert difference(aligned.convert("RGB"), opaque).max() <= 1
    if result == "RGBA":
        assert aligned.getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "F"])
def test_other_modes_are_converted(mode):
    grey = scene(200, 180, 1)
    values = {"CMYK": grey.convert("CMYK"), "I;16": Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)}
    values["F"] = Image.fromarray(np.asarray(grey, np.float32) / 255)
    aligned = align(values[mode], face(20, 30, 25), 64, 256)
    assert aligned.mode == ("RGB" if mode == "CMYK" else "L")
    assert difference(aligned.convert("L"), align(grey, face(20, 30, 25), 64, 256)).max() <= 1


@pytest.mark.parametrize("place", [(100, 90), (30, 40)], ids=["inside", "leaving"])
def test_the_colour_under_transparent_pixels_is_not_seen(place):
    pixels = np.zeros([180, 200, 4], np.uint8)
    pixels[:, :] = (255, 0, 0, 0)  # red that nobody sees
    pixels[place[1] - 20 : place[1] + 20, place[0] - 20 : place[0] + 20] = (0, 0, 200, 255)
    aligned = np.asarray(align(Image.fromarray(pixels), face(*place, 25, 0.3), 64, 256))
    assert aligned[..., 3].min() < 10
    assert aligned[..., 3].max() == 255
    assert aligned[aligned[..., 3] > 8][:, 0].max() <= 32  # of 255: what rounding a nearly invisible pixel leaves


# -- odd input


def test_a_picture_of_one_pixel_has_one_colour():
    aligned = align(Image.new("RGB", (1, 1), (10, 20, 30)), face(0, 0, 5, 0.5), 32, 128)
    np.testing.assert_array_equal(np.unique(np.asarray(aligned).reshape(-1, 3), axis=0), [(10, 20, 30)])


@pytest.mark.parametrize(("x", "y"), [(-300, 50), (50, 900), (400, 50), (1e5, 1e5)])
def test_faces_outside_the_picture_are_left_out(x, y):
    with pytest.raises(Skip, match="outside the picture"):
        align(scene(100, 100), face(x, y, 20))


@pytest.mark.parametrize("landmarks", [np.zeros([68, 2]), np.full([68, 2], np.nan), np.full([68, 2], 1e9), face(9, 9, 9) * 1e7])
def test_landmarks_that_make_no_face_are_left_out(landmarks):
    with pytest.raises(Skip, match="the landmarks"):
        align(scene(100, 100), landmarks)


def test_eyes_and_mouth_that_contradict_each_other_are_left_out():
    landmarks = face(50, 50, 20)
    landmarks[48:] = landmarks[[48]] * 0 + (50, 20)  # the mouth as far above the eyes as they are apart
    with pytest.raises(Skip, match="contradict"):
        align(scene(100, 100), landmarks)


@pytest.mark.parametrize("shape", [(5, 2), (68,), (68, 3), (2, 68)])
def test_another_number_of_landmarks_is_refused(shape):
    with pytest.raises(ValueError, match=r"landmarks must be \[68, 2\], not \[" + str(shape[0])):
        align(scene(100, 100), np.ones(shape))


@pytest.mark.parametrize(("size", "samples"), [(0, 16), (64, 32), (64, 0)])
def test_sizes_that_make_no_sense_are_refused(size, samples):
    with pytest.raises(ValueError, match="transform_size must be at least size"):
        align(scene(100, 100), face(50, 50, 20), size, samples)


# -- padding


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(0, 30), min_size=4, max_size=4))
def test_reflection_is_numpys(width, height, widths):
    pixels = np.arange(width * height, dtype=np.uint8).reshape(height, width, 1)
    padding = Padding(pixels, np.array(widths[:2]), np.array(widths[2:]), 1.0)
    columns, rows = (np.arange(-b, s) for b, s in zip(padding.before, padding.stop, strict=True))
    expected = np.pad(pixels, [(widths[1], widths[3]), (widths[0], widths[2]), (0, 0)], "reflect")
    np.testing.assert_array_equal(padding.reflected(columns, rows), expected)


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_a_part_of_the_padding_is_that_part_of_the_whole(sigma):
    padding = Padding(np.asarray(scene(150, 130)), np.array([60, 70]), np.array([80, 60]), sigma)
    whole = padding.blended(-padding.before, padding.stop)
    assert whole.shape == (260, 290, 3)
    for start, stop in (((-60, -70), (20, 10)), ((60, 50), (140, 190)), ((40, 40), (90, 90))):
        part = padding.blended(np.array(start), np.array(stop))
        same = whole[start[1] + 70 : stop[1] + 70, start[0] + 60 : stop[0] + 60]
        assert difference(part, same).mean() < 0.2
        assert difference(part, same).max() <= 3


def test_the_outermost_padding_has_the_median_colour():
    pixels = np.full([100, 100, 3], (10, 200, 90), np.uint8)
    pixels[:30] = (250, 0, 0)
    padding = Padding(pixels, np.array([40, 40]), np.array([40, 40]), 3.0)
    np.testing.assert_allclose(padding.median(), (10, 200, 90), atol=1)
    edge = padding.blended(-padding.before, np.array([140, -39]))
    assert difference(edge, np.broadcast_to([10, 200, 90], edge.shape)).max() <= 1


def test_the_picture_far_from_its_edges_is_left_as_it_is():
    picture = scene(150, 130)
    padding = Padding(np.asarray(picture), np.array([30, 30]), np.array([30, 30]), 2.0)
    np.testing.assert_array_equal(padding.blended(np.array([11, 11]), np.array([138, 118])), np.asarray(picture)[11:118, 11:138])

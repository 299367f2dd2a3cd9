import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import zoom

from sgtool.datasets.saliency import saliency_map, square_place

SCENES = ("plain", "gradient", "stripes", "checks", "sky")


def backdrop(kind, width, height):
    """What a thing stands out from, float `[height, width, 3]`."""
    y, x = np.mgrid[:height, :width].astype(float)
    rng = np.random.RandomState(0)
    return {
        "plain": np.full([height, width, 1], 120.0),
        "gradient": (40 + 180 * x / width)[..., None],
        "stripes": (127 + 80 * np.sin(x / 3))[..., None],
        "checks": ((x // 10 + y // 10) % 2 * 120 + 60)[..., None],
        "sky": (220 - 100 * y / height)[..., None] * [0.6, 0.8, 1.0] + rng.randn(height, width, 3) * 3,
    }[kind] * np.ones(3)


def scene(kind, width, height, left, top, side, seed=0):
    """A round thing with a texture, `side` pixels across, before a backdrop."""
    image = Image.fromarray(backdrop(kind, width, height).clip(0, 255).astype(np.uint8))
    texture = zoom(np.random.RandomState(seed).randint(0, 256, [side // 5, side // 5, 3]).astype(np.uint8), (5, 5, 1), order=1)
    disc = Image.new("L", (side, side))
    ImageDraw.Draw(disc).ellipse([0, 0, side - 1, side - 1], fill=255)
    image.paste(Image.fromarray(texture), (left, top), disc)
    return image


def covered(image, left, top, side):
    """Share of the thing that the square crop shows."""
    square = min(image.size)
    x, y = ((n - square) * place for n, place in zip(image.size, square_place(image), strict=True))
    across = max(0, min(x + square, left + side) - max(x, left))
    down = max(0, min(y + square, top + side) - max(y, top))
    return across * down / side**2


@pytest.mark.parametrize("kind", SCENES)
@pytest.mark.parametrize(("width", "height"), [(480, 240), (300, 620), (2000, 900), (90, 60)])
@pytest.mark.parametrize("where", [0.0, 0.2, 0.5, 1.0])
def test_the_square_holds_the_thing_that_stands_out_wherever_it_is(kind, width, height, where):
    side = min(width, height) // 15 * 5
    left, top = int(where * (width - side)), int(where * (height - side))
    assert covered(scene(kind, width, height, left, top, side), left, top, side) > 0.9


def test_the_map_is_largest_where_the_thing_is():
    heat = saliency_map(scene("stripes", 480, 240, 300, 100, 80))
    assert heat.shape == (48, 96)
    assert heat.sum() == pytest.approx(1)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 20 <= y <= 36
    assert 60 <= x <= 76


def test_a_thing_that_differs_in_colour_only_is_seen():
    image = Image.new("RGB", (200, 100), (100, 100, 100))
    image.paste((255, 34, 34), (0, 20, 40, 60))  # the same luma
    assert square_place(image)[0] < 0.25  # 0.2 leaves a blurred edge around it


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_what_shows_nothing_is_cut_in_the_middle(mode):
    assert square_place(Image.new(mode, (90, 40))) == (0.5, 0.5)
    assert not saliency_map(Image.new(mode, (90, 40))).any()


def test_faint_noise_shows_nothing():
    noise = np.random.RandomState(0).randn(100, 300) * 1.2 + 128
    assert square_place(Image.fromarray(noise.astype(np.uint8))) == (0.5, 0.5)


def test_colour_under_transparent_pixels_is_not_seen():
    hidden = np.full([60, 180, 4], 128, np.uint8)
    hidden[..., 3] = 255
    hidden[:, :60] = 0
    hidden[:, :60, :3] = np.random.RandomState(0).randint(0, 256, [60, 60, 3])
    assert square_place(Image.fromarray(hidden)) == (0.5, 0.5)


def test_the_middle_wins_between_equals():
    array = np.full([50, 250], 90, np.uint8)
    array[15:35, 25:45] = array[15:35, 115:135] = array[15:35, 205:225] = np.arange(20) * 12
    assert square_place(Image.fromarray(array))[0] == pytest.approx(0.5, abs=0.05)


def test_a_mirrored_picture_has_the_mirrored_place():
    image = scene("sky", 480, 240, 20, 40, 100)
    x, y = square_place(image)
    mirrored = square_place(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert mirrored == pytest.approx((1 - x, y), abs=0.03)


def test_squares_and_the_narrowest_pictures_have_a_place_too():
    rng = np.random.RandomState(0)
    for size in [(64, 64), (1, 1), (500, 1), (1, 500), (65, 64), (3, 2)]:
        image = Image.fromarray(rng.randint(0, 256, [size[1], size[0], 3], np.uint8))
        assert all(0 <= place <= 1 for place in square_place(image))
    assert square_place(Image.fromarray(rng.randint(0, 256, [64, 64, 3], np.uint8))) == (0.5, 0.5)

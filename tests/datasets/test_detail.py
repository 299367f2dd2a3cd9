import io
import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sgtool.datasets.detail import block_size, detail, sharpness

RESIZE = Image.Resampling


def grey(picture):
    return np.asarray(picture.convert("L"))


def jpeg(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def enlarged(picture, factor, resample=RESIZE.BICUBIC):
    """The picture made smaller by `factor`, and as large as before again."""
    small = picture.resize([round(n / factor) for n in picture.size], RESIZE.LANCZOS)
    return small.resize(picture.size, resample)


@pytest.fixture
def real(shared_data):
    """Six real photographs, grey, 360x375 pixels and more."""
    return [Image.open(path).convert("L") for path in sorted((shared_data / "faces").iterdir())]


def test_photographs_have_detail_in_all_of_their_pixels(photo):
    for seed in range(8):
        assert detail(grey(photo(seed))) == 1


def test_real_photographs_are_full_of_detail_reduced_cropped_and_compressed(real):
    for picture in real:
        half = picture.resize([n // 2 for n in picture.size], RESIZE.LANCZOS)
        cropped = picture.crop((40, 40, 296, 296))
        for version in (picture, half, picture.resize((256, 256), RESIZE.BOX), cropped, jpeg(picture, 75), jpeg(picture, 30)):
            assert detail(grey(version)) > 0.9


@pytest.mark.parametrize("resample", [RESIZE.BILINEAR, RESIZE.BICUBIC, RESIZE.LANCZOS])
@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_an_enlarged_picture_has_the_detail_of_the_small_one(photo, factor, resample):
    for seed in range(4):
        assert 0.6 < factor * detail(grey(enlarged(photo(seed, 512, 384), factor, resample))) < 1.25


def test_real_photographs_that_were_enlarged_are_recognised_through_jpeg(real):
    for picture in real:
        for factor, most in ((2, 0.67), (3, 0.4), (4, 0.3)):
            assert detail(grey(enlarged(picture, factor))) <= most
            assert detail(grey(jpeg(enlarged(picture, factor), 75))) <= most


def test_the_more_a_picture_is_enlarged_the_less_detail_it_has(real):
    for picture in real:
        values = [detail(grey(enlarged(picture, factor))) for factor in (1.01, 2, 3, 4, 8)]
        assert values == sorted(values, reverse=True)


def test_faces_cut_out_of_small_pictures_are_recognised_as_enlarged(golden):
    """Aligned faces of 256x256: nine were between 70 and 190 pixels wide in their photograph."""
    values = [detail(grey(Image.open(path))) for path in sorted((golden / "align").glob("*.png"))]
    assert sum(value <= 0.6 for value in values) == 9


def test_a_strong_blur_counts_as_lack_of_detail(photo):
    assert detail(grey(photo(0).filter(ImageFilter.GaussianBlur(2)))) < 0.3


def test_repeated_pixels_are_counted():
    pixels = np.random.RandomState(0).randint(256, size=[20, 30], dtype=np.uint8)
    for factor in (1, 2, 3, 5):
        blocks = np.kron(pixels, np.ones([factor, factor], np.uint8))
        assert block_size(blocks) == factor
        assert detail(blocks) == 1 / factor
        assert block_size(blocks[:, 1:]) == 1  # a picture that was cut afterwards is no whole number of blocks


@pytest.mark.parametrize("shape", [(256, 256), (1, 1), (1, 300), (300, 7), (63, 63), (64, 64), (1200, 65)])
def test_what_is_too_smooth_or_too_small_to_tell_gets_the_benefit_of_the_doubt(shape):
    height, width = shape
    ramp = np.broadcast_to(np.linspace(60, 200, width), shape).astype(np.uint8)
    assert detail(np.full(shape, 77, np.uint8)) == 1
    assert detail(ramp) == 1


def test_a_drawing_with_sharp_edges_has_full_detail():
    picture = np.zeros([200, 200], np.uint8)
    picture[53:120, 31:77] = 255
    picture[90:141, 60:163] = 128
    assert detail(picture) == 1


def test_sharpness_is_the_laplacian_over_the_gradient_by_definition():
    """One tile's worth of texture in each of 16 tiles: all tiles alike, so that the formula can be written down directly."""
    tile = np.random.RandomState(1).randint(256, size=[8, 8])
    picture = np.tile(tile, [5, 5])[:34, :34]
    laplacian = gradient = 0.0
    for y in range(1, 33):
        for x in range(1, 33):
            around = picture[y - 1, x] + picture[y + 1, x] + picture[y, x - 1] + picture[y, x + 1]
            laplacian += (around - 4.0 * picture[y, x]) ** 2
            gradient += (picture[y, x] - picture[y, x - 1]) ** 2.0 + (picture[y, x] - picture[y - 1, x]) ** 2.0
    assert sharpness(picture.astype(np.uint8)) == pytest.approx(math.log(laplacian / gradient), rel=1e-5)


def test_sharpness_falls_with_every_step_of_blur(photo):
    for seed in range(4):
        values = [sharpness(grey(photo(seed).filter(ImageFilter.GaussianBlur(sigma)))) for sigma in (0, 0.5, 1, 1.5, 2, 3)]
        assert values == sorted(values, reverse=True)
        assert values[0] - values[2] > 1


def test_brightness_contrast_and_mirror_leave_sharpness_as_it_is(photo):
    picture = grey(photo(2))
    darker = (picture // 2 + 30).astype(np.uint8)
    assert sharpness(darker) == pytest.approx(sharpness(picture), abs=0.05)
    assert sharpness(picture[:, ::-1].copy()) == pytest.approx(sharpness(picture), abs=0.1)


def test_a_blurred_background_does_no_harm(photo):
    picture = photo(3)
    portrait = picture.filter(ImageFilter.GaussianBlur(4))
    portrait.paste(picture.crop((64, 64, 192, 192)), (64, 64))
    assert sharpness(grey(portrait)) > sharpness(grey(picture)) - 0.3


@pytest.mark.parametrize("picture", [np.zeros([64, 64], np.uint8), np.zeros([1, 1], np.uint8), np.eye(15, dtype=np.uint8)])
def test_where_there_is_nothing_to_see_sharpness_is_not_a_number(picture):
    assert math.isnan(sharpness(picture))

import io
import math
import pickle

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.findings import COLOUR_GRID, GRID, ROW, THUMBNAIL_BYTES, Measures, measure
from sgtool.datasets.transforms import Skip


def same(a, b):
    """Equality of measures in which nan equals nan."""
    return a.to_bytes() == b.to_bytes()


def test_measures_survive_bytes_and_pickles(photo):
    measures = measure(photo(0, 300, 200), (256, 256))
    assert same(Measures.from_bytes(measures.to_bytes()), measures)
    assert same(pickle.loads(pickle.dumps(measures)), measures)
    assert len(measures.to_bytes()) <= 4096
    assert len(measures.row()) == ROW.itemsize == 332


def test_too_few_bytes_are_no_measures():
    with pytest.raises(ValueError, match="331 bytes are no measures"):
        Measures.from_bytes(bytes(331))


def test_size_and_scale_are_told(photo):
    picture = photo(1, 300, 200)
    assert (measure(picture).width, measure(picture).height, measure(picture).scale) == (300, 200, 0)
    assert measure(picture, (256, 256)).scale == 256 / 200
    assert measure(picture, (150, 50)).scale == 0.5


def test_the_digest_knows_pixels_size_and_mode_only(photo):
    picture = photo(1, 64, 48)
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    assert measure(Image.open(buffer)).digest == measure(picture).digest
    pixels = np.array(picture)
    pixels[40, 60, 2] ^= 1
    others = [
        Image.fromarray(pixels),
        picture.convert("L"),
        picture.convert("RGBA"),
        picture.transpose(Image.Transpose.ROTATE_180),
    ]
    others.append(Image.fromarray(np.array(picture).reshape(64, 48, 3)))
    assert len({measure(other).digest for other in [picture, *others]}) == 6


def test_shape_is_the_mean_luma_of_16_by_16_cells_less_its_mean():
    cells = np.random.RandomState(0).randint(20, 220, size=[GRID, GRID])
    picture = Image.fromarray(np.kron(cells, np.ones([4, 4])).astype(np.uint8))
    expected = (cells - cells.mean()) * 127 / np.abs(cells - cells.mean()).max()
    shape = np.frombuffer(measure(picture).shape, np.int8).reshape(GRID, GRID)
    assert np.abs(shape - expected).max() <= 0.5001


def test_brightness_and_contrast_leave_the_shape_as_it_is(photo):
    picture = np.asarray(photo(3), np.float32)
    a, b = (np.frombuffer(measure(Image.fromarray(p.astype(np.uint8))).shape, np.int8) for p in (picture, picture * 0.4 + 90))
    assert np.abs(a.astype(int) - b).max() <= 3


def test_a_plain_picture_has_no_shape():
    for picture in (Image.new("RGB", (50, 40), "#638596"), Image.new("L", (1, 1), 3), Image.new("RGBA", (9, 9), (1, 2, 3, 0))):
        measures = measure(picture)
        assert not any(measures.shape)
        assert math.isnan(measures.sharpness)
        assert measures.detail == 1


def test_percentiles_are_those_of_numpy(photo):
    luma = np.asarray(photo(4).convert("L"))
    measures = measure(photo(4))
    assert measures.dark == np.quantile(luma, 0.01, method="inverted_cdf")
    assert measures.bright == np.quantile(luma, 0.99, method="inverted_cdf")


@pytest.mark.parametrize(
    ("picture", "grey"),
    [
        (lambda photo: photo.convert("L"), True),
        (lambda photo: photo.convert("L").convert("RGB"), True),
        (lambda photo: photo.convert("L").convert("P"), True),
        (lambda photo: photo, False),
        (
            lambda photo: Image.blend(photo.convert("L").convert("RGB"), Image.new("RGB", photo.size, "#a08050"), 0.3),
            False,
        ),  # sepia
    ],
)
def test_grey_is_what_shows_no_colour(photo, picture, grey):
    assert measure(picture(photo(5))).grey is grey


def test_a_grey_picture_stays_grey_through_jpeg(photo):
    buffer = io.BytesIO()
    photo(5).convert("L").convert("RGB").save(buffer, "JPEG", quality=30)
    assert measure(Image.open(buffer)).grey


def test_a_small_spot_of_colour_is_colour(photo):
    picture = photo(6).convert("L").convert("RGB")
    picture.paste("#ff0000", (100, 100, 140, 140))
    assert not measure(picture).grey


def test_chroma_keeps_where_colours_are():
    picture = Image.new("RGB", (64, 64), "#ff0000")
    picture.paste("#0000ff", (32, 0, 64, 64))
    chroma = np.frombuffer(measure(picture).chroma, np.uint8).reshape(COLOUR_GRID, COLOUR_GRID, 2).astype(int)
    assert (chroma[:, 0, 1] > chroma[:, 0, 0] + 100).all()
    assert (chroma[:, 3, 0] > chroma[:, 3, 1] + 100).all()


def test_transparent_pixels_are_counted_and_lie_over_white(photo):
    picture = photo(7, 100, 100).convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 100, 25))
    measures = measure(picture)
    assert measures.transparent == pytest.approx(0.25)
    assert measures.bright == 255
    assert measure(picture.convert("RGB")).transparent == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "HSV"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 2), (70, 90)])
def test_pictures_of_every_mode_and_size_can_be_measured(mode, size):
    measures = measure(Image.new(mode, size), (64, 64))
    assert (measures.width, measures.height) == size
    assert Image.open(io.BytesIO(measures.thumbnail)).format == "JPEG"


def test_values_of_unknown_range_are_skipped():
    with pytest.raises(Skip, match="integer values"):
        measure(Image.new("I", (8, 8), -5))


def test_thumbnails_are_small_in_pixels_and_bytes():
    noise = Image.fromarray(np.random.RandomState(0).randint(256, size=[500, 400, 3], dtype=np.uint8))
    hard = measure(noise.resize((96, 96), Image.Resampling.NEAREST)).thumbnail
    assert len(hard) <= THUMBNAIL_BYTES
    thumbnail = Image.open(io.BytesIO(measure(noise).thumbnail))
    assert thumbnail.size == (77, 96)
    assert Image.open(io.BytesIO(measure(noise.crop((0, 0, 20, 10))).thumbnail)).size == (20, 10)
    assert measure(noise, thumbnail=False).thumbnail == b""


def test_of_a_very_long_picture_the_middle_is_looked_at(photo):
    middle = photo(8, 400, 100)
    long = Image.new("RGB", (2000, 100), "#808080")
    long.paste(middle, (800, 0))
    assert measure(long).sharpness == pytest.approx(measure(middle).sharpness, abs=1e-6)

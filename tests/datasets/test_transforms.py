import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from sgtool.datasets.geometry import size_hint
from sgtool.datasets.transforms import (
    FILTERS,
    Conversion,
    Skip,
    convert,
    convert_all,
    convert_sizes,
    is_grey,
    parse_colour,
    to_8_bit,
    to_channels,
)
from sgtool.errors import UserError


def noise(width, height, channels=3, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [height, width, channels], np.uint8)


def image_of(array):
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


# -- colour modes


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16", "RGBX", "RGBa"]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_pil_mode_becomes_the_channels_asked_for(mode, channels):
    image = Image.new(mode, (6, 4))
    array, _ = convert(image, Conversion(channels=channels))
    assert array.shape == (4, 6, channels)
    assert array.dtype == np.uint8


def test_sixteen_bit_values_are_scaled_so_that_white_stays_white():
    values = np.array([[0, 128, 129, 257, 32896, 65534, 65535]], np.uint16)
    image, notes = to_8_bit(Image.fromarray(values))
    np.testing.assert_array_equal(np.asarray(image), [[0, 0, 1, 1, 128, 255, 255]])
    assert notes == ("16 bit",)


def test_floating_point_values_from_0_to_1_become_0_to_255():
    image, notes = to_8_bit(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)))
    np.testing.assert_array_equal(np.asarray(image), [[0, 128, 255]])
    assert notes == ("float",)


@pytest.mark.parametrize(
    "values", [np.array([[0.0, 255.0]], np.float32), np.array([[-1.0, 1.0]], np.float32), np.array([[np.nan]], np.float32)]
)
def test_floating_point_values_of_unknown_range_are_not_guessed(values):
    with pytest.raises(Skip, match="only 0 to 1 has a known white"):
        to_8_bit(Image.fromarray(values))


def test_integers_beyond_sixteen_bits_are_not_guessed():
    with pytest.raises(Skip, match="from 0 to 70000"):
        to_8_bit(Image.fromarray(np.array([[0, 70000]], np.int32)))


def test_a_palette_with_a_transparent_entry_keeps_it_as_alpha():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.info["transparency"] = 1
    converted, _ = to_8_bit(image)
    np.testing.assert_array_equal(np.asarray(converted), [[[255, 0, 0, 255], [0, 0, 255, 0]]])


def test_opaque_pixels_are_unchanged_and_transparent_ones_show_the_background():
    rgba = noise(8, 8, 4)
    rgba[:4, :, 3], rgba[4:, :, 3] = 255, 0
    image, notes = to_channels(image_of(rgba), 3, (10, 20, 30, 255))
    out = np.asarray(image)
    np.testing.assert_array_equal(out[:4], rgba[:4, :, :3])
    assert (out[4:] == [10, 20, 30]).all()
    assert notes == ("transparent",)


def test_half_transparent_pixels_are_mixed_with_the_background():
    rgba = noise(16, 16, 4)
    background = np.array([10, 200, 30])
    alpha = rgba[..., 3:] / 255
    expected = alpha * rgba[..., :3] + (1 - alpha) * background
    out = np.asarray(to_channels(image_of(rgba), 3, (*background, 255))[0])
    assert np.abs(out - expected).max() <= 1


def test_transparency_is_laid_over_white_by_default():
    assert (np.asarray(to_channels(Image.new("RGBA", (2, 2), (0, 0, 0, 0)), 3, None)[0]) == 255).all()


def test_an_opaque_alpha_channel_is_not_reported_as_transparency():
    assert to_channels(Image.new("RGBA", (2, 2), (1, 2, 3, 255)), 3, None)[1] == ()


def test_four_channels_keep_alpha_and_give_opaque_pictures_alpha_255():
    rgba = noise(5, 5, 4)
    np.testing.assert_array_equal(np.asarray(to_channels(image_of(rgba), 4, None)[0]), rgba)
    assert (np.asarray(to_channels(image_of(rgba[..., :3]), 4, None)[0])[..., 3] == 255).all()


def test_grey_of_a_colour_is_its_luma():
    image, _ = to_channels(Image.new("RGB", (1, 1), (200, 100, 50)), 1, None)
    assert np.asarray(image)[0, 0] == round((299 * 200 + 587 * 100 + 114 * 50) / 1000)


def test_grey_modes_are_told_from_colour_modes():
    assert all(is_grey(mode) for mode in ("1", "L", "LA", "I;16", "F"))
    assert not any(is_grey(mode) for mode in ("P", "RGB", "RGBA", "CMYK", "YCbCr"))


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("white", (255, 255, 255, 255)),
        ("#638596", (0x63, 0x85, 0x96, 255)),
        ("rgb(1, 2, 3)", (1, 2, 3, 255)),
        ("#01020304", (1, 2, 3, 4)),
    ],
)
def test_colours_are_names_or_numbers(text, colour):
    assert parse_colour(text) == colour


def test_a_colour_mode_without_a_known_conversion_is_skipped():
    with pytest.raises(Skip, match="colour mode La cannot be converted"):
        to_8_bit(Image.new("La", (2, 2)))


def test_an_unknown_colour_is_an_error_that_names_the_option():
    with pytest.raises(UserError, match="--background blurple: not a colour"):
        parse_colour("blurple")


# -- shapes


def test_without_a_resize_not_a_pixel_changes():
    array = noise(17, 9)
    out, notes = convert(image_of(array), Conversion((17, 9)))
    np.testing.assert_array_equal(out, array)
    assert notes == []


def test_center_crop_of_a_square_is_nvidias_centred_square():
    array = noise(21, 12)
    out, _ = convert(image_of(array), Conversion((12, 12), "center-crop"))
    np.testing.assert_array_equal(out, array[:, 4:16])  # (21 - 12) // 2 = 4


def test_center_crop_takes_the_proportions_asked_for():
    array = noise(40, 40)
    out, _ = convert(image_of(array), Conversion((40, 20), "center-crop"))
    np.testing.assert_array_equal(out, array[10:30])


def test_square_crop_takes_the_largest_centred_square():
    array = noise(10, 17)
    out, _ = convert(image_of(array), Conversion((None, None), "square-crop"))
    np.testing.assert_array_equal(out, array[3:13])


def test_pad_keeps_the_pixels_of_a_small_picture_and_surrounds_them():
    array = noise(24, 20)
    out, notes = convert(image_of(array), Conversion((32, 32), "pad", background=(1, 2, 3, 255)))
    np.testing.assert_array_equal(out[6:26, 4:28], array)
    around = out.copy()
    around[6:26, 4:28] = [1, 2, 3]
    assert (around == [1, 2, 3]).all()
    assert notes == []


def test_pad_shrinks_a_large_picture_and_keeps_its_proportions():
    image = Image.new("RGB", (100, 50), (9, 9, 9))
    out, _ = convert(image, Conversion((32, 32), "pad"))
    assert (out[8:24] == 9).all()
    assert (out[:8] == 255).all()
    assert (out[24:] == 255).all()


def test_padding_of_four_channels_is_transparent_unless_a_colour_is_given():
    image = Image.new("RGB", (2, 2))
    assert convert(image, Conversion((4, 4), "pad", channels=4))[0][0, 0, 3] == 0
    assert tuple(convert(image, Conversion((4, 4), "pad", channels=4, background=(5, 6, 7, 255)))[0][0, 0]) == (5, 6, 7, 255)


def test_center_crop_wide_puts_black_above_and_below():
    array = noise(32, 40)
    out, _ = convert(image_of(array), Conversion((32, 24), "center-crop-wide"))
    assert out.shape == (32, 32, 3)
    np.testing.assert_array_equal(out[4:28], array[8:32])
    assert (out[:4] == 0).all()
    assert (out[28:] == 0).all()


@pytest.mark.parametrize("size", [(31, 40), (64, 30), (32, 23)])
def test_center_crop_wide_drops_pictures_that_are_too_small_or_too_wide(size):
    with pytest.raises(Skip, match=f"{size[0]}x{size[1]} is too small or too wide for 32x24"):
        convert(image_of(noise(*size)), Conversion((32, 24), "center-crop-wide"))


def test_center_crop_tall_is_center_crop_wide_turned_on_its_side():
    array = noise(40, 32)
    tall, _ = convert(image_of(array), Conversion((24, 32), "center-crop-tall"))
    wide, _ = convert(image_of(array.swapaxes(0, 1)), Conversion((32, 24), "center-crop-wide"))
    assert tall.shape == (32, 32, 3)
    np.testing.assert_array_equal(tall, wide.swapaxes(0, 1))
    assert (tall[:, :4] == 0).all()
    assert (tall[:, 28:] == 0).all()


@pytest.mark.parametrize("size", [(40, 31), (30, 64), (23, 32)])
def test_center_crop_tall_drops_pictures_that_are_too_small_or_too_tall(size):
    with pytest.raises(Skip, match=f"{size[0]}x{size[1]} is too small or too tall for 24x32"):
        convert(image_of(noise(*size)), Conversion((24, 32), "center-crop-tall"))


@pytest.mark.parametrize("overlap", [0, 3, 7])
def test_tiles_are_pixels_of_the_picture_at_the_place_their_suffix_tells_and_cover_it(overlap):
    array = noise(37, 20)
    seen = np.zeros([20, 37], bool)
    tiles = convert_all(image_of(array), Conversion((12, 8), "tile", overlap=overlap))
    assert len({suffix for suffix, _, _ in tiles}) == len(tiles) > 8
    for suffix, pixels, notes in tiles:
        x, y = map(int, suffix[2:].split("y"))
        np.testing.assert_array_equal(pixels, array[y : y + 8, x : x + 12])
        assert notes == []
        seen[y : y + 8, x : x + 12] = True
    assert seen.all()


def test_tiles_are_several_pictures_which_convert_does_not_hide():
    with pytest.raises(ValueError, match="several pictures"):
        convert(image_of(noise(20, 20)), Conversion((8, 8), "tile"))


def test_a_picture_smaller_than_a_tile_is_left_out():
    with pytest.raises(Skip, match="20x7 is smaller than a tile of 8x8"):
        convert_all(image_of(noise(20, 7)), Conversion((8, 8), "tile"))


@pytest.mark.parametrize(("left", "top"), [(10, 5), (230, 15), (120, 8)])
def test_a_square_crop_with_focus_on_saliency_holds_the_object_that_the_centre_would_cut(left, top):
    image = Image.new("RGB", (300, 60), (80, 110, 140))
    image.paste(Image.fromarray(noise(40, 40)), (left, top))
    pixels, _ = convert(image, Conversion((60, 60), "square-crop", focus="saliency"))
    assert (pixels != [80, 110, 140]).any(axis=2).sum() > 0.98 * 40 * 40


def test_several_sizes_from_one_decoding_are_what_each_gives_alone():
    rgba = image_of(noise(50, 41, 4))
    conversions = [Conversion((n, n), "square-crop", channels=3, focus="saliency") for n in (8, 16, 32)]
    for (made,), conversion in zip(convert_sizes(rgba, conversions), conversions, strict=True):
        pixels, notes = convert(rgba, conversion)
        np.testing.assert_array_equal(made[1], pixels)
        assert made[0] == ""
        assert made[2] == notes == ["transparent"]


def test_a_size_that_leaves_a_picture_out_does_not_take_the_others_with_it():
    conversions = [Conversion((n, n), "tile") for n in (8, 32, 16)]
    small, large, medium = convert_sizes(image_of(noise(20, 20)), conversions)
    assert isinstance(large, Skip)
    assert (len(small), len(medium)) == (9, 4)


def test_sizes_that_differ_in_colours_cannot_share_a_picture():
    with pytest.raises(ValueError, match="must agree in channels"):
        convert_sizes(image_of(noise(9, 9)), [Conversion((8, 8)), Conversion((4, 4), channels=1)])


# -- pictures that the decoder has reduced


def detailed(width, height):
    """A picture with edges, gradients and fine detail, as JPEG bytes."""
    rng = np.random.RandomState(3)
    image = Image.fromarray(rng.randint(40, 216, [height // 40 + 2, width // 40 + 2, 3], np.uint8))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, r = rng.randint(0, width), rng.randint(0, height), rng.randint(8, 120)
        draw.ellipse([x - r, y - r, x + r, y + r], outline=tuple(map(int, rng.randint(40, 216, 3))), width=rng.randint(1, 9))
    grain = gaussian_filter(rng.randn(height, width, 1), (1, 1, 0)) * 20
    file = io.BytesIO()
    Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file


@pytest.mark.parametrize("transform", ["none", "center-crop", "center-crop-wide", "center-crop-tall", "square-crop", "pad"])
@pytest.mark.parametrize("size", [(800, 600), (807, 605)])
def test_a_jpeg_decoded_at_reduced_scale_gives_the_same_picture_to_less_than_a_level(transform, size):
    target = {"center-crop-wide": (128, 96), "center-crop-tall": (96, 128)}.get(transform, (128, 128))
    file, conversion = detailed(*size), Conversion(target, transform)
    with Image.open(file) as full:
        expected, notes = convert(full, conversion)
    with Image.open(file) as reduced:
        hint = size_hint(size, conversion)
        reduced.draft(None, (2 * hint[0], 2 * hint[1]))
        assert reduced.width < 0.6 * size[0]
        pixels, notes_on_reduced = convert(reduced, conversion, original=size)
    assert np.abs(pixels.astype(int) - expected).mean() < 1
    assert notes_on_reduced == notes


def test_a_picture_is_called_enlarged_by_its_size_in_the_file_and_not_as_decoded():
    reduced = image_of(noise(100, 100))
    assert convert(reduced, Conversion((150, 150)), original=(200, 200))[1] == []
    assert convert(reduced, Conversion((150, 150)))[1] == ["enlarged"]


@pytest.mark.parametrize("original", [(799, 603), (100, 100), (333, 251)])
def test_the_crop_of_a_reduced_picture_stays_inside_it(original):
    reduced = Image.new("RGB", (100, 76), (200, 200, 200))
    for transform in ("none", "center-crop", "square-crop"):
        assert (convert(reduced, Conversion((24, 24), transform), original=original)[0] == 200).all()


def test_nearest_makes_each_pixel_a_block():
    array = noise(24, 24)
    out, notes = convert(image_of(array), Conversion((96, 96), resize_filter="nearest"))
    np.testing.assert_array_equal(out, array.repeat(4, 0).repeat(4, 1))
    assert notes == ["enlarged"]


def test_box_halves_a_picture_by_means_of_four():
    array = noise(16, 12)
    out, _ = convert(image_of(array), Conversion((8, 6), resize_filter="box"))
    assert np.abs(out - array.reshape(6, 2, 8, 2, 3).mean((1, 3))).max() <= 1  # PIL rounds after each direction


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_keeps_a_plain_picture_plain(name):
    out, _ = convert(Image.new("RGB", (30, 20), (12, 34, 56)), Conversion((16, 8), resize_filter=name))
    assert (out == [12, 34, 56]).all()


def test_colour_of_transparent_pixels_does_not_bleed_into_a_resized_picture():
    rgba = np.zeros([8, 8, 4], np.uint8)
    rgba[:, :4] = [200, 0, 0, 255]
    rgba[:, 4:] = [0, 255, 0, 0]
    out, _ = convert(image_of(rgba), Conversion((4, 4), channels=4))
    assert out[..., 1][out[..., 3] > 128].max() <= 1


def test_a_change_of_proportions_is_noted():
    assert "stretched" in convert(image_of(noise(20, 10)), Conversion((8, 8)))[1]
    assert "stretched" not in convert(image_of(noise(20, 10)), Conversion((8, 8), "center-crop"))[1]
    assert "stretched" not in convert(image_of(noise(20, 10)), Conversion((8, 4)))[1]

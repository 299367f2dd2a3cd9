import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.datasets.geometry import (
    TRANSFORMS,
    Conversion,
    Skip,
    centred_box,
    check_conversion,
    output_size,
    pieces,
    settled,
    size_hint,
    starts,
)
from sgtool.errors import UserError

SIDES = st.integers(1, 60)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SIDES, SIDES, SIDES, SIDES, st.floats(0, 1), st.floats(0, 1))
def test_the_box_is_inside_and_as_large_as_can_be(width, height, aspect_w, aspect_h, x, y):
    left, top, right, bottom = centred_box((width, height), (aspect_w, aspect_h), (x, y))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == width or bottom - top == height
    if right - left < width:
        assert abs((right - left) - max(1, height * aspect_w / aspect_h)) <= 0.5 or right - left == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SIDES, SIDES, SIDES, SIDES)
def test_the_box_is_centred_unless_another_place_is_given(width, height, aspect_w, aspect_h):
    left, top, right, bottom = centred_box((width, height), (aspect_w, aspect_h))
    assert 0 <= (width - right) - left <= 1
    assert 0 <= (height - bottom) - top <= 1
    assert centred_box((width, height), (aspect_w, aspect_h), (0, 0))[:2] == (0, 0)
    assert centred_box((width, height), (aspect_w, aspect_h), (1, 1))[2:] == (width, height)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 500), st.data())
def test_tiles_cover_a_side_from_end_to_end_evenly_and_with_the_overlap_asked_for(tile, data):
    length = data.draw(st.integers(tile, 3000))
    overlap = data.draw(st.integers(0, tile - 1))
    places = starts(length, tile, overlap)
    assert places[0] == 0
    assert places[-1] == length - tile
    steps = [b - a for a, b in zip(places, places[1:], strict=False)]
    assert all(0 < step <= tile - overlap for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1
    fewer = len(places) - 2  # steps, if one tile were left out
    assert fewer < 1 or fewer * (tile - overlap) < length - tile


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("size", [(40, 30), (31, 57), (24, 24), (100, 20), (30, 100)])
def test_every_piece_has_the_size_that_output_size_tells_and_lies_in_the_picture(transform, size):
    conversion = Conversion((16, 24) if transform == "center-crop-tall" else (24, 16), transform)
    try:
        made = pieces(size, conversion)
    except Skip:
        assert transform in ("center-crop-wide", "center-crop-tall", "tile")
        return
    for piece in made:
        left, top, right, bottom = piece.box
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert piece.canvas == output_size(size, conversion)
        assert piece.size[0] <= piece.canvas[0]
        assert piece.size[1] <= piece.canvas[1]


def test_only_several_pieces_have_names_of_their_own():
    assert [piece.suffix for piece in pieces((20, 10), Conversion((10, 10), "tile"))] == ["#x0y0", "#x10y0"]
    assert [piece.suffix for piece in pieces((20, 10), Conversion((10, 10), "center-crop"))] == [""]


def test_tiles_that_would_fill_the_memory_are_refused():
    with pytest.raises(Skip, match="would make .* tiles, which together are too large"):
        pieces((8000, 8000), Conversion((256, 256), "tile", overlap=250))


def test_a_place_moves_a_square_crop_along_the_longer_side():
    conversion = Conversion((8, 8), "square-crop")
    assert pieces((30, 10), conversion, (0, 0.5))[0].box == (0, 0, 10, 10)
    assert pieces((30, 10), conversion, (1, 0.5))[0].box == (20, 0, 30, 10)
    assert pieces((10, 30), conversion, (0.5, 0.25))[0].box == (0, 5, 10, 15)


# -- hints for the decoder


@pytest.mark.parametrize(
    ("size", "conversion", "hint"),
    [
        ((1600, 1200), Conversion((256, 256), "center-crop"), (342, 256)),
        ((1600, 1200), Conversion((256, 256), "square-crop"), (342, 256)),
        ((1600, 1200), Conversion((256, 256)), (256, 256)),
        ((1600, 1200), Conversion((256, 256), "pad"), (256, 192)),
        ((1600, 1200), Conversion((256, 192), "center-crop-wide"), (256, 192)),
        ((1200, 1600), Conversion((192, 256), "center-crop-tall"), (192, 256)),
        ((1600, 1200), Conversion((None, 600)), (1600, 600)),
    ],
)
def test_the_hint_is_what_the_whole_picture_becomes(size, conversion, hint):
    assert size_hint(size, conversion) == hint


@pytest.mark.parametrize(
    "conversion",
    [
        Conversion((256, 256), "tile"),
        Conversion((256, 256), "center-crop", resize_filter="nearest"),
        Conversion((2000, 2000), "center-crop"),
        Conversion(),
        Conversion((1700, 200), "center-crop-wide"),
    ],
)
def test_pictures_whose_pixels_are_all_needed_are_not_reduced(conversion):
    assert size_hint((1600, 1200), conversion) == (1600, 1200)


def test_the_hint_for_several_sizes_is_that_of_the_largest():
    conversions = [Conversion((n, n), "center-crop") for n in (64, 512, 256)]
    assert size_hint((1600, 1200), *conversions) == size_hint((1600, 1200), conversions[1]) == (683, 512)


# -- options


@pytest.mark.parametrize(
    ("conversion", "message"),
    [
        (Conversion((256, None), "center-crop"), "--transform center-crop needs a size to reach. Add --resolution 256"),
        (Conversion((None, None), "tile"), "--transform tile needs a size to reach"),
        (Conversion((384, 512), "center-crop-wide"), "384x512 is tall. Give a wide size, --resolution 512x384"),
        (Conversion((512, 384), "center-crop-tall"), "512x384 is wide. Give a tall size, --resolution 384x512"),
        (Conversion((512, 384), "square-crop"), "--transform square-crop makes squares. Give --resolution 256"),
        (Conversion((256, 256), "pad", focus="saliency"), "--focus saliency goes with --transform square-crop, not with pad"),
        (Conversion((256, 256), overlap=8), "--overlap goes with --transform tile, not with none"),
        (Conversion((64, 32), "tile", overlap=32), "--overlap 32: tiles of 64x32 can share 0 to 31 pixels. Give fewer"),
        (Conversion((64, 32), "tile", overlap=-1), "--overlap -1: tiles of 64x32 can share 0 to 31 pixels"),
    ],
)
def test_options_that_contradict_each_other_are_one_sentence(conversion, message):
    with pytest.raises(UserError, match=message):
        check_conversion(conversion)


@pytest.mark.parametrize(
    "conversion",
    [
        Conversion(),
        Conversion((None, None), "square-crop", focus="saliency"),
        Conversion((64, 32), "tile", overlap=31),
        Conversion((512, 384), "center-crop-wide"),
        Conversion((512, 512), "center-crop-tall"),
    ],
)
def test_options_that_agree_pass(conversion):
    check_conversion(conversion)


def test_a_size_left_open_is_settled_by_a_picture():
    assert settled(Conversion((None, 20)), (30, 40)).size == (30, 20)
    assert settled(Conversion(transform="square-crop"), (30, 40)).size == (30, 30)
    wide = Conversion((32, 24), "center-crop-wide")
    assert settled(wide, (99, 99)) == wide

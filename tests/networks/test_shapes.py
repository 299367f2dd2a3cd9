import pytest

from sgtool.networks import PictureShape

TABLE = {
    # picture (height, width): base height, base width, doublings
    4: (4, 4, 0),
    8: (4, 4, 1),
    256: (4, 4, 6),
    (32, 32): (4, 4, 3),
    (48, 32): (6, 4, 3),
    (32, 64): (2, 4, 4),
    (512, 384): (4, 3, 7),
    (40, 24): (5, 3, 3),
    (12, 8): (6, 4, 1),
    (6, 10): (3, 5, 1),
    (1080, 1920): (135, 240, 3),
    (720, 1280): (45, 80, 4),
    (7, 9): (7, 9, 0),
    (28, 28): (7, 7, 2),
    24: (6, 6, 2),
}


@pytest.mark.parametrize("size", TABLE, ids=str)
def test_base_and_doublings_of_a_shape(size):
    shape = PictureShape.of(size)
    assert (shape.base_height, shape.base_width, shape.doublings) == TABLE[size]
    assert (shape.height, shape.width) == ((size, size) if isinstance(size, int) else size)


def test_levels_double_from_the_base_to_the_picture():
    levels = PictureShape.of((48, 32)).levels
    assert [(level.resolution, level.height, level.width) for level in levels] == [
        (4, 6, 4),
        (8, 12, 8),
        (16, 24, 16),
        (32, 48, 32),
    ]
    assert [level.channels(channel_base=64, channel_max=12) for level in levels] == [12, 8, 4, 2]


def test_a_list_is_a_shape_too():
    assert PictureShape.of([48, 32]) == PictureShape.of((48, 32))


@pytest.mark.parametrize("size", [0, -4, (32,), (32, 32, 3), (32, 0), (32, 16.0), "32"])
def test_what_is_no_shape_is_refused(size):
    with pytest.raises(ValueError, match="img_resolution must be"):
        PictureShape.of(size)

import numpy as np
import pytest

from sgtool.datasets.geometry import Conversion
from sgtool.datasets.headers import settle
from sgtool.datasets.jobs import Unwanted
from sgtool.datasets.pool import Pool
from sgtool.datasets.sources import ArrayPicture, FilePicture
from sgtool.errors import UserError

OPEN, SIZED = Conversion(), Conversion((8, 8))
GREY = np.zeros([4, 4, 1], np.uint8)


def settled(pictures, conversion, channels="auto", strict=False, looked=None):
    """Settle with pictures given as arrays' shapes, or as they are; `looked` collects the indices that were looked at."""
    pictures = [ArrayPicture(np.zeros(picture, np.uint8)) if isinstance(picture, tuple) else picture for picture in pictures]

    def picture(index):
        if looked is not None:
            looked.append(index)
        return pictures[index]

    names = [f"{i}.png" for i in range(len(pictures))]
    with Pool(1) as pool:
        (conversion,) = settle((conversion,), channels, names, picture, pool, strict, progress=False)
    return conversion


def test_size_and_channels_are_those_of_the_pictures():
    assert settled([(4, 6, 1), (4, 6, 1)], OPEN) == Conversion((6, 4), channels=1)
    assert settled([(4, 6, 1), (4, 6, 3)], OPEN).channels == 3
    assert settled([(4, 6, 1)], OPEN, channels=4) == Conversion((6, 4), channels=3)  # the conversion has them already


def test_what_is_settled_needs_no_look():
    looked = []
    assert settled([(4, 4, 3)], SIZED, channels=3, looked=looked) == SIZED
    assert looked == []


def test_one_picture_in_colour_is_enough():
    looked = []
    assert settled([(4, 4, 3)] * 2000, SIZED, looked=looked).channels == 3
    assert len(looked) < 10
    assert settled([(4, 4, 1)] * 2000, SIZED).channels == 1


def test_pictures_that_cannot_be_read_or_are_not_wanted_do_not_count():
    pictures = [FilePicture("gone.png"), Unwanted("no label"), (4, 6, 1)]
    assert settled(pictures, OPEN).size == (6, 4)
    with pytest.raises(UserError, match="0.png: No such file or directory. Mend or remove it"):
        settled(pictures, OPEN, strict=True)
    with pytest.raises(UserError, match="None of the 2 pictures can be read. The last is 1.png: no label"):
        settled(pictures[:2], OPEN)


def test_mixed_sizes_name_the_first_two():
    with pytest.raises(UserError, match="0.png is 6x4, but 2.png is 4x6.*--resolution 8 --transform square-crop"):
        settled([(4, 6, 1), (4, 6, 1), (6, 4, 1)], OPEN)


def test_jobs_are_called_by_their_first_and_last_picture():
    jobs = []

    class Noting:
        def map(self, function, batches):
            for batch in batches:
                jobs.append(str(batch))
                yield function(batch)

    settle((SIZED,), "auto", [f"{i}.png" for i in range(300)], lambda i: ArrayPicture(GREY), Noting(), False, progress=False)
    assert jobs == ["0.png to 7.png", "8.png to 263.png", "264.png to 299.png"]

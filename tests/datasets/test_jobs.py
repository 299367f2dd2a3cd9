import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.geometry import Conversion
from sgtool.datasets.jobs import FaceOptions, Job, Recipe, Unwanted, decode_size, do, picture_digest
from sgtool.datasets.shards import read_shard
from sgtool.datasets.sources import ArrayPicture, FilePicture
from sgtool.errors import UserError

SMALL, LARGE = Conversion((4, 4)), Conversion((8, 8))


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def run(folder, pictures, first=0, **recipe):
    """Do a job and return its summary and its shard."""
    recipe = Recipe(**{"conversions": (SMALL,), "folder": str(folder), **recipe})
    summary = do(Job(recipe, 0, first, pictures, ("a.png", "b.png")))
    return summary, list(read_shard(folder, 0))


def test_a_job_becomes_a_shard_in_the_order_of_its_pictures(tmp_path):
    pictures = [ArrayPicture(np.full([4, 4, 3], i, np.uint8)) for i in range(5)]
    summary, shard = run(tmp_path, pictures, first=10)
    assert (summary.pictures, summary.unreadable) == (5, None)
    assert [record.index for record, _ in shard] == [10, 11, 12, 13, 14]
    assert [int(pixels_of(data).max()) for _, (data,) in shard] == [0, 1, 2, 3, 4]


def test_each_resolution_is_made_from_one_look(tmp_path):
    _, shard = run(tmp_path, [ArrayPicture(np.zeros([16, 16, 3], np.uint8))], conversions=(SMALL, LARGE))
    assert [(record.edition, pixels_of(data).shape) for record, (data,) in shard] == [(0, (4, 4, 3)), (1, (8, 8, 3))]


def test_tiles_are_several_pictures_of_one_record(tmp_path):
    tiles = Conversion((4, 4), "tile")
    _, ((record, pictures),) = run(tmp_path, [ArrayPicture(np.zeros([8, 12, 3], np.uint8))], conversions=(tiles,))
    assert len(pictures) == len(record.pictures) == 6


def test_failures_are_told_and_the_first_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    pictures = [Unwanted("no label"), FilePicture(str(tmp_path / "a.png")), FilePicture(str(tmp_path / "gone.png"))]
    summary, shard = run(tmp_path, pictures, first=7, conversions=(SMALL, LARGE))
    assert summary.unreadable == (8, "not a picture in a known format")
    reasons = [(record.index, record.failure, record.unreadable) for record, _ in shard if record.edition == 1]
    assert reasons[0] == (7, "no label", False)
    assert reasons[2] == (9, "No such file or directory", True)


def test_a_large_jpeg_is_decoded_at_reduced_scale_and_looks_the_same(tmp_path):
    ramp = np.linspace(0, 255, 800)
    texture = 40 * np.sin(np.arange(800) / 3)
    picture = np.stack(
        [ramp[None, :] + 0 * ramp[:, None], texture[:, None] + ramp[None, :] / 2 + 60, 255 - ramp[:, None] + 0 * ramp], -1
    )
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    _, ((_, (reduced,)),) = run(
        tmp_path, [FilePicture(str(tmp_path / "a.jpg"))], conversions=(Conversion((64, 64), "center-crop"),)
    )
    with Image.open(tmp_path / "a.jpg") as image:
        whole = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS))
    difference = np.abs(pixels_of(reduced).astype(int) - whole).mean()
    assert 0 < difference <= 1


def test_the_decoder_must_cover_the_largest_result_and_may_not_reduce_what_is_taken_as_it_is():
    assert decode_size((Conversion((64, 32)), Conversion((16, 48)))) == (64, 48)
    assert decode_size((Conversion((64, 64), "tile"),)) is None
    assert decode_size((Conversion((64, 64)), Conversion((32, 32), resize_filter="nearest"))) is None


def test_a_digest_covers_shape_and_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert picture_digest(pixels) == hashlib.sha256(b"2x2x3\n" + bytes(range(12))).hexdigest()
    assert picture_digest(pixels.reshape(2, 1, 6)[:, :, :3]) != picture_digest(pixels)


def test_a_worker_with_other_versions_refuses(tmp_path):
    with pytest.raises(UserError, match="A worker has Pillow .*, but here it is 1.0. Install the same everywhere"):
        run(tmp_path, [], versions={"Pillow": "1.0"})


def test_faces_are_cut_out_and_a_picture_without_one_is_left_out(tmp_path, shared_data):
    pytest.importorskip("dlib", reason="dlib is not installed: the extra [faces]")
    photo = sorted((shared_data / "faces").glob("*.jpg"))[0]
    pictures = [FilePicture(str(photo)), ArrayPicture(np.full([90, 90, 3], 90, np.uint8))]
    _, shard = run(tmp_path, pictures, conversions=(Conversion((64, 64)),), faces=FaceOptions("largest", thumbnails=True))
    (face, (data,)), (nobody, none) = shard
    assert pixels_of(data).shape == (64, 64, 3)
    assert none == []
    assert (nobody.failure, nobody.unreadable) == ("no face", False)
    for record in (face, nobody):  # the sheet shows where nothing was found, too
        with Image.open(io.BytesIO(record.extra["thumbnail"])) as image:
            assert image.format == "JPEG"

import io

import numpy as np
import pytest
from PIL import Image
from source_makers import assert_pixels, encoded, picture, write_tar

from sgtool.datasets.sources import examine, file_of, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError


def animation(frames, format, **options):
    """A file of several pictures, uint8 `[H, W, 3]` each."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    first.save(buffer, format, save_all=True, append_images=rest, **options)
    return buffer.getvalue()


def flat(*colours):
    return [np.full([8, 8, 3], colour, np.uint8) for colour in colours]


FRAMES = flat((255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9))
KINDS = [("GIF", {"duration": 50}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})]


@pytest.fixture(params=KINDS, ids=[kind for kind, _ in KINDS])
def folder(tmp_path, request):
    format, options = request.param
    (tmp_path / f"b.{format.lower()}").write_bytes(animation(FRAMES, format, **options))
    (tmp_path / "a.png").write_bytes(encoded(picture(0, 8, 8)))
    return tmp_path


def test_the_first_frame_is_the_picture_unless_all_are_asked_for(folder):
    source = open_source(folder)
    assert len(source.names) == 2
    np.testing.assert_array_equal(np.asarray(load(source.picture(1)).convert("RGB")), FRAMES[0])


def test_all_frames_have_names_and_come_in_any_order(folder):
    source = open_source(folder, frames="all")
    name = next(path.name for path in folder.iterdir() if path.name.startswith("b"))
    assert source.names == ["a.png", *(f"{name}#{i:06d}" for i in range(4))]
    assert {file_of(name) for name in source.names} == {"a.png", name}
    for i in (1, 2, 3, 4, 2, 4, 1, 3):
        np.testing.assert_array_equal(np.asarray(load(source.picture(i)).convert("RGB")), FRAMES[i - 1])
        assert examine(source.picture(i))[0] == (8, 8)
    np.testing.assert_array_equal(np.asarray(load(source.picture(0))), picture(0, 8, 8))


def test_a_single_animation_is_a_source_if_all_frames_are_asked_for(folder):
    path = next(path for path in folder.iterdir() if path.name.startswith("b"))
    assert len(open_source(path, frames="all").names) == 4
    with pytest.raises(UserError, match="--frames all"):
        open_source(path)


def test_pages_may_differ_in_size(tmp_path):
    pages = [picture(1, 8, 6), picture(2, 4, 5)]
    (tmp_path / "p.tif").write_bytes(animation(pages, "TIFF"))
    source = open_source(tmp_path, frames="all")
    assert [examine(source.picture(i))[0] for i in (1, 0)] == [(4, 5), (8, 6)]
    assert_pixels(source, pages)


def test_frames_inside_an_archive_are_found_and_labels_go_with_them(tmp_path):
    files = [("a.gif", animation(FRAMES, "GIF")), ("a.cls", b"3"), ("b.png", encoded(picture(0))), ("b.cls", b"1")]
    source = open_source(write_tar(tmp_path / "s.tar", files), frames="all")
    assert source.labels == {**{f"a.gif#{i:06d}": 3 for i in range(4)}, "b.png": 1}
    np.testing.assert_array_equal(np.asarray(load(source.picture(2)).convert("RGB")), FRAMES[2])


def test_a_broken_animation_stays_one_picture_that_is_skipped(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a\x08\x00\x08\x00\x80")
    (tmp_path / "b.png").write_bytes(encoded(picture(0)))
    source = open_source(tmp_path, frames="all")
    assert source.names == ["a.gif", "b.png"]
    with pytest.raises(Skip):
        load(source.picture(0))


def test_an_animation_that_is_cut_off_gives_its_frames_before_or_skips(tmp_path):
    whole = animation([picture(i, 40, 40) for i in range(6)], "GIF")
    outcomes = set()
    for size in range(100, len(whole), len(whole) // 17):
        (tmp_path / "a.gif").write_bytes(whole[:size])
        source = open_source(tmp_path, frames="all")
        for i in range(len(source.names)):
            try:
                load(source.picture(i))
                outcomes.add("read")
            except Skip:
                outcomes.add("skipped")
    assert outcomes == {"read", "skipped"}


def test_the_name_of_a_file_is_the_name_without_its_frame():
    assert file_of("a/clip.mp4#000120") == "a/clip.mp4"
    assert file_of("a#1.png") == "a#1.png"

"""Pictures of every kind become what the network makes; what cannot is told."""

import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError
from sgtool.latents.projection.targets import Look, list_targets, listing_of, read_target, safe_names, skipped_lines, told

RGB = Look((8, 8), 3)


def picture(size=(12, 8), mode="RGB", seed=0):
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], channels), np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, mode if mode == "CMYK" else None)


def read(path, look=RGB):
    return read_target(listing_of([str(path)]), 0, look)


def test_the_middle_square_is_resized_by_lanczos(tmp_path):
    original = picture((20, 12))
    original.save(tmp_path / "a.png")
    target = read(tmp_path / "a.png")
    expected = original.crop((4, 0, 16, 12)).resize((8, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(target.pixels, np.asarray(expected))
    assert target.notes == ("cropped", "resized")


def test_a_picture_of_the_networks_size_is_taken_as_it_is(tmp_path):
    picture((8, 8)).save(tmp_path / "a.png")
    target = read(tmp_path / "a.png")
    np.testing.assert_array_equal(target.pixels, np.asarray(picture((8, 8))))
    assert target.notes == ()


def test_the_proportions_are_those_of_the_network(tmp_path):
    picture((30, 10)).save(tmp_path / "a.png")
    target = read(tmp_path / "a.png", Look((16, 8), 3))
    expected = picture((30, 10)).crop((5, 0, 25, 10)).resize((16, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(target.pixels, np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_the_networks_channels(tmp_path, mode, channels):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture((8, 8), mode).save(path)
    target = read(path, Look((8, 8), channels))
    assert target.pixels.shape == (8, 8, channels)
    assert ("transparent" in target.notes) == (mode in ("LA", "RGBA") and channels in (1, 3))
    assert ("coloured" in target.notes) == (mode in ("L", "LA") and channels >= 3)
    assert ("greyed" in target.notes) == (mode in ("RGB", "RGBA", "CMYK") and channels <= 2)
    if channels in (2, 4) and mode not in ("LA", "RGBA"):
        assert (target.pixels[..., -1] == 255).all()


def test_transparency_is_laid_over_the_background_or_kept(tmp_path):
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png").pixels == 255).all()
    red = read(tmp_path / "a.png", Look((8, 8), 3, (255, 0, 0, 255)))
    assert (red.pixels == (255, 0, 0)).all()
    assert (read(tmp_path / "a.png", Look((8, 8), 4)).pixels[..., 3] == 0).all()


def test_a_picture_is_turned_upright_and_16_bits_become_8(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture((8, 8)).save(tmp_path / "a.png", exif=exif)
    target = read(tmp_path / "a.png")
    np.testing.assert_array_equal(target.pixels, np.rot90(np.asarray(picture((8, 8))), 3))
    assert target.notes == ("turned",)
    Image.fromarray(np.full((8, 8), 257 * 7, np.uint16)).save(tmp_path / "deep.png")
    deep = read(tmp_path / "deep.png")
    assert (deep.pixels == 7).all()
    assert set(deep.notes) == {"16 bit", "coloured"}


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_is_skipped_with_a_reason(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Skip, match=r"\w"):
        read(tmp_path / "a.png")


def test_the_hash_is_of_the_pixels_alone(tmp_path):
    picture((8, 8)).save(tmp_path / "a.png")
    picture((8, 8)).save(tmp_path / "b.tif")
    picture((8, 8), seed=1).save(tmp_path / "c.png")
    a, b, c = (read(tmp_path / name) for name in ("a.png", "b.tif", "c.png"))
    assert a.sha256 == b.sha256 != c.sha256


def test_a_folder_and_a_zip_give_their_pictures_in_the_order_of_names(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "sub/a.png"):
        picture().save(folder / name)
    (folder / "notes.txt").write_text("x")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in ("b.png", "a.jpg", "sub/a.png"):
            archive.write(folder / name, name)
    for path in (folder, tmp_path / "in.zip"):
        listing = list_targets(path)
        assert listing.sources == ["a.jpg", "b.png", "sub/a.png"]
        assert listing.names == ["a", "b", "sub-a"]
        assert not listing.single
        assert read_target(listing, 2, RGB).pixels.shape == (8, 8, 3)


def test_a_single_picture_is_one_whatever_its_ending(tmp_path):
    picture().save(tmp_path / "a.dat", format="PNG")
    listing = list_targets(tmp_path / "a.dat")
    assert (listing.names, listing.single) == (["a"], True)


def test_nothing_there_or_no_picture_in_it_is_said(tmp_path):
    with pytest.raises(
        UserError, match=r"--target .*gone\.png does not exist\. Give a picture, or a folder or zip of pictures\."
    ):
        list_targets(tmp_path / "gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds nothing\. Give a folder or zip"):
        list_targets(tmp_path / "empty")
    (tmp_path / "text.txt").write_text("words")
    with pytest.raises(UserError, match=r"text\.txt is nothing that is read"):
        list_targets(tmp_path / "text.txt")


def test_names_are_safe_and_no_two_alike():
    names = ["../../x.png", "a/b.png", "a-b.png", "A/B.png", ".hidden.png", "ü" * 300 + ".png", "a b;c.png", ".png"]
    safe = safe_names(names)
    assert safe[1:4] == ["a-b", "a-b-2", "A-B-3"]
    assert safe[6] == "a_b_c"
    assert len({name.casefold() for name in safe}) == len(names)
    assert not any(set(name) & set('/\\:*?"<>| ') or name.startswith((".", "-")) for name in safe)
    assert max(len(name.encode()) for name in safe) <= 122


def test_what_was_done_is_told_in_one_line():
    assert told(Counter(), 3, RGB) is None
    assert told(Counter(cropped=1, coloured=1), 1, RGB) == "The target was made 8x8 RGB: with the middle cut out, grey made RGB."
    line = told(Counter(enlarged=2, transparent=1), 3, RGB, "red")
    assert line == "3 targets were made 8x8 RGB: 2 enlarged, 1 with transparency laid over red."


def test_many_skipped_targets_are_counted_and_some_named():
    lines = skipped_lines([(f"{i}.png", "broken") for i in range(9)], shown=2)
    assert lines == ["9 skipped:", "  0.png: broken", "  1.png: broken", "  and 7 more, all in scores.json"]


def test_the_largest_face_is_cut_out_and_a_picture_without_one_is_skipped(tmp_path, shared_data):
    pytest.importorskip("dlib")
    with Image.open(shared_data / "faces" / "astronaut.png") as photo:
        photo.crop((100, 0, 356, 256)).save(tmp_path / "photo.png")
    look = Look((32, 32), 3, faces=True)
    target = read(tmp_path / "photo.png", look)
    assert target.pixels.shape == (32, 32, 3)
    assert "face" in target.notes
    picture((64, 64)).save(tmp_path / "noise.png")
    with pytest.raises(Skip, match="no face"):
        read(tmp_path / "noise.png", look)

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import sources
from sgtool.datasets.sources import close_files, examine, is_picture_name, load, open_source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError
from sgtool.images import from_pil


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def picture(seed=0, width=6, height=4):
    return np.random.RandomState(seed).randint(0, 256, [height, width, 3], np.uint8)


@pytest.fixture(autouse=True)
def _no_file_stays_open():
    yield
    close_files()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for i, name in enumerate(["b.png", "a/z.PNG", "a/y.png", "c.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(picture(i)))
    (root / "notes.txt").write_text("hello")
    (root / ".hidden.png").write_bytes(b"")
    return root


def pixels(source):
    return [np.asarray(load(source.picture(i))) for i in range(len(source.names))]


def test_a_folder_is_read_with_all_below_it_in_sorted_order(folder):
    source = open_source(folder)
    assert source.names == ["a/y.png", "a/z.PNG", "b.png", "c.png"]
    assert source.ignored_files == 2
    np.testing.assert_array_equal(pixels(source)[2], picture(0))


def test_a_zip_gives_the_same_as_the_folder_that_was_packed(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    packed, loose = open_source(tmp_path / "p.zip"), open_source(folder)
    assert packed.names == loose.names
    assert packed.ignored_files == loose.ignored_files
    for a, b in zip(pixels(packed), pixels(loose), strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_inside_a_zip_never_touch_the_disk(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../escape.png", png(picture()))
        archive.writestr("/tmp/absolute/escape.png", png(picture()))
    source = open_source(tmp_path / "evil.zip")
    assert source.names == ["/tmp/absolute/escape.png"]  # `..` begins with a dot, so that the other counts as hidden
    np.testing.assert_array_equal(pixels(source)[0], picture())
    assert os.listdir(tmp_path) == ["evil.zip"]
    assert not os.path.exists("/tmp/absolute/escape.png")


def test_pictures_are_small_to_pickle_whatever_the_source(folder):
    source = open_source(folder)
    assert len(pickle.dumps(source.picture(0))) < 300


def test_a_loop_of_symbolic_links_is_walked_once(folder):
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    assert len(open_source(folder).names) == 4


@pytest.mark.parametrize("name", ["a.png", "x/B.JPEG", "c.d.webp", "phone.heic"])
def test_pictures_are_known_by_their_ending(name):
    assert is_picture_name(name)


@pytest.mark.parametrize("name", ["a.txt", "png", ".a.png", "__MACOSX/._a.png", ".git/a.png", "a.eps", "a.png/readme"])
def test_other_files_and_hidden_ones_are_no_pictures(name):
    assert not is_picture_name(name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_known_from_the_header(tmp_path, orientation):
    upright = picture(1, width=16, height=8) // 64 * 64
    # The stored pixels of each orientation, from the EXIF standard: where row 0 and column 0 of the scene lie.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending in ("png", "tif"):
        path = tmp_path / f"p{orientation}.{ending}"
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
        found = sources.FilePicture(str(path))
        np.testing.assert_array_equal(np.asarray(load(found)), upright)
        assert examine(found) == ((16, 8), "RGB")


BROKEN = {
    "truncated": (png(picture(0, 64, 64))[:4000], "truncated"),
    "text": (b"this is no picture", "not a picture in a known format"),
    "empty": (b"", "not a picture in a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not a picture in a known format"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_skipped_with_a_reason_that_is_always_the_same(tmp_path, kind):
    data, reason = BROKEN[kind]
    path = tmp_path / "broken.png"
    path.write_bytes(data)
    texts = set()
    for _ in range(2):
        with pytest.raises(Skip, match=reason) as caught:
            load(sources.FilePicture(str(path)))
        assert caught.value.unreadable
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_a_picture_with_too_many_pixels_is_skipped(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    path.write_bytes(png(picture(0, 40, 40)))
    for limit in (1000, 100):  # above the limit PIL warns, above twice the limit it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(Skip, match=f"more than {limit} pixels"):
            load(sources.FilePicture(str(path)))


def test_a_damaged_zip_member_is_skipped(tmp_path):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", png(picture(0, 64, 64)))
    data = bytearray(path.read_bytes())
    data[3000] ^= 255
    path.write_bytes(data)
    source = open_source(path)
    with pytest.raises(Skip):
        load(source.picture(0))


def test_a_member_that_unpacks_to_too_much_is_skipped(tmp_path, monkeypatch):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", png(picture()))
    monkeypatch.setattr(sources, "LARGEST_FILE", 10)
    with pytest.raises(Skip, match="unpacked"):
        load(open_source(path).picture(0))


def test_a_zip_replaced_under_the_same_name_is_read_anew(tmp_path):
    path = tmp_path / "p.zip"
    for seed in (1, 2):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", png(picture(seed)))
            archive.writestr("pad.txt", "x" * seed)
        np.testing.assert_array_equal(pixels(open_source(path))[0], picture(seed))


# -- sprite sheets


def test_a_sheet_is_cut_row_by_row(tmp_path):
    sheet = picture(3, width=12, height=8)
    Image.fromarray(sheet).save(tmp_path / "s.png")
    source = open_source(tmp_path / "s.png", tile=(4, 8))
    assert source.names == ["tile00000.png", "tile00001.png", "tile00002.png"]
    for i, tile in enumerate(pixels(source)):
        np.testing.assert_array_equal(tile, sheet[:, 4 * i : 4 * i + 4])


def test_fully_transparent_tiles_are_left_out_and_counted(tmp_path):
    sheet = np.full([4, 12, 4], 255, np.uint8)
    sheet[:, 4:8, 3] = 0
    Image.fromarray(sheet).save(tmp_path / "s.png")
    source = open_source(tmp_path / "s.png", tile=(4, 4))
    assert source.names == ["tile00000.png", "tile00002.png"]
    assert source.empty_tiles == 1


def test_a_sheet_that_is_no_whole_number_of_tiles_is_an_error(tmp_path):
    Image.new("RGB", (10, 8)).save(tmp_path / "s.png")
    with pytest.raises(UserError, match="--tile 4x4: .*s.png is 10x8, which is no whole number of tiles"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_a_sheet_of_nothing_is_an_error(tmp_path):
    Image.new("RGBA", (8, 8)).save(tmp_path / "s.png")
    with pytest.raises(UserError, match="every tile is fully transparent"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_a_sheet_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "s.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="the sprite sheet cannot be read: not a picture"):
        open_source(tmp_path / "s.png", tile=(4, 4))


def test_tiles_of_a_folder_are_an_error(folder):
    with pytest.raises(UserError, match="--tile 4x4: .* is not a picture file"):
        open_source(folder, tile=(4, 4))


# -- the embedded digits


def test_the_embedded_digits_are_scikit_learns():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    source = open_source("demo:digits")
    assert len(source.names) == 1797
    assert [source.labels[name] for name in source.names] == digits.target.tolist()
    assert source.class_names == list("0123456789")
    for i in range(0, 1797, 50):
        np.testing.assert_array_equal(from_pil(load(source.picture(i)))[:, :, 0], np.rint(digits.images[i] * 255 / 16))


def test_the_embedded_digits_carry_their_attribution():
    with np.load(os.path.join(os.path.dirname(sources.__file__), "digits.npz"), allow_pickle=False) as file:
        assert "CC BY 4.0" in str(file["attribution"])
        assert file["images"].shape == (1797, 8, 8)
        assert file["images"].dtype == np.uint8
        assert file["images"].max() == 16


def test_an_unknown_demo_names_the_one_there_is():
    with pytest.raises(UserError, match="demo:faces is not known. The one embedded collection is demo:digits"):
        open_source("demo:faces")


# -- what is no source


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match="nothere does not exist"):
        open_source(tmp_path / "nothere")


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds nothing"):
        open_source(tmp_path)


def test_a_folder_of_text_files_is_an_error(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("hello")
    with pytest.raises(UserError, match="holds 3 files, but none is a picture"):
        open_source(tmp_path)


def test_a_zip_that_is_no_zip_is_an_error(tmp_path):
    (tmp_path / "p.zip").write_bytes(b"not a zip at all")
    with pytest.raises(UserError, match="p.zip cannot be read as a zip"):
        open_source(tmp_path / "p.zip")


def test_a_single_picture_without_tile_is_an_error(folder):
    with pytest.raises(UserError, match="is a single picture.*--tile 24"):
        open_source(folder / "b.png")


def test_any_other_file_is_an_error(folder):
    with pytest.raises(UserError, match="notes.txt is not a folder, a zip or a picture"):
        open_source(folder / "notes.txt")

import numpy as np
import pytest
from PIL import Image, ImageFont

from sgtool.datasets.face_sheet import BOX, CAPTION, GAP, POINT, ContactSheets, caption, contact_sheet, thumbnail
from sgtool.datasets.faces import Face
from sgtool.errors import UserError

FACE = Face((100, 40, 179, 139), np.full([68, 2], (140, 90)), 1.0)


def places(picture, colour):
    """(left, top, right, bottom) of all pixels of a colour."""
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_boxes_and_points_are_drawn_where_the_face_is():
    small = thumbnail(Image.new("RGB", (400, 200)), [FACE], side=100)
    assert small.size == (100, 50)
    assert places(small, BOX) == (25, 10, 45, 35)
    assert places(small, POINT) == (35, 22, 35, 22)


def test_a_small_picture_is_not_enlarged_and_not_drawn_on_itself():
    picture = Image.new("L", (50, 30), 7)
    small = thumbnail(picture, [Face((10, 10, 20, 20), np.zeros([68, 2]), 1.0)])
    assert (small.mode, small.size) == ("RGB", (50, 30))
    assert places(small, BOX) == (10, 10, 21, 21)
    rgb = picture.convert("RGB")
    thumbnail(rgb, [Face((10, 10, 20, 20), np.zeros([68, 2]), 1.0)])
    assert rgb.getextrema() == ((7, 7), (7, 7), (7, 7))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_every_mode_have_a_thumbnail(mode):
    assert thumbnail(Image.new(mode, (300, 2)), [FACE], side=100).size == (100, 1)


def test_faces_that_leave_the_picture_can_be_drawn():
    face = Face((-500, -500, 5000, 5000), np.full([68, 2], -9), 1.0)
    assert thumbnail(Image.new("RGB", (60, 60), "white"), [face]).getextrema() == ((255, 255),) * 3


def test_thumbnails_lie_in_rows_with_names_under_them():
    entries = [(f"{i}.jpg", Image.new("RGB", (40, 20), (i, 0, 255))) for i in range(4)]
    sheet = contact_sheet(entries, columns=3, side=40)
    assert sheet.size == (3 * (40 + GAP) + GAP, 2 * (40 + CAPTION + GAP) + GAP)
    for i in range(4):
        left, top = GAP + i % 3 * (40 + GAP), GAP + i // 3 * (40 + CAPTION + GAP)
        assert places(sheet, (i, 0, 255)) == (left, top + 10, left + 39, top + 29)
        under = sheet.crop((left, top + 40, left + 40, top + 40 + CAPTION))
        assert min(under.convert("L").getextrema()) < 100
    assert contact_sheet([], columns=2, side=40).size == (2 * (40 + GAP) + GAP, 40 + CAPTION + 2 * GAP)


def test_names_are_shortened_in_the_middle():
    font = ImageFont.load_default()
    assert caption("a.jpg", font, 200) == "a.jpg"
    short = caption("a long name " * 20 + ".jpg", font, 150)
    assert font.getlength(short) <= 150
    assert short.startswith("a long")
    assert short.endswith(".jpg")
    assert "..." in short


@pytest.mark.parametrize(
    ("name", "text"), [("été.jpg", "ete.jpg"), ("日本.png", "??.png"), ("a\nb\t\x00.png", "a?b??.png"), ("\ud800", "?"), ("", "")]
)
def test_names_that_the_font_cannot_write_are_written_as_far_as_it_can(name, text):
    assert caption(name, ImageFont.load_default(), 200) == text
    assert contact_sheet([(name, Image.new("RGB", (5, 5)))], columns=1, side=20).width == 20 + 2 * GAP


@pytest.mark.parametrize(("number", "names"), [(0, []), (3, ["s.png"]), (4, ["s.png"]), (9, ["s.png", "s-2.png", "s-3.png"])])
def test_pages_are_written_when_they_are_full(tmp_path, number, names):
    with ContactSheets(tmp_path / "s.png", columns=2, rows=2, side=30) as sheets:
        for i in range(number):
            sheets.add(f"{i}", Image.new("RGB", (30, 30)))
            assert len(sheets._waiting) < 4
    assert [path.name for path in sheets.paths] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for path in sheets.paths:
        with Image.open(path) as page:
            assert page.width == 2 * (30 + GAP) + GAP


@pytest.mark.parametrize(("ending", "kind"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")])
def test_the_ending_says_the_format(tmp_path, ending, kind):
    with ContactSheets(tmp_path / f"s{ending}") as sheets:
        sheets.add("a", Image.new("RGB", (30, 30)))
    with Image.open(sheets.paths[0]) as page:
        assert page.format == kind


def test_after_an_error_no_half_page_is_written(tmp_path):
    def fail(sheets):
        with sheets:
            sheets.add("a", Image.new("RGB", (30, 30)))
            raise RuntimeError("the run failed")

    with pytest.raises(RuntimeError, match="the run failed"):
        fail(ContactSheets(tmp_path / "s.png"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "text"), [("s.txt", "ends in .jpg"), ("s", "ends in .jpg"), ("none/s.png", "has no folder")])
def test_a_name_that_cannot_be_is_refused_at_once(tmp_path, name, text):
    with pytest.raises(UserError, match=text):
        ContactSheets(tmp_path / name)

import hashlib
import json
import math
import re
from dataclasses import replace

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from sgtool.datasets.findings import Failure, Measures, measure
from sgtool.datasets.judge import class_counts, judge
from sgtool.datasets.kinds import COPIES, KINDS, Limits
from sgtool.datasets.labels import Labels
from sgtool.errors import UserError

FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def judged(pictures, target=None, **options):
    """Findings on pictures called 00, 01, ..."""
    return judge([(f"{i:02d}", measure(picture, target)) for i, picture in enumerate(pictures)], **options)


def names(findings, kind):
    return [finding.name for finding in findings.kinds.get(kind, ())]


def reasons(findings, kind):
    return [finding.reason for finding in findings.kinds[kind]]


@pytest.fixture
def photos(photo):
    """Twelve different photographs, nothing wrong with any."""
    return [photo(seed) for seed in range(12)]


def odd_measures(**numbers):
    """Measures of a picture in which there is nothing to see, but these."""
    plain = Measures(100, 100, 0.0, math.nan, 1.0, 0.0, 50, 200, False, False, b"", bytes(256), bytes(32))
    return replace(plain, digest=hashlib.md5(str(numbers).encode()).digest(), **numbers)


def many(*groups):
    """Findings on `(number, numbers)` groups of odd measures, named by their order; every digest differs."""
    listed = [odd_measures(**numbers) for number, numbers in groups for _ in range(number)]
    return judge((f"{i:02d}", replace(m, digest=i.to_bytes(16, "big"))) for i, m in enumerate(listed))


def test_good_pictures_have_no_findings(photos):
    findings = judged(photos)
    assert findings.kinds == {}
    assert (findings.pictures, findings.readable, findings.groups, findings.notes) == (12, 12, [], [])
    assert findings.table() == "12 pictures, 12 of them can be read\nNothing was found."


def test_pictures_that_cannot_be_read_are_told_apart(photos):
    failures = {
        "a.jpg": Failure("image file is truncated (3 bytes not processed)"),
        "b.png": Failure("not a picture in a known format"),
        "c.png": Failure("no label", unreadable=False),
        "d.png": Failure("no label", unreadable=False),
    }
    findings = judge([*failures.items(), ("e.png", measure(photos[0]))])
    assert (names(findings, "truncated"), names(findings, "unreadable")) == (["a.jpg"], ["b.png"])
    assert (findings.pictures, findings.readable, findings.left_out) == (5, 1, {"no label": 2})
    assert "2 left out: no label" in findings.table()


def test_small_pictures_are_told_the_smallest_first(photo):
    findings = judged([photo(0, 256, 256), photo(1, 255, 300), photo(2, 128, 300), photo(3, 512, 300)], target=(256, 256))
    assert names(findings, "small") == ["02", "01"]
    assert reasons(findings, "small")[0] == "128x300 would be enlarged 2.00 times"


def test_enlarged_pictures_are_told_unless_they_are_reduced_again(photos):
    large = photos[0].resize((768, 768), Image.Resampling.BICUBIC)
    findings = judged([large, *photos[1:]])
    assert names(findings, "upscaled") == ["00"]
    assert re.fullmatch(r"768x768, but no more detail than (2|3[0-3])\d+x\d+", reasons(findings, "upscaled")[0])
    assert judged([large, *photos[1:]], target=(192, 192)).kinds == {}
    assert names(judged([large, *photos[1:]], target=(512, 512)), "upscaled") == ["00"]


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_blurred_pictures_are_told_among_sharp_ones(photos, sigma):
    photos[3] = photos[3].filter(ImageFilter.GaussianBlur(sigma))
    findings = judged(photos)
    assert names(findings, "blurred") == ["03"]
    assert "times as wide as usual" in reasons(findings, "blurred")[0]


def test_a_blur_that_hardly_shows_is_not_told(photos):
    photos[3] = photos[3].filter(ImageFilter.GaussianBlur(0.4))
    assert judged(photos).kinds == {}


def test_where_all_are_blurred_none_is(photos):
    assert names(judged([photo.filter(ImageFilter.GaussianBlur(2)) for photo in photos]), "blurred") == []


def test_real_crops_are_not_blurred_and_their_blurred_versions_are(shared_data):
    pictures = [Image.open(path).convert("RGB") for path in sorted((shared_data / "faces").iterdir())]
    crops = [p.crop((x, y, x + 200, y + 200)) for p in pictures for x in (0, 80, 160) for y in (0, 80, 160)]
    assert len(names(judged(crops), "blurred")) <= 0.06 * len(crops)
    for i in (4, 22, 40):
        crops[i] = crops[i].filter(ImageFilter.GaussianBlur(2))
    assert {"04", "22", "40"} <= set(names(judged(crops), "blurred"))


def test_few_pictures_are_not_compared_and_that_is_said(photos):
    photos[3] = photos[3].filter(ImageFilter.GaussianBlur(4))
    findings = judged(photos[:7])
    assert names(findings, "blurred") == []
    assert findings.notes == ["Fewer than 8 pictures: which ones are blurred or lie the wrong way cannot be told."]


def test_dark_bright_and_flat_pictures_are_told(photos):
    photos[0] = ImageEnhance.Brightness(photos[0]).enhance(0.2)
    photos[1] = Image.eval(photos[1], lambda value: 210 + value // 8)
    photos[2] = Image.new("RGB", (256, 256), "#336699")
    findings = judged(photos)
    assert [names(findings, kind) for kind in ("dark", "bright", "flat")] == [["00"], ["01"], ["02"]]
    assert reasons(findings, "dark")[0].startswith("99 % of it is at most")


def test_a_dark_thing_on_white_is_not_bright(photos):
    photos[1] = Image.new("RGB", (256, 256), "white")
    photos[1].paste("#202020", (100, 100, 150, 150))
    assert names(judged(photos), "bright") == []


def test_grey_among_colour_and_colour_among_grey(photos):
    findings = judged([photos[0].convert("L").convert("RGB"), *photos[1:]])
    assert names(findings, "grey") == ["00"]
    assert reasons(findings, "grey") == ["grey; 11 of 12 have colour"]
    findings = judged([photos[0], *(photo.convert("L") for photo in photos[1:])])
    assert (names(findings, "colour"), names(findings, "grey")) == (["00"], [])
    half = [photo.convert("L") if i % 2 else photo for i, photo in enumerate(photos)]
    assert judged(half).kinds == {}


def test_transparent_pictures_are_told_where_most_are_opaque(photos):
    photos[0] = photos[0].convert("RGBA")
    photos[0].paste((0, 0, 0, 0), (0, 0, 128, 256))
    findings = judged(photos)
    assert reasons(findings, "transparent") == ["50 % of it is transparent; 11 of 12 are opaque"]
    assert judged([photos[0]]).kinds == {}


def test_portraits_among_landscapes_are_told():
    landscape, portrait, square = {"width": 400, "height": 300}, {"width": 300, "height": 400}, {"width": 300, "height": 310}
    assert names(many((20, landscape), (2, portrait), (2, square)), "sideways") == ["20", "21"]
    assert names(many((20, portrait), (1, landscape)), "sideways") == ["20"]
    assert names(many((20, landscape), (3, portrait)), "sideways") == []
    assert names(many((20, landscape), (1, portrait), (25, square)), "sideways") == []


def test_odd_proportions_are_told():
    findings = many((20, {"width": 400, "height": 300}), (1, {"width": 1000, "height": 300}), (1, {"width": 640, "height": 300}))
    assert names(findings, "proportions") == ["20"]
    assert reasons(findings, "proportions") == ["1000x300: wider by 2.5 than usual"]


def test_turned_pictures_are_told():
    assert names(many((2, {}), (1, {"turned": True})), "turned") == ["02"]


def test_classes_with_few_pictures_or_none_are_told(photo):
    labels = Labels({f"{i:02d}": 0 if i < 25 else 2 for i in range(26)} | {"absent": 4}, ["cat", "dog", "eel", "fly"], "test")
    findings = judge([(f"{i:02d}", odd_measures(width=i + 50)) for i in range(26)], labels=labels)
    assert findings.classes == {"cat": 25, "dog": 0, "eel": 1, "fly": 0}
    assert [(finding.name, finding.reason) for finding in findings.kinds["imbalance"]] == [
        ("dog", "no picture; the mean of 4 classes is 6.5"),
        ("fly", "no picture; the mean of 4 classes is 6.5"),
    ]
    strict = judge([(f"{i:02d}", odd_measures(width=i + 50)) for i in range(26)], Limits(imbalance=0.2), labels)
    assert names(strict, "imbalance") == ["dog", "fly", "eel"]


def test_gaps_between_class_numbers_are_empty_classes_and_marks_are_counted():
    assert class_counts(["a", "b"], Labels({"a": 0, "b": 2}, None, "test")) == {"0": 1, "1": 0, "2": 1}
    assert class_counts(["a", "b"], Labels({"a": (1.0, 1.0), "b": (0.0, 1.0)}, ["x", "y"], "test")) == {"x": 1, "y": 2}
    assert class_counts(["a"], Labels({"a": (0.25, 1.0)}, None, "test")) is None
    assert class_counts(["a"], None) is None


@pytest.fixture
def copied(photos):
    """Findings on: 00, 02 equal; 01 a small copy of 00; 03 its mirror image; 04 a blurred copy of 05; 05 too."""
    first = photos[0]
    small = first.resize((128, 128), Image.Resampling.LANCZOS)
    blurred = [photos[1].filter(ImageFilter.GaussianBlur(sigma)) for sigma in (2, 2.2)]
    return judged([first, small, first, first.transpose(FLIP), *blurred, *photos[2:]])


def test_copies_are_told_by_kind_with_what_is_kept(copied):
    told = {kind: {(finding.name, finding.kept) for finding in found} for kind, found in copied.kinds.items() if kind in COPIES}
    assert told == {"duplicates": {("02", "00")}, "near-duplicates": {("01", "00"), ("05", "04")}, "mirrored": {("03", "00")}}
    assert copied.groups == [["00", "01", "02", "03"], ["04", "05"]]


def test_only_the_chosen_kinds_are_dropped(copied):
    assert copied.to_drop(()) == {}
    assert copied.to_drop(["duplicates"]) == {"02": "duplicates: the same pixels as 00"}
    assert set(copied.to_drop(["near-duplicates", "mirrored"])) == {"01", "03", "05"}
    assert set(copied.to_drop(["blurred"])) == {"04", "05"}
    assert set(copied.to_drop(["flat"])) == set()


def test_of_copies_one_without_other_findings_stays(photos):
    """The larger copy of 01 is blurred: it goes, and the sharp small one stays."""
    large = photos[1].filter(ImageFilter.GaussianBlur(1.5))
    small = photos[1].resize((240, 240), Image.Resampling.LANCZOS)
    smaller = photos[1].resize((200, 200), Image.Resampling.LANCZOS)
    findings = judged([large, small, smaller, *photos[2:]])
    assert names(findings, "blurred") == ["00"]
    assert {(finding.name, finding.kept) for finding in findings.kinds["near-duplicates"]} == {("01", "00"), ("02", "00")}
    assert set(findings.to_drop(["near-duplicates"])) == {"01", "02"}
    both = set(findings.to_drop(["near-duplicates", "blurred"]))
    assert both in ({"00", "01"}, {"00", "02"})


def test_unknown_kinds_and_classes_cannot_be_dropped(copied):
    for word in ("duplicate", "imbalance"):
        with pytest.raises(
            UserError, match=f"--drop {word}: not a finding of pictures. Choose from unreadable, truncated, small"
        ):
            copied.to_drop([word])


def test_json_tells_all_that_was_found(copied):
    told = json.loads(copied.as_json())
    assert (told["pictures"], told["readable"], told["classes"]) == (16, 16, None)
    assert list(told["kinds"]) == [kind for kind in KINDS if kind in copied.kinds]
    assert told["kinds"]["duplicates"] == {
        "what": "the same pixels as another picture",
        "count": 1,
        "pictures": [{"name": "02", "reason": "the same pixels as 00", "kept": "00"}],
    }
    assert told["groups"] == [["00", "01", "02", "03"], ["04", "05"]]
    assert told["limits"]["near"] == 0.2


def test_the_table_gives_counts_and_three_examples():
    findings = many((20, {"width": 400, "height": 300}), (5, {"turned": True, "width": 400, "height": 300}))
    lines = findings.table().splitlines()
    assert lines[1].split() == ["turned", "5", *KINDS["turned"].split()]
    assert lines[2:] == [f"  {i}: its EXIF orientation was applied" for i in (20, 21, 22)] + ["  and 2 more"]


def test_names_cannot_steer_the_terminal():
    table = judge([("a\x1b[2J\n\u202e.png", Failure("bad\x07"))]).table()
    assert "  a?[2J??.png: bad?" in table.splitlines()


def test_only_thumbnails_that_are_shown_are_kept(photos):
    findings = judged([*photos, *photos[:5]], limits=Limits(shown=2))
    assert len(findings.kinds["duplicates"]) == 5
    assert set(findings.thumbnails) == {"12", "00", "13", "01"}
    assert findings.thumbnails["13"] == measure(photos[1]).thumbnail


def test_thumbnails_survive_being_put_into_a_file(photos, monkeypatch):
    monkeypatch.setattr("sgtool.datasets.judge.IN_MEMORY", 1000)
    assert judged([photos[0], photos[0]]).thumbnails == dict.fromkeys(["00", "01"], measure(photos[0]).thumbnail)


def test_limits_move_what_is_found(photos):
    small = photos[0].crop((3, 3, 253, 253))
    assert names(judged([*photos, small], limits=Limits(near=0.02)), "near-duplicates") == []
    assert names(judged([*photos, small], limits=Limits(near=0.4)), "near-duplicates") == ["12"]
    photos[3] = photos[3].filter(ImageFilter.GaussianBlur(1))
    assert names(judged(photos, limits=Limits(blurred=100)), "blurred") == []
    assert names(judged(photos, limits=Limits(detail=0.01)), "upscaled") == []


def test_nothing_at_all_is_judged_too():
    findings = judge([])
    assert (findings.pictures, findings.kinds, findings.groups) == (0, {}, [])
    assert judge([("a", Failure("broken"))]).readable == 0

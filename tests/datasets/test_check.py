import io
import json
import sys
import tracemalloc
import zipfile
from dataclasses import replace

import pytest
from PIL import Image, ImageFilter

from sgtool.datasets.check import Look, check, measure_all, run
from sgtool.datasets.findings import Failure, Measures, measure
from sgtool.datasets.labels import Labels
from sgtool.datasets.pool import Pool
from sgtool.datasets.sources import ArrayPicture, Source, open_source
from sgtool.errors import UserError
from sgtool.images import from_pil


@pytest.fixture
def folder(photo, tmp_path):
    """Ten good photographs in two folders; and one of each: a copy, a blurred, a truncated, an empty, a renamed text file."""
    folder = tmp_path / "pictures"
    for i in range(10):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(i, 128, 96).save(path)
    photo(3, 128, 96).save(folder / "a" / "copy.bmp")
    photo(20, 128, 96).filter(ImageFilter.GaussianBlur(2)).save(folder / "b" / "blurred.png")
    buffer = io.BytesIO()
    photo(21, 128, 96).save(buffer, "JPEG")
    (folder / "a" / "cut.jpg").write_bytes(buffer.getvalue()[:-900])
    (folder / "a" / "empty.png").write_bytes(b"")
    (folder / "a" / "text.png").write_bytes(b"hello")
    return folder


def found(findings):
    return {kind: sorted(finding.name for finding in part) for kind, part in findings.kinds.items()}


EXPECTED = {
    "unreadable": ["a/empty.png", "a/text.png"],
    "truncated": ["a/cut.jpg"],
    "duplicates": ["b/3.png"],
    "blurred": ["b/blurred.png"],
}


def test_a_folder_is_checked(folder):
    findings = check(folder, workers=1)
    told = found(findings)
    told.pop("upscaled", None)  # what is blurred may be told as enlarged as well
    assert told == EXPECTED
    assert (findings.pictures, findings.readable) == (15, 12)
    assert findings.thumbnails == {}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "tif"])
def test_files_that_end_too_early_are_told_as_truncated(photo, tmp_path, ending):
    photo(0).save(tmp_path / f"whole.{ending}")
    data = (tmp_path / f"whole.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) * 2 // 3])
    kinds = found(check(tmp_path, workers=1))
    assert kinds.get("truncated", []) + kinds.get("unreadable", []) == [f"cut.{ending}"]
    if ending in ("jpg", "png", "tif"):  # libraries of the others tell but that they cannot
        assert "truncated" in kinds


def test_workers_find_the_same(folder):
    alone = check(folder, workers=1, thumbnails=True, target_size=(100, 100))
    together = check(folder, workers=2, thumbnails=True, target_size=(100, 100))
    assert together.as_json() == alone.as_json()
    assert together.thumbnails == alone.thumbnails != {}


def test_a_dataset_is_checked_with_its_labels(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for i in range(10):
            archive.write(folder / "ab"[i % 2] / f"{i}.png", f"00000/img{i:08d}.png")
        archive.writestr("dataset.json", json.dumps({"labels": [[f"00000/img{i:08d}.png", 2 * (i > 8)] for i in range(10)]}))
    findings = check(tmp_path / "data.zip", workers=1)
    assert findings.classes == {"0": 9, "1": 0, "2": 1}
    assert found(findings) == {"imbalance": ["1"]}
    assert check(tmp_path / "data.zip", labels="none", workers=1).classes is None


def test_folders_are_classes_if_asked_for(folder):
    assert check(folder, labels="folders", workers=1).classes == {"a": 6, "b": 6}


def test_a_sprite_sheet_is_checked(photo, tmp_path):
    photo(0, 256, 192).save(tmp_path / "sheet.png")
    assert check(tmp_path / "sheet.png", tile=(64, 64), workers=1).pictures == 12


def test_the_target_size_is_used(folder):
    findings = check(folder, target_size=(100, 100), workers=1)
    assert len(findings.kinds["small"]) == 12
    assert findings.kinds["small"][0].reason == "128x96 would be enlarged 1.04 times"


def test_a_source_is_read_through_any_pool(folder):
    source = open_source(folder)
    with Pool(2) as pool:
        assert found(run(source, pool)).keys() >= EXPECTED.keys()
    jobs = []

    class Counting:
        def map(self, function, given):
            for job in given:
                jobs.append(job)
                yield function(job)

    assert run(source, Counting(), number=7).pictures == 7
    assert len(jobs) == 1


def test_pictures_without_a_label_are_left_out(folder):
    labels = Labels({"a/0.png": 0}, None, "test", unlabelled=["a/2.png", "b/3.png"])
    findings = run(open_source(folder), labels=labels)
    assert findings.left_out == {"no label": 2}
    assert "duplicates" not in findings.kinds


def test_a_job_gives_measures_and_reasons(photo):
    picture = ArrayPicture(from_pil(photo(0)))
    refused = Failure("no label", unreadable=False)
    results = measure_all(Look([picture, refused], ("a.png", "b.png"), (512, 512), thumbnails=True))
    assert isinstance(results[0], Measures)
    assert results[0].to_bytes() == measure(photo(0), (512, 512)).to_bytes()
    assert results[1] is refused


def test_a_job_is_called_by_its_first_and_last_picture(folder):
    jobs = []

    class Noting:
        def map(self, function, looks):
            for look in looks:
                jobs.append(str(look))
                yield function(look)

    run(open_source(folder), Noting())
    assert jobs == ["a/0.png to b/blurred.png"]


def test_thumbnails_of_all_pictures_are_not_held_in_memory(monkeypatch):
    """20,000 pictures with 2 kB each would take 40 MB."""
    pixels = from_pil(Image.new("L", (8, 8)))
    result = measure(Image.new("L", (8, 8)))
    number = 20_000
    source = Source([f"{i:07d}.png" for i in range(number)], lambda i: ArrayPicture(pixels))

    class Quick:
        def map(self, function, jobs):
            for look in jobs:
                assert (look.target_size, look.thumbnails) == (None, True)
                yield [replace(result, thumbnail=bytes(2000))] * len(look.pictures)

    monkeypatch.setattr("sgtool.datasets.judge.IN_MEMORY", 1 << 20)
    tracemalloc.start()
    try:
        findings = run(source, Quick(), thumbnails=True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert findings.readable == number
    assert most < 1500 * number


def test_a_source_that_is_not_there_is_one_sentence():
    with pytest.raises(UserError, match="does not exist"):
        check("nothere")


def test_progress_is_shown_on_a_terminal_if_asked_for(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    check(folder, workers=1)
    assert capsys.readouterr() == ("", "")
    check(folder, workers=1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "15/15" in err

"""Runs that are stopped at any instant and started again."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import run as run_module
from sgtool.datasets import workplace
from sgtool.datasets.prepare import prepare, prepare_all
from sgtool.datasets.shards import Resumable
from sgtool.datasets.workplace import work_folder
from sgtool.errors import UserError

OPTIONS = {"resolution": [(8, 8), (16, 16)], "holdout": "20%", "labels": "folders", "workers": 1}

# Does a run and kills itself when the line number `at` of the rooms that write is reached; prints the number of all lines.
KILLED = """
import json, os, signal, sys
from sgtool.datasets import archive, jobs, merge, prepare, run, shards, workplace
source, dest, at, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
watched, lines = {module.__file__ for module in (archive, jobs, merge, prepare, run, shards, workplace)}, 0

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_filename not in watched:
        return None
    lines += 1
    if lines == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace

sys.settrace(trace)
prepare.prepare_all(source, dest, **options)
sys.settrace(None)
print(lines)
"""


@pytest.fixture
def folder(tmp_path):
    """Forty pictures in two classes, one of them damaged."""
    for i in range(40):
        path = tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.RandomState(i).randint(0, 256, [12, 12, 3], np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    return tmp_path / "in"


def bytes_below(folder):
    """Digest of everything in a folder: names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def killed_at(source, dest, line, options=OPTIONS):
    """Run in a process of its own that is killed at a line; return whether it was, and what it printed."""
    arguments = [sys.executable, "-c", KILLED, str(source), str(dest), str(line), json.dumps(options)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0, done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("dest", ["d.zip", pytest.param("d", marks=pytest.mark.slow)])
def test_killed_at_any_instant_it_goes_on_and_ends_with_the_same_bytes(folder, tmp_path, dest):
    (tmp_path / "whole").mkdir()
    _, lines = killed_at(folder, tmp_path / "whole" / dest, -1)
    expected, instants = bytes_below(tmp_path / "whole"), 9
    for i in range(instants):
        out = tmp_path / f"out{i}"
        out.mkdir()
        at = int(lines) * (2 * i + 1) // (2 * instants) + i
        was_killed, _ = killed_at(folder, out / dest, at)
        assert was_killed
        assert work_folder(out / dest).exists()
        assert all("prepare.json" in names for names in finished(out))
        prepare_all(folder, out / dest, **OPTIONS)
        assert bytes_below(out) == expected, f"killed at line {at} of {lines}"


def finished(folder):
    """The files of each dataset that has its name."""
    for path in folder.iterdir():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield archive.namelist()
        elif not path.name.startswith("."):
            yield os.listdir(path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_in_each_step_of_the_end_it_ends_with_the_same_bytes(folder, tmp_path):
    (tmp_path / "whole").mkdir()
    _, lines = killed_at(folder, tmp_path / "whole" / "d.zip", -1)
    expected = bytes_below(tmp_path / "whole")
    for before_end in (4, 12, 30, 60, 100, 130):  # while datasets get their names, and while the work folder goes
        out = tmp_path / f"out{before_end}"
        out.mkdir()
        was_killed, _ = killed_at(folder, out / "d.zip", int(lines) - before_end)
        assert was_killed
        if work_folder(out / "d.zip").joinpath("fingerprint").exists():
            prepare_all(folder, out / "d.zip", **OPTIONS)
        else:  # all that was left to do was to remove the folder
            with pytest.raises(UserError, match="already exists"):
                prepare_all(folder, out / "d.zip", **OPTIONS)
        assert bytes_below(out) == expected, f"killed {before_end} lines before the end"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_run_with_workers_keeps_what_is_done_and_leaves_no_process(tmp_path):
    arguments = ["demo:digits", tmp_path / "d.zip", "--resolution", "256", "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "sgtool", "prepare", *map(str, arguments)], stderr=subprocess.DEVNULL)
    work, deadline = work_folder(tmp_path / "d.zip"), time.monotonic() + 60
    while len(list(work.glob("*.index"))) < 8:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait(30)
    time.sleep(2)
    before = {path.name: path.stat().st_mtime_ns for path in work.glob("*.index")}
    time.sleep(1)
    assert before == {path.name: path.stat().st_mtime_ns for path in work.glob("*.index")}  # nobody works on
    said = []
    prepare("demo:digits", tmp_path / "d.zip", resolution=(256, 256), workers=1, say=said.append)
    assert any("Going on with what an earlier run has done" in line for line in said)
    assert os.listdir(tmp_path) == ["d.zip"]
    prepare("demo:digits", tmp_path / "e.zip", resolution=(256, 256), workers=2)
    assert (tmp_path / "d.zip").read_bytes() == (tmp_path / "e.zip").read_bytes()


def interrupted(monkeypatch, source, dest, after=3, **options):
    """Start a run that is stopped as by Ctrl-C after some jobs."""
    do, count = run_module.do, iter(range(1000))

    def stop(job):
        if next(count) == after:
            raise KeyboardInterrupt
        return do(job)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "do", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, dest, workers=1, **options)


def test_after_ctrl_c_the_same_call_does_only_what_is_left(folder, tmp_path, monkeypatch):
    interrupted(monkeypatch, folder, tmp_path / "d.zip")
    done = []
    do = run_module.do
    monkeypatch.setattr(run_module, "do", lambda job: done.append(job.number) or do(job))
    prepare(folder, tmp_path / "d.zip", workers=1)
    assert done[0] == 3
    assert sorted(os.listdir(tmp_path)) == ["d.zip", "in"]


@pytest.mark.parametrize("change", ["options", "pictures"])
def test_with_other_options_or_pictures_it_starts_anew_and_says_so(folder, tmp_path, monkeypatch, change):
    interrupted(monkeypatch, folder, tmp_path / "d.zip", resolution=(8, 8))
    size = (16, 16) if change == "options" else (8, 8)
    if change == "pictures":
        Image.new("RGB", (12, 12), "red").save(folder / "a" / "00.png")
    said = []
    prepare(folder, tmp_path / "d.zip", resolution=size, workers=1, say=said.append)
    assert said == ["An earlier run to this DEST had other options, pictures or versions: starting anew."]
    prepare(folder, tmp_path / "e.zip", resolution=size, workers=1)
    assert (tmp_path / "d.zip").read_bytes() == (tmp_path / "e.zip").read_bytes()


@pytest.mark.parametrize("harm", ["cut data", "cut index", "flip data", "remove data", "empty plan"])
def test_a_damaged_work_folder_is_mended(folder, tmp_path, monkeypatch, harm):
    interrupted(monkeypatch, folder, tmp_path / "d.zip")
    work = work_folder(tmp_path / "d.zip")
    data, index = work / "0000001.data", work / "0000001.index"
    if harm == "cut data":
        data.write_bytes(data.read_bytes()[:50])
    elif harm == "cut index":
        index.write_bytes(index.read_bytes()[:80])
    elif harm == "flip data":
        data.write_bytes(data.read_bytes()[:-20] + b"\1" * 20)
    elif harm == "remove data":
        data.unlink()
    else:
        (work / "plan.json").write_text("")
    prepare(folder, tmp_path / "d.zip", workers=1)
    prepare(folder, tmp_path / "e.zip", workers=1)
    assert (tmp_path / "d.zip").read_bytes() == (tmp_path / "e.zip").read_bytes()


def test_two_runs_to_one_destination_are_one_too_many(folder, tmp_path):
    with workplace.Workplace(tmp_path / "d.zip") as place:
        with pytest.raises(UserError, match=r"Another run of sgtool prepare writes .*d.zip just now. Wait"):
            prepare(folder, tmp_path / "d.zip")
        assert place.folder.exists()
    assert os.listdir(tmp_path) == ["in"]


def test_an_error_that_the_same_call_would_meet_again_leaves_no_work_folder(folder, tmp_path):
    with pytest.raises(UserError, match="39.png"):
        prepare(folder, tmp_path / "d.zip", strict=True, resolution=(8, 8), channels=3)
    assert os.listdir(tmp_path) == ["in"]


def test_a_full_disk_is_a_sentence_and_the_same_call_goes_on(folder, tmp_path, monkeypatch):
    prepare(folder, tmp_path / "e.zip", workers=1)
    (tmp_path / "d.zip").write_bytes(b"precious")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for place in ("shards.open", "archive.ZipPart.add", "workplace.write_text", "shards.os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"sgtool.datasets.{place}", full, raising=False)
            with pytest.raises(Resumable, match="disk of .* is full. Free some space and run the same command again"):
                prepare(folder, tmp_path / "d.zip", workers=1, force=True)
        assert (tmp_path / "d.zip").read_bytes() == b"precious"
    prepare(folder, tmp_path / "d.zip", workers=1, force=True)
    assert (tmp_path / "d.zip").read_bytes() == (tmp_path / "e.zip").read_bytes()


def test_space_is_checked_before_the_work(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sgtool.datasets.targets.shutil.disk_usage", lambda path: type("Usage", (), {"free": 20_000_000}))
    with pytest.raises(UserError, match=r"d.zip needs about 1\d\d\.\d MB|needs about 0.1 GB, but 20.0 MB are free"):
        prepare(folder, tmp_path / "d.zip", resolution=(1024, 1024))
    assert os.listdir(tmp_path) == ["in"]


def test_a_picture_that_disappears_in_the_middle_is_skipped_and_listed(folder, tmp_path, monkeypatch):
    do = run_module.do

    def remove_and_do(job):
        (folder / "b" / "21.png").unlink(missing_ok=True)
        return do(job)

    monkeypatch.setattr(run_module, "do", remove_and_do)
    report = prepare(folder, tmp_path / "d.zip", workers=1)
    assert ["b/21.png", "No such file or directory"] in report["skipped"]
    assert report["counts"]["written"] == 38
    assert report["counts"]["pictures"] == 40


def test_a_destination_that_appears_in_the_middle_is_not_replaced(folder, tmp_path, monkeypatch):
    do = run_module.do

    def write_and_do(job):
        (tmp_path / "d.zip").write_bytes(b"precious")
        return do(job)

    monkeypatch.setattr(run_module, "do", write_and_do)
    with pytest.raises(UserError, match="already exists"):
        prepare(folder, tmp_path / "d.zip", workers=1)
    assert (tmp_path / "d.zip").read_bytes() == b"precious"


def test_a_destination_inside_the_source_counts_none_of_its_own_files(folder, tmp_path, monkeypatch):
    (folder / "notes.txt").write_text("hello")
    interrupted(monkeypatch, folder, folder / "d.zip")
    report = prepare(folder, folder / "d.zip", workers=1)
    assert report["counts"]["ignored_files"] == 1
    assert report["ignored"] == {"not pictures": 1}
    fresh = prepare(folder, tmp_path / "e.zip", workers=1, max_images=40)
    assert fresh["sha256"] == report["sha256"]

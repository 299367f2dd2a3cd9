"""Run folders: numbers, names and locks."""

import subprocess
import sys

import pytest

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.training.folders import clear_leftovers, describe, locked, make_run_folder, read_options, run_folders
from sgtool.training.resolve import Options

MAKE = """
import sys
from sgtool.training.folders import clear_leftovers, make_run_folder
for _ in range(8):
    make_run_folder(sys.argv[1], sys.argv[2])
"""
HOLD = """
import sys, time
from sgtool.training.folders import clear_leftovers, locked
with locked(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


def test_folders_are_numbered_from_0_on(tmp_path):
    outdir = tmp_path / "deep" / "runs"
    names = [make_run_folder(outdir, text).name for text in ("a-tiny1", "b-auto1")]
    assert names == ["00000-a-tiny1", "00001-b-auto1"]
    (outdir / "00007-by-hand").mkdir()
    (outdir / "notes").mkdir()
    (outdir / "00009-a-file").touch()
    assert make_run_folder(outdir, "c").name == "00010-c"  # a file takes its number too
    assert [path.name[:5] for path in run_folders(outdir)] == ["00010", "00007", "00001", "00000"]


def test_numbers_go_beyond_five_digits(tmp_path):
    (tmp_path / "99999-a").mkdir()
    assert make_run_folder(tmp_path, "b").name == "100000-b"
    assert make_run_folder(tmp_path, "c").name == "100001-c"


def test_processes_that_start_at_once_get_different_numbers(tmp_path):
    command = [sys.executable, "-c", MAKE, str(tmp_path / "runs")]
    starts = [subprocess.Popen([*command, f"p{i}"], stdout=subprocess.PIPE, text=True) for i in range(3)]
    for process in starts:
        process.communicate(timeout=60)
        assert process.returncode == 0
    numbers = sorted(path.name.split("-")[0] for path in run_folders(tmp_path / "runs"))
    assert numbers == [f"{i:05d}" for i in range(24)]


def test_what_a_killed_process_left_unfinished_is_cleared(tmp_path):
    for name in (".checkpoint-new.pkl.x.part", "checkpoint-previous.pkl.part", "checkpoint-new.pkl", "checkpoint.pkl", "log.txt"):
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pkl", "log.txt"]


def test_an_outdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="the folder cannot be created"):
        make_run_folder(tmp_path / "runs", "a")
    with pytest.raises(UserError, match="the folder cannot be created"):
        make_run_folder(tmp_path / "runs" / "below", "a")


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="is being trained by another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_killed_process_holds_no_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is being trained by another process"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
    with locked(tmp_path):
        pass


def test_a_run_is_named_after_data_and_options(data):
    dataset = open_dataset(data)
    given = {"cfg": "tiny", "cond": True, "mirror": True, "gamma": 0.1, "kimg": 5, "batch": 8, "target": 0.7, "augpipe": "bg"}
    assert describe(Options(**given), given, dataset) == "noise-cond-mirror-tiny1-gamma0.1-kimg5-batch8-target0.7-bg"
    given = {"aug": "fixed", "p": 0.25, "subset": 10, "freezed": 4, "transfer": True}
    assert describe(Options(**given), given, dataset) == "noise-subset10-auto1-fixed-p0.25-transfer-freezed4"
    assert describe(Options(), {}, dataset) == "noise-auto1"


def test_options_that_cannot_be_read_are_none(tmp_path):
    assert read_options(tmp_path) is None
    (tmp_path / "training_options.json").write_text('{"config":')
    assert read_options(tmp_path) is None
    (tmp_path / "training_options.json").write_text("[]")
    assert read_options(tmp_path) is None
    (tmp_path / "training_options.json").write_text('{"config": {}}')
    assert read_options(tmp_path) == {"config": {}}

"""Going on: exactly, whenever and however a run was stopped."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.snapshots.container import read_container, write_container
from sgtool.training import attempts, beginning, reports
from sgtool.training.loop import Stop
from sgtool.training.pictures import PictureGrid
from sgtool.training.resolve import Options, resolve
from sgtool.training.resume import newest_agreeing
from sgtool.training.run import train

TIMING = ("Timing/", "Resources/", "timestamp", "total_time", "Health/")  # the last: measured as often as time permits
FILES = ("stats.jsonl", "metric-swd.jsonl", "metric-msssim.jsonl")


class StopAfter(Stop):
    """Stops like SIGTERM after so many steps of this start."""

    steps = None

    def __init__(self):
        super().__init__()
        self.left = self.steps

    @property
    def signal(self):
        if self.left is None:
            return None
        self.left -= 1
        return signal.SIGTERM if self.left < 0 else None

    @signal.setter
    def signal(self, value):
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small sheets, no event files."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (4, 3))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)


@pytest.fixture
def start(data, tmp_path, tiny, monkeypatch):
    """Function that trains the tiny configuration, stopping after `steps`: (steps=None, **options) -> run folder."""

    def run(steps=None, **options):
        monkeypatch.setattr(attempts, "Stop", type("StopHere", (StopAfter,), {"steps": steps}))
        given = {"outdir": tmp_path / "runs", "data": data} | tiny
        if "resume" in options and options["resume"] != "auto":
            given = {}
        options = given | {"device": "cpu"} | options
        if steps is None:
            return train(**options)
        with pytest.raises(SystemExit) as stop:
            train(**options)
        assert stop.value.code == 143
        folders = sorted((tmp_path / "runs").iterdir())
        return folders[-1] if options.get("resume") in (None, "auto") else options["resume"]

    return run


def checkpoint(folder):
    return read_container(folder / "checkpoint.pkl", "checkpoint")


def lines(folder):
    """The .jsonl files of a run without what depends on the clock."""
    found = {}
    for name in FILES:
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        found[name] = [{key: value for key, value in row.items() if not key.startswith(TIMING)} for row in rows]
    return found


@pytest.fixture(scope="session")
def unstopped(tmp_path_factory, data, tiny):
    """A run that was never stopped: its folder."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (4, 3))
        patch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
        folder = train(data=data, outdir=tmp_path_factory.mktemp("unstopped"), device="cpu", **tiny)
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def assert_same_end(unstopped, differences):
    """Function that compares a finished run with the unstopped one: state bit by bit, networks, lines of every file."""

    def compare(folder):
        found, expected = checkpoint(folder), checkpoint(unstopped)
        assert differences(found, expected, ignored=["counters.elapsed"]) == []
        for name in ("G_ema", "G", "D"):
            one, two = (getattr(snapshots.load(path), name).state_dict() for path in (folder, unstopped))
            assert differences(one, two) == []
        assert lines(folder) == lines(unstopped)
        for picture in ("reals.png", "fakes_init.png", "fakes000001.png"):
            assert (folder / picture).read_bytes() == (unstopped / picture).read_bytes()

    return compare


def test_the_unstopped_run_passes_every_kind_of_boundary(unstopped):
    """What the comparisons below rest on: 32 steps, several epochs, ticks, both regularizers, ADA near its target."""
    contents = checkpoint(unstopped)
    assert contents["state"]["counters"] | {"elapsed": 0} == {
        "nimg": 1024,
        "step": 32,
        "tick": 6,
        "tick_start_nimg": 1024,
        "elapsed": 0,
        "nonfinite": 0,
        "attempt": 0,
    }
    rows = lines(unstopped)["stats.jsonl"]
    assert [row["nimg"] for row in rows] == [32, 256, 480, 704, 928, 1024]
    rts = [row["Progress/rt"]["mean"] for row in rows if "Progress/rt" in row]
    assert min(rts) < 0.5 < max(rts)
    assert len({row["Progress/augment"]["mean"] for row in rows}) > 2


def test_a_run_stopped_again_and_again_ends_as_if_it_had_never_stopped(start, assert_same_end):
    """After steps 1, 6, 13, 23, 27 and 30: inside an epoch, a tick, an ADA interval and both intervals of regularization."""
    folder = start(steps=1)
    for steps in (5, 7, 10, 4, 3):
        start(steps=steps, resume=folder)
    assert start(resume=folder) == folder
    assert_same_end(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_reports_and_workers_do_not_change_the_training(start, unstopped, differences):
    folder = start(steps=9, tick=0.5, snap=1, metrics=(), workers=1)
    assert not (folder / "metric-swd.jsonl").exists()
    start(resume=folder, tick=0.1, snap=5, metrics=("swd",), workers=2)
    assert (folder / "metric-swd.jsonl").exists()
    found, expected = checkpoint(folder)["state"], checkpoint(unstopped)["state"]
    for part in ("networks", "optimizers", "ada", "pl_mean"):
        assert differences(found[part], expected[part]) == []


def test_a_complete_run_goes_on_when_it_is_asked_for_more(stopped, start, capsys):
    folder = stopped
    contents = (folder / "checkpoint.pkl").read_bytes()
    assert start(resume=folder) == folder
    assert "is complete: 1 kimg. To go on, ask for more with --kimg." in capsys.readouterr().out
    assert (folder / "checkpoint.pkl").read_bytes() == contents
    start(steps=2, resume=folder, kimg=2)
    assert checkpoint(folder)["state"]["counters"]["nimg"] == 1024 + 64
    assert checkpoint(folder)["config"]["kimg"] == 2


# --- by signals, in processes of their own


@pytest.fixture
def command(data, tmp_path, tiny):
    """Function that starts `sgtool train` in a process: (*arguments) -> Popen."""
    names = {"cbase": 64, "cmax": 8, "batch": 32, "batch-gpu": 16, "kimg": 1, "tick": 0.2, "snap": 2, "cfg": "tiny", "cond": 1}
    names |= {"glr": 0.01, "dlr": 0.01}
    fresh = [f"--{name}={value}" for name, value in names.items()] + ["--aug=ada", "--target=0.5"]
    fresh += ["--data", str(data), "--outdir", str(tmp_path / "runs")]
    processes = []

    def begin(*arguments):
        command = [sys.executable, "-m", "sgtool", "train", "--device", "cpu", *(arguments or fresh)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


def read_until(process, words):
    """Read a process's output up to the line with `words`."""
    text = ""
    while words not in text:
        line = process.stdout.readline()
        assert line, f"the process ended with {process.wait()}: {text}"
        text += line
    return text


def compare_without_pictures(folder, unstopped, differences):
    assert differences(checkpoint(folder), checkpoint(unstopped), ignored=["counters.elapsed"]) == []
    assert lines(folder) == lines(unstopped)


def test_sigterm_and_ctrl_c_finish_the_step_and_say_how_to_go_on(command, start, unstopped, differences, tmp_path):
    folder = tmp_path / "runs" / "00000-noise-cond-tiny1-kimg1-batch32-target0.5"
    for number, code, arguments in ((signal.SIGTERM, 143, ()), (signal.SIGINT, 130, ("--resume", str(folder)))):
        process = command(*arguments)
        text = read_until(process, "Going on in" if arguments else "tick 0")
        time.sleep(0.2)
        process.send_signal(number)
        text += process.communicate(timeout=60)[0]
        assert process.returncode == code, text
        nimg = checkpoint(folder)["state"]["counters"]["nimg"]
        assert f"Stopped at kimg {nimg / 1000:g}; checkpoint.pkl is written. Go on with: sgtool train --resume {folder}\n" in text
        assert "Traceback" not in text
        assert 0 < nimg < 1024
    start(resume=folder)
    compare_without_pictures(folder, unstopped, differences)


def test_a_run_is_held_by_one_process_and_goes_on_after_it_was_killed(command, start, unstopped, differences, tmp_path):
    process = command()
    read_until(process, "metrics on")
    checkpoint_file = tmp_path / "runs" / "00000-noise-cond-tiny1-kimg1-batch32-target0.5" / "checkpoint.pkl"
    while not checkpoint_file.exists():
        time.sleep(0.01)
    with pytest.raises(UserError, match="is being trained by another process. Wait for it, or stop it first."):
        train(resume=checkpoint_file.parent, device="cpu")
    time.sleep(random.uniform(0, 2))  # any instant must do
    process.kill()
    process.communicate()
    start(resume=checkpoint_file.parent)
    compare_without_pictures(checkpoint_file.parent, unstopped, differences)


# --- resume auto


def test_auto_starts_a_run_and_goes_on_with_it_afterwards(start, capsys):
    folder = start(steps=3, resume="auto")
    assert "a new one starts" in capsys.readouterr().out
    assert start(steps=8, resume="auto") == folder
    assert f"--resume auto: going on with {folder}" in capsys.readouterr().out
    assert checkpoint(folder)["state"]["counters"]["step"] == 11


def test_auto_takes_the_newest_run_that_agrees(start, write_dataset, tmp_path):
    first = start(steps=1)
    second = start(steps=1)
    other_settings = start(steps=1, gamma=3.0)
    other_data = start(steps=1, data=write_dataset(tmp_path / "noise.zip", seed=9))
    unfinished = start(steps=1)
    for path in unfinished.glob("checkpoint*.pkl"):
        path.unlink()
    assert [path.name[:5] for path in (first, second, other_settings, other_data, unfinished)] == [f"0000{i}" for i in range(5)]
    assert start(steps=2, resume="auto") == unfinished  # the helper's newest folder; no other was made
    counts = [checkpoint(path)["state"]["counters"]["step"] for path in (first, second, other_settings, other_data)]
    assert counts == [1, 3, 1, 1]
    start(steps=1, resume="auto", gamma=3.0)
    assert checkpoint(other_settings)["state"]["counters"]["step"] == 2


def test_auto_passes_over_runs_of_another_version(start, config, tmp_path):
    folder = start(steps=1)
    options = json.loads((folder / "training_options.json").read_text())
    del options["config"]["p_max"]
    (folder / "training_options.json").write_text(json.dumps(options))
    said = []
    assert newest_agreeing(tmp_path / "runs", config, said.append) == (None, None)


# --- what is refused


@pytest.fixture
def stopped(unstopped, tmp_path):
    """A copy of a run with two checkpoints."""
    shutil.copytree(unstopped, tmp_path / "runs" / unstopped.name)
    return tmp_path / "runs" / unstopped.name


def test_a_changed_option_is_named(stopped, unstopped):
    for option, value, words in (
        ("batch", 64, "batch 32, not 64"),
        ("gamma", 2.5, "gamma 0.0016, not 2.5"),
        ("seed", 1, "seed 0, not 1"),
        ("cond", False, "c_dim 3, not 0"),
        ("target", 0.6, "target 0.5, not 0.6"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            train(resume=stopped, device="cpu", **{option: value})
    assert checkpoint(stopped)["state"]["counters"] == checkpoint(unstopped)["state"]["counters"]


def test_other_data_are_refused(stopped, write_dataset, tmp_path):
    other = write_dataset(tmp_path / "other.zip", seed=1)
    with pytest.raises(UserError, match="the data is not what the run was trained on"):
        train(resume=stopped, data=other, device="cpu")
    with pytest.raises(UserError, match="the data is not what the run was trained on"):
        train(resume=stopped, subset=10, device="cpu")


def test_the_same_data_elsewhere_are_accepted(stopped, data, tmp_path, capsys):
    copy = shutil.copy(data, tmp_path / "moved.zip")
    assert train(resume=stopped, data=copy, device="cpu") == stopped
    assert "is complete" in capsys.readouterr().out


def test_data_that_have_gone_are_named(stopped, tmp_path):
    contents = checkpoint(stopped)
    write_container(contents | {"data": str(tmp_path / "gone.zip")}, stopped / "checkpoint.pkl", "checkpoint")
    with pytest.raises(UserError, match="gone.zip does not exist"):
        train(resume=stopped, device="cpu")


def cut(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("damage", ["cut", "gone", "a part missing", "auto"])
def test_after_damage_a_run_goes_on_from_the_checkpoint_before_and_says_so(
    stopped, start, unstopped, differences, capsys, damage
):
    path = stopped / "checkpoint.pkl"
    if damage == "gone":
        path.unlink()
    elif damage == "a part missing":
        write_container({key: value for key, value in checkpoint(stopped).items() if key != "options"}, path, "checkpoint")
    else:
        cut(path)
    start(resume="auto" if damage == "auto" else stopped)
    words = {"gone": "does not exist", "a part missing": "lacks a part of the training state"}.get(damage, "damaged")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning: ")]
    assert len(told) == 1
    assert words in told[0]
    assert told[0].endswith("Going on from the one before it, checkpoint-previous.pkl.")
    compare_without_pictures(stopped, unstopped, differences)
    assert read_container(stopped / "checkpoint-previous.pkl", "checkpoint")["state"]["counters"]["nimg"] < 1024


def test_where_both_checkpoints_are_damaged_the_newest_snapshot_is_named(stopped):
    for name in ("checkpoint.pkl", "checkpoint-previous.pkl"):
        cut(stopped / name)
    for resume in (stopped, stopped / "checkpoint.pkl"):
        with pytest.raises(UserError) as error:
            train(resume=resume, device="cpu")
        assert "checkpoint-previous.pkl, the one before it, cannot be read either. " in error.value.message
        assert error.value.message.endswith(f"newest snapshot: --resume {stopped / 'network-snapshot-000001.pkl'}")
    for path in stopped.glob("network-snapshot-*"):
        path.unlink()
    with pytest.raises(UserError, match=r"There is no snapshot either: start a new run\.$"):
        train(resume=stopped, device="cpu")


def test_a_checkpoint_of_another_version_is_refused(stopped):
    contents = checkpoint(stopped)
    contents["config"]["p_least"] = 0.1
    write_container(contents, stopped / "checkpoint.pkl", "checkpoint")
    with pytest.raises(UserError, match="made by another version of sgtool"):
        train(resume=stopped, device="cpu")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="the folder holds no checkpoint.pkl"):
        train(resume=tmp_path, device="cpu")
    with pytest.raises(UserError, match="does not exist"):
        train(resume=tmp_path / "checkpoint.pkl", device="cpu")


# --- runs of older versions


LATER = (
    "precision",
    "generator",
    "discriminator",
    "source",
    "keep",
    "keep_every",
    "disk_budget",
)  # fields that older versions did not know


def test_a_run_of_an_older_version_goes_on(stopped, start):
    contents = checkpoint(stopped)
    for name in LATER:
        del contents["config"][name]
    write_container(contents, stopped / "checkpoint.pkl", "checkpoint")
    start(steps=1, resume=stopped, kimg=2)
    assert checkpoint(stopped)["state"]["counters"]["nimg"] == 1024 + 32
    assert [checkpoint(stopped)["config"][name] for name in LATER] == ["auto", *[None] * 6]


def test_auto_goes_on_with_a_run_of_an_older_version(start):
    folder = start(steps=1)
    options = json.loads((folder / "training_options.json").read_text())
    for name in LATER:
        del options["config"][name]
    (folder / "training_options.json").write_text(json.dumps(options))
    assert start(steps=1, resume="auto") == folder
    assert checkpoint(folder)["state"]["counters"]["step"] == 2


def test_a_run_with_options_of_a_newer_version_is_refused(stopped):
    contents = checkpoint(stopped)
    contents["options"]["shrink"] = 3
    write_container(contents, stopped / "checkpoint.pkl", "checkpoint")
    with pytest.raises(UserError, match="made by another version of sgtool"):
        train(resume=stopped, device="cpu")


def test_a_checkpoint_of_networks_that_cannot_be_built_is_refused(stopped):
    contents = checkpoint(stopped)
    contents["config"] |= {"generator": {"z_dim": 3}, "discriminator": {"c_dim": 0}}
    write_container(contents, stopped / "checkpoint.pkl", "checkpoint")
    with pytest.raises(UserError, match="the checkpoint is damaged: its networks cannot be built"):
        train(resume=stopped, device="cpu")


# --- beside


def test_options_of_a_run_tell_where_it_began(stopped, data):
    options = json.loads((stopped / "training_options.json").read_text())
    assert options["config"] == checkpoint(stopped)["config"]
    assert options["reasons"]["gamma"] == "0.0002 * 16 * 16 / batch 32"
    assert options["data"] == str(data)
    assert options["resumed_snapshot"] is None
    assert (
        resolve(Options(**options["options"] | {"metrics": ("swd", "msssim")}), open_dataset(data))[0].as_dict()
        == options["config"]
    )


def test_an_error_between_two_steps_leaves_a_checkpoint_to_go_on_from(start, tmp_path, monkeypatch):
    def fail(self, state, tick):
        if tick.number == 1:
            self.log(f"failing at {state.nimg}")
            raise UserError("the disk is full")

    monkeypatch.setattr(reports.StatusLine, "__call__", fail)
    with pytest.raises(UserError, match="the disk is full"):
        start()
    (folder,) = (tmp_path / "runs").iterdir()
    counters = checkpoint(folder)["state"]["counters"]
    assert counters["tick"] == 2
    assert f"failing at {counters['nimg']}\n" in (folder / "log.txt").read_text()


KINDS = [("cpu", "cpu", 0), ("cpu", "cuda", 1), ("cuda", "cpu", 1), ("cuda", "cuda", 0)]


@pytest.mark.parametrize(("written", "device", "said"), KINDS)
def test_going_on_with_another_kind_of_device_is_said_to_be_inexact(monkeypatch, written, device, said):
    state = SimpleNamespace(load_state_dict=lambda values: None)
    monkeypatch.setattr(beginning.TrainState, "fresh", lambda config, device, world, changes: state)
    checkpoint = {"state": {"device": written}}
    plan = SimpleNamespace(config=None, device=SimpleNamespace(type=device), checkpoint=checkpoint, source=None)
    lines = []
    assert beginning.start_state(plan, lines.append, ALONE) is state
    assert len(lines) == said
    assert all(f"written on {written}: on {device} it goes on" in line for line in lines)

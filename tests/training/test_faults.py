"""Faults of the surroundings: a full disk, a folder that is removed, data that are replaced."""

import contextlib
import errno
import importlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.snapshots.container import read_container
from sgtool.training import faults, reports, saving
from sgtool.training.faults import Patience, Patient, is_full, is_gone
from sgtool.training.folders import Held
from sgtool.training.lines import append_line, append_text
from sgtool.training.pictures import PictureGrid
from sgtool.training.reports import Log, StatusLine
from sgtool.training.run import train
from sgtool.training.watch import DataReplaced, DataWatch, FolderWatch


@pytest.fixture
def said():
    return []


@pytest.fixture
def stop():
    return SimpleNamespace(signal=None)


@pytest.fixture
def waits(monkeypatch):
    """Waiting takes no time; how long it would have is noted."""
    noted, clock = [], SimpleNamespace(now=0.0)

    def sleep(seconds):
        noted.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(faults, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return noted


def full(path="f"):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def failing(times, error=full):
    """A write that fails so many times, then notes that it was done in its `done`."""

    def write():
        write.tries += 1
        if write.tries <= times:
            error()
        write.done = True

    write.tries, write.done = 0, False
    return write


# --- a full disk


def test_errors_are_recognised_through_the_sentences_made_of_them(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: full())
        with pytest.raises(UserError) as no_space:
            write_text(tmp_path / "a", "text")
    with pytest.raises(UserError) as no_folder:
        append_text(tmp_path / "gone" / "a", "text")
    with pytest.raises(UserError) as no_file:
        append_text(tmp_path, "text")
    found = [(is_full(error.value), is_gone(error.value)) for error in (no_space, no_folder, no_file)]
    assert found == [(True, False), (False, True), (False, False)]
    assert (is_full(OSError(errno.EDQUOT, "quota")), is_full(ValueError("ENOSPC")), is_full(None)) == (True, False, False)


def test_training_waits_longer_and_longer_until_there_is_space(tmp_path, said, stop, waits):
    write, events = failing(8), []
    assert Patience(tmp_path, said.append, stop, tell=lambda kind, text: events.append(kind))(write, need=350_000_000)
    assert (write.tries, write.done) == (9, True)
    assert sum(waits) == pytest.approx(2 + 4 + 8 + 16 + 32 + 60 + 60 + 60)
    assert len(said) == 2
    assert said[0].startswith(f"Warning: the disk of {tmp_path} is full (")
    assert "No space left on device: f). It takes 0.35 GB." in said[0]
    assert said[1] == "There is space again: training goes on after 242 s."
    assert events == ["fault", "fault"]


def test_a_run_that_is_to_stop_does_not_wait_for_space(tmp_path, said, stop, waits):
    write = failing(100)
    stop.signal = signal.SIGTERM
    assert Patience(tmp_path, said.append, stop)(write) is False
    assert (write.tries, said, waits) == (1, [], [])


def test_a_signal_ends_the_waiting_at_once(tmp_path, said, stop, waits):
    write = failing(100)
    beats = []

    def beat():
        beats.append(0)
        stop.signal = signal.SIGTERM if len(beats) == 15 else None

    assert Patience(tmp_path, said.append, stop, beat=beat)(write) is False
    assert write.tries == 2
    assert sum(waits) == pytest.approx(15 * faults.BEAT, abs=faults.BEAT)


def test_other_errors_are_raised(tmp_path, said, stop, waits):
    def broken():
        raise OSError(errno.EIO, "Input/output error")

    for error, kind in ((broken, OSError), (lambda: (_ for _ in ()).throw(UserError("a picture")), UserError)):
        with pytest.raises(kind):
            Patience(tmp_path, said.append, stop)(failing(1, error))
    with pytest.raises(OSError, match="no such"):  # a file that has gone, in a folder that has not
        Patience(tmp_path, said.append, stop, restore=lambda: False)(failing(1, lambda: os.stat(tmp_path / "no such")))
    assert (said, waits) == ([], [])


def test_a_report_is_called_again_until_it_has_written(tmp_path, said, stop, waits):
    path, state, calls = tmp_path / "stats.jsonl", object(), []

    class StatsFile:
        def __call__(self, *arguments):
            calls.append(arguments)
            if len(calls) < 3:
                full(path)
            append_line(path, {"nimg": 8})

    report = Patient(StatsFile(), Patience(tmp_path, said.append, stop))
    report(state, "tick")
    assert calls == [(state, "tick")] * 3
    assert report.name == "StatsFile"
    assert path.read_text() == '{"nimg": 8}\n'


def test_a_line_that_did_not_fit_leaves_no_half_of_it(tmp_path, monkeypatch):
    path = tmp_path / "stats.jsonl"
    append_line(path, {"nimg": 8})
    write, parts = os.write, []

    def half(descriptor, data):
        parts.append(data)
        return write(descriptor, data[:5]) if len(parts) % 2 else full()

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(UserError, match="No space left on device. Free some space"):
            append_line(path, {"nimg": 16})
    append_line(path, {"nimg": 24})
    assert path.read_text() == '{"nimg": 8}\n{"nimg": 24}\n'


def test_the_log_keeps_its_lines_while_the_disk_is_full_and_writes_them_then(tmp_path, monkeypatch, capsys):
    log = Log()
    log.attach(tmp_path / "log.txt")
    log("one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *arguments: full())
        log("two")
        log("three")
    assert (tmp_path / "log.txt").read_text() == "one\n"
    log("four")
    assert (tmp_path / "log.txt").read_text() == capsys.readouterr().out == "one\ntwo\nthree\nfour\n"


def test_the_clock_on_the_wall_decides_nothing(tmp_path, said, stop, monkeypatch):
    """It jumps back and forth by a year with each look: the wait is as long, and no longer."""
    jumps = iter(range(10**6))
    monkeypatch.setattr("time.time", lambda: 1e9 + (-1) ** next(jumps) * 3e7)
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.02)
    write = failing(2)
    timer = threading.Timer(5, lambda: setattr(stop, "signal", signal.SIGTERM))
    timer.start()
    assert Patience(tmp_path, said.append, stop)(write)
    timer.cancel()
    assert said[1] == "There is space again: training goes on after 0 s."


# --- a run folder that is removed


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "runs" / "00003-a"
    folder.mkdir(parents=True)
    (folder / "training_options.json").write_text("{}")
    return folder


@pytest.fixture
def held(run_folder):
    held = Held(run_folder)
    yield held
    held.close()


def watch_of(held, said, refilled=None):
    def refill():
        (held.folder / "training_options.json").write_text("{}")
        if refilled is not None:
            refilled.append(True)

    return FolderWatch(held, said.append, [refill])


@pytest.mark.parametrize("what", ["the folder", "all folders", "its files"])
def test_a_run_folder_that_was_removed_is_made_again(held, run_folder, said, what):
    refilled = []
    watch = watch_of(held, said, refilled)
    watch(None, None)
    assert (said, refilled) == ([], [])
    if what == "its files":
        (run_folder / "training_options.json").unlink()
    else:
        shutil.rmtree(run_folder if what == "the folder" else run_folder.parent)
    watch(None, None)
    watch(None, None)
    assert refilled == [True]
    assert len(said) == 1
    assert said[0].startswith(f"Warning: {run_folder}, or what is in it, was removed while the run was trained there.")
    with pytest.raises(UserError, match="is being trained by another process"):
        Held(run_folder)


def test_a_folder_that_another_run_has_taken_is_left_to_it(held, run_folder, said):
    shutil.rmtree(run_folder)
    run_folder.mkdir()
    other = Held(run_folder)
    (run_folder / "log.txt").write_text("theirs")
    with pytest.raises(UserError, match="is being trained by another process"):
        watch_of(held, said)(None, None)
    assert (run_folder / "log.txt").read_text() == "theirs"
    other.close()


def test_a_folder_that_cannot_be_made_again_is_one_sentence(held, run_folder, said):
    shutil.rmtree(run_folder.parent)
    run_folder.parent.touch()
    with pytest.raises(UserError, match="the folder cannot be created"):
        watch_of(held, said)(None, None)


def test_a_folder_removed_in_the_middle_of_a_write_is_made_again_and_the_write_repeated(held, run_folder, said, stop):
    watch = watch_of(held, said)
    shutil.rmtree(run_folder)
    log = Log()
    log.attach(run_folder / "log.txt")
    log("waits")
    assert Patience(run_folder, said.append, stop, restore=watch.restore)(
        lambda: append_line(run_folder / "stats.jsonl", {"nimg": 8})
    )
    log("goes on")
    assert (run_folder / "stats.jsonl").read_text() == '{"nimg": 8}\n'
    assert (run_folder / "log.txt").read_text() == "waits\ngoes on\n"


# --- data that are replaced


@pytest.fixture
def zipped(data, tmp_path):
    return shutil.copy(data, tmp_path / "noise.zip")


def data_watch(path, said):
    dataset = open_dataset(path)
    return DataWatch(
        path, dataset.names, dataset.fingerprint, lambda: open_dataset(path).fingerprint, said.append, "runs/00000-a"
    )


def replaced(path):
    words = f"--data {path} was replaced while the run was trained on it"
    return pytest.raises(
        DataReplaced, match=f"^{words}.*put the old data back, then go on with: sgtool train --resume runs/00000-a$"
    )


@pytest.mark.parametrize("how", ["renamed over", "written over", "cut"])
def test_a_zip_that_is_replaced_ends_the_run(zipped, write_dataset, tmp_path, said, how):
    watch = data_watch(zipped, said)
    watch.check()
    other = write_dataset(tmp_path / "other.zip", seed=5)
    if how == "renamed over":
        os.replace(other, zipped)
    else:
        zipped.write_bytes(other.read_bytes()[: 5000 if how == "cut" else None])
    with replaced(zipped):
        watch(None, None)
    with replaced(zipped):
        watch(None, None)


def test_a_zip_that_is_written_again_with_the_same_pictures_is_accepted(zipped, data, said):
    watch = data_watch(zipped, said)
    os.replace(shutil.copy(data, zipped.with_name("copy.zip")), zipped)
    os.utime(zipped, (1, 1))
    watch.check()
    watch.check()
    assert said == [f"{zipped} was written again, with the same pictures and labels: training goes on."]


def test_a_dataset_that_goes_is_told_once_and_may_come_back(zipped, data, said):
    watch = data_watch(zipped, said)
    zipped.unlink()
    watch.check()
    watch.check()
    assert len(said) == 1
    assert "has gone. Training goes on as far as it can" in said[0]
    shutil.copy(data, zipped)
    watch.check()
    assert len(said) == 2


@pytest.mark.parametrize("what", ["picture", "one more", "labels"])
def test_a_folder_whose_contents_are_replaced_ends_the_run(data, tmp_path, said, what):
    folder = tmp_path / "noise"
    shutil.unpack_archive(data, folder)
    watch = data_watch(folder, said)
    for _ in range(3):
        watch.check()
    first, second = sorted(folder.glob("00000/*.png"))[:2]
    if what == "picture":
        first.write_bytes(second.read_bytes())
    elif what == "one more":
        shutil.copy(first, first.with_name("zzz.png"))
    else:
        text = (folder / "dataset.json").read_text()
        (folder / "dataset.json").write_text(text.replace('img00000000.png", 0', 'img00000000.png", 1'))
    with replaced(folder):
        watch.check()


def test_pictures_of_a_large_folder_are_looked_at_by_turns(data, tmp_path, said, monkeypatch):
    monkeypatch.setattr("sgtool.training.watch.FILES_A_TICK", 20)
    folder = tmp_path / "noise"
    shutil.unpack_archive(data, folder)
    watch = data_watch(folder, said)
    for _ in range(4):
        watch.check()
    first, *_, last = sorted(folder.glob("00000/*.png"))
    last.write_bytes(first.read_bytes())
    with replaced(folder):
        for _ in range(3):
            watch.check()


# --- in a run: eight steps, a tick each


@pytest.fixture
def run_of_eight(tiny, tmp_path, monkeypatch):
    """Function that trains in this process, and calls `at[k](state)` first at tick k: (data, at={}, **options) -> run folder."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (2, 2))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    look = StatusLine.__call__

    def run(data, at=None, **options):
        def hooked(self, state, tick):
            look(self, state, tick)
            (at or {}).get(tick.number, lambda state: None)(state)

        monkeypatch.setattr(StatusLine, "__call__", hooked)
        fresh = tiny | {"batch": 128, "batch_gpu": 128, "tick": 0.1, "snap": 3, "metrics": (), "outdir": tmp_path / "runs"}
        return train(device="cpu", **(fresh | {"data": data} if "resume" not in options else {}) | options)

    return run


def only_folder(tmp_path):
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def counters(path):
    return read_container(path, "checkpoint")["state"]["counters"]


def state_of(folder):
    return read_container(folder / "checkpoint.pkl", "checkpoint")["state"]


def events_of(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def never_disturbed(data, tiny, tmp_path_factory):
    """The state at the end of the run of eight steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (2, 2))
        patch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
        options = tiny | {"batch": 128, "batch_gpu": 128, "tick": 0.1, "snap": 3, "metrics": ()}
        folder = train(data=data, outdir=tmp_path_factory.mktemp("undisturbed"), device="cpu", **options)
    torch.set_num_threads(before)
    return state_of(folder)


def test_a_run_goes_on_in_the_folder_that_was_removed_under_it(
    run_of_eight, data, tmp_path, differences, never_disturbed, capsys
):
    there = []

    def look(state):
        there.extend(path.name for path in only_folder(tmp_path).iterdir())

    folder = run_of_eight(data, {2: lambda state: shutil.rmtree(only_folder(tmp_path)), 4: look})
    assert {"training_options.json", "checkpoint.pkl", "log.txt", "stats.jsonl", ".lock"} <= set(there)
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 1
    assert "was removed while the run was trained there. Training goes on" in warnings[0]
    assert warnings[0] in (folder / "log.txt").read_text()
    assert [event["text"] for event in events_of(folder) if event["kind"] == "fault"] == warnings
    assert differences(state_of(folder), never_disturbed, ignored=["elapsed"]) == []
    assert run_of_eight(data, resume=folder) == folder


def test_a_signal_while_the_disk_is_full_ends_the_run_and_leaves_what_was_there(
    run_of_eight, data, tmp_path, monkeypatch, capsys
):
    before = {}

    def fill(state):
        """From here on nothing can be written; then the signal comes."""
        before.update({path.name: path.read_bytes() for path in only_folder(tmp_path).glob("*.pkl")})
        monkeypatch.setattr(os, "fsync", lambda descriptor: full())
        monkeypatch.setattr(os, "write", lambda *arguments: full())
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    with monkeypatch.context(), pytest.raises(SystemExit) as end:
        run_of_eight(data, {5: fill})
    monkeypatch.undo()
    assert end.value.code == 128 + signal.SIGTERM
    folder = only_folder(tmp_path)
    assert len(before) >= 3
    assert {path.name: path.read_bytes() for path in folder.glob("*.pkl")} == before
    said = capsys.readouterr().out
    assert said.count("is full (") == 1
    assert "checkpoint.pkl is an older one, for the disk is full. Go on with: sgtool train --resume" in said


def test_a_stop_by_signal_finishes_the_checkpoint_that_was_begun_and_writes_the_last_one(
    run_of_eight, data, tmp_path, monkeypatch
):
    write, written = saving.write_container, []

    def slow(contents, *arguments):
        time.sleep(0.2)
        write(contents, *arguments)
        written.append(contents["state"]["counters"]["tick"])

    monkeypatch.setattr(saving, "write_container", slow)
    with pytest.raises(SystemExit) as end:
        run_of_eight(data, {3: lambda state: os.kill(os.getpid(), signal.SIGTERM)})
    assert end.value.code == 143
    folder = only_folder(tmp_path)
    assert written == [1, 4, 4]
    assert [counters(folder / name)["step"] for name in ("checkpoint.pkl", "checkpoint-previous.pkl")] == [4, 4]


@pytest.mark.parametrize("how", ["renamed over", "written over"])
def test_data_replaced_in_a_run_end_it_without_touching_the_checkpoint(run_of_eight, data, write_dataset, tmp_path, how):
    zipped, other = shutil.copy(data, tmp_path / "noise.zip"), write_dataset(tmp_path / "other.zip", seed=5)

    def replace(state):
        if how == "renamed over":
            os.replace(other, zipped)
        else:
            zipped.write_bytes(other.read_bytes())

    with pytest.raises(DataReplaced, match="put the old data back, then go on with: sgtool train --resume"):
        run_of_eight(zipped, {4: replace})
    folder = only_folder(tmp_path)
    assert counters(folder / "checkpoint.pkl")["step"] <= 4
    with pytest.raises(UserError, match="the data is not what the run was trained on"):
        run_of_eight(zipped, resume=folder)
    shutil.copy(data, zipped)
    assert run_of_eight(zipped, resume=folder) == folder
    assert counters(folder / "checkpoint.pkl")["step"] == 8


def test_snapshots_that_are_not_to_be_kept_go_during_the_run(run_of_eight, data):
    folder = run_of_eight(data, snap=1, tick=0.2, batch=256, batch_gpu=256, kimg=3, keep=2, keep_every=2)
    assert sorted(path.name for path in folder.glob("network-snapshot-*.pkl")) == [
        "network-snapshot-000000.pkl",
        "network-snapshot-000002.pkl",
        "network-snapshot-000003.pkl",
    ]
    assert len(list(folder.glob("fakes0*.png"))) == 4


def test_a_budget_too_small_is_refused_before_the_first_step(run_of_eight, data):
    with pytest.raises(UserError, match="--disk-budget 0.0001: two checkpoints and a snapshot alone take"):
        run_of_eight(data, disk_budget=0.0001)


def test_jumps_of_the_clock_on_the_wall_change_nothing(run_of_eight, data, monkeypatch, differences, never_disturbed):
    jumps = iter(range(10**6))
    monkeypatch.setattr("time.time", lambda: 1e9 + (-1) ** next(jumps) * 3e7)
    folder = run_of_eight(data)
    assert differences(state_of(folder), never_disturbed, ignored=["elapsed"]) == []
    assert len(list(folder.glob("checkpoint*.pkl"))) == 2


# --- kills, and a long time


def forked(work):
    """Do `work()` in a child process, without its output; returns the child's number."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                work()
        finally:
            os._exit(0)
    return child


def kill_after(child, path, lines, seconds):
    """Kill a process that writes lines into a file some time after there are so many; returns whether it was still there."""
    end = time.monotonic() + 60
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1] == signal.SIGKILL
        time.sleep(0.002)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_run_killed_three_times_ends_as_if_it_had_not_been(run_of_eight, data, tmp_path, differences, never_disturbed):
    """In the middle of writing, of a tick or of a step, as it comes; checkpoints and removals at each tick."""
    rng = random.Random(os.getpid())
    folder = tmp_path / "runs" / "00000-noise-cond-tiny1-kimg1-batch128-target0.5"
    options, kills = {"snap": 1, "keep": 1}, 0
    for lines in (2, 4, 6):
        where = {"resume": folder} if any(folder.glob("checkpoint*.pkl")) else {}
        child = forked(lambda where=where: run_of_eight(data, **options | where))
        try:
            kills += kill_after(child, folder / "stats.jsonl", lines, rng.uniform(0, 0.1))
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    assert kills == 3
    assert run_of_eight(data, resume=folder) == folder
    assert differences(state_of(folder), never_disturbed, ignored=["elapsed"]) == []
    assert [json.loads(line)["nimg"] for line in (folder / "stats.jsonl").read_text().splitlines()] == list(range(128, 1025, 128))
    assert [path.name for path in folder.iterdir() if path.name.endswith((".part", "-new.pkl"))] == []


@pytest.fixture
def benchmark_faults(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    yield importlib.import_module("faults")
    sys.modules.pop("faults")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is not told here")
def test_hours_of_ticks_take_no_more_and_more_memory(benchmark_faults, tmp_path, monkeypatch):
    """Steps cost nothing, everything at the ticks is real. A list that grows by a picture a tick would be found."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (2, 2))
    result = benchmark_faults.leak_part(SimpleNamespace(hours=2.0), tmp_path)
    assert result["ticks"] == 240
    assert result["simulated hours"] == pytest.approx(2.0, rel=0.01)
    assert result["grown by MB"] < 20

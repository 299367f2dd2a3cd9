"""Training by several processes is training by one: the same pictures, losses and weights; and it ends as one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sgtool.datasets.prepare import prepare
from sgtool.distributed import joined, launched
from sgtool.errors import UserError
from sgtool.snapshots.container import read_container
from sgtool.training import attempts
from sgtool.training.run import check_machine, processes, train

OPTIONS = {"cfg": "tiny", "cbase": 64, "cmax": 8, "batch": 48, "mbstd_group": 4, "aug": "fixed", "p": 0.5, "augpipe": "bgcfnc"}
OPTIONS |= {"cond": True, "device": "cpu", "metrics": (), "workers": 1, "tick": 0.3, "snap": 100}
LINE = ["--cfg=tiny", "--cbase=64", "--cmax=8", "--batch=16", "--device=cpu", "--metrics=none", "--workers=1", "--snap=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The embedded digits, 8x8."""
    path = tmp_path_factory.mktemp("data") / "digits.zip"
    prepare("demo:digits", path, resolution=(8, 8), workers=1)
    return path


@pytest.fixture(scope="module")
def go(data, tmp_path_factory):
    """Function that trains for some kimg, in a folder of its own, and returns it, its checkpoint and stats."""
    tmp_path = tmp_path_factory.mktemp("runs")

    def run(name, **changes):
        folder = train(data=str(data), outdir=str(tmp_path / name), **OPTIONS | {"kimg": 1} | changes)
        stats = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
        return folder, read_container(folder / "checkpoint.pkl", "checkpoint")["state"], stats

    return run


def differing(one, two, tolerance=1e-5):
    """(share of the weights of two states that differ by more than the tolerance times their tensor's largest, largest such).

    A gradient that is nearly zero may have another sign after other rounding; Adam then moves that weight the other way.
    """
    count = total = 0
    largest = 0.0
    for name, tensors in one["networks"].items():
        for key, tensor in tensors.items():
            difference = (two["networks"][name][key] - tensor).abs() / tensor.abs().max().clamp(min=1)
            count, total = count + int((difference > tolerance).sum()), total + difference.numel()
            largest = max(largest, float(difference.max()))
    return count / total, largest


@pytest.fixture(scope="module")
def one_process(go):
    return go("one", kimg=1)


@pytest.mark.parametrize("gpus", [2, 4])
def test_several_processes_train_as_one_does(go, one_process, gpus):
    """21 steps, in which each regularizer, ADA and both networks take part."""
    folder, state, stats = go("several", gpus=gpus)
    _, expected, rows = one_process
    share, largest = differing(expected, state)
    assert share < 0.002
    assert largest < 0.003
    assert state["counters"]["nimg"] == expected["counters"]["nimg"]
    assert float(state["pl_mean"]) == pytest.approx(float(expected["pl_mean"]), rel=1e-5)
    assert state["ada"]["rt"] == expected["ada"]["rt"]
    assert len(stats) == len(rows)
    for row, other in zip(rows, stats, strict=True):
        for name in ("Loss/G/loss", "Loss/D/loss", "Loss/pl_penalty", "Loss/r1_penalty", "Loss/signs/real"):
            if name in row:
                assert other[name]["mean"] == pytest.approx(row[name]["mean"], rel=1e-5, abs=1e-6), name
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[0])["processes"] == gpus


def test_a_run_goes_on_with_another_number_of_processes(go, one_process):
    folder, _, _ = go("two", gpus=2)
    _, expected, _ = go("longer", kimg=2)
    train(resume=str(folder), kimg=2, gpus=1, device="cpu")
    found = read_container(folder / "checkpoint.pkl", "checkpoint")["state"]
    share, largest = differing(expected, found, 1e-3)
    assert share < 0.01
    assert largest < 0.05
    assert found["counters"]["nimg"] == expected["counters"]["nimg"]


def test_processes_are_as_asked_as_before_or_as_torchrun_started_them(monkeypatch, tmp_path):
    assert processes(None, None) == 1
    assert processes(3, None) == 3
    (tmp_path / "training_options.json").write_text('{"options": {"gpus": 2}}')
    assert processes(None, str(tmp_path)) == 2
    assert processes(1, str(tmp_path)) == 1
    assert processes(0, None) == 0  # which is refused later
    (tmp_path / "training_options.json").write_text('{"options": {"gpus": "many"}}')
    assert processes(None, str(tmp_path)) == 1
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    assert processes(None, None) == processes(4, None) == 4
    with pytest.raises(UserError, match="--gpus 3: torchrun has started 4 processes"):
        processes(3, None)


def test_a_batch_that_processes_cannot_share_is_refused_in_one_sentence(data, tmp_path):
    with pytest.raises(UserError, match="--batch 48 is no multiple of --gpus 5"):
        train(data=str(data), outdir=str(tmp_path), dry_run=True, gpus=5, **OPTIONS)


def test_more_processes_than_the_machine_has_room_for_are_refused_before_one_begins(data, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(UserError, match="--gpus 1000: this machine has 2 CPU cores for them. Give at most 8"):
        train(data=str(data), outdir=str(tmp_path), gpus=1000, **OPTIONS)
    with pytest.raises(UserError, match="--gpus 2: an Apple GPU works for one process"):
        check_machine(2, "mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="--gpus 2: this machine has 1"):
        check_machine(2, "cuda")
    assert not list(tmp_path.iterdir())


def test_of_a_dry_run_by_several_processes_the_first_one_tells(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert train(data=str(data), outdir=str(tmp_path), dry_run=True, **OPTIONS) is None
        assert capsys.readouterr().out.count("Dry run") == (rank == "0")


def wait_for_the_first(seconds):
    """In a process: end a training in which the first process takes some time to write; gives how long the other one took."""
    with joined("cpu", timeout=60) as world:
        upkeep = SimpleNamespace(finish=lambda state: time.sleep(seconds) or False) if world.is_first else None
        start = time.monotonic()
        attempts.run_loop = lambda *args: False
        written = attempts.train_to_the_end(SimpleNamespace(world=world), None, None, [], None, upkeep, [], [])
        return world.gather((written, time.monotonic() - start))


def test_at_the_end_all_wait_until_the_first_process_has_written():
    (first, _), (other, took) = launched(2, wait_for_the_first, 2.5)
    assert (first, other) == (False, True)
    assert took > 2


def sgtool(*line, launcher=(), **more):
    """Start a command line, as a group of processes of its own."""
    command = [sys.executable, *launcher, "-m", "sgtool", *map(str, line)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment, **more
    )


def ended(process, seconds=150):
    """Wait for a command; kill its group if it does not end."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        kill_all(process)


def kill_all(process):
    """Kill a command and all that it started."""
    for child in children(process.pid):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        pipe.close()


def children(pid):
    """Return the processes that a process has started, and those that these have."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            own = [int(text) for text in path.read_text().split()]
        except OSError:
            continue
        found += own + [child for each in own for child in children(each)]
    return found


def wait_for(path, what, process, seconds=150):
    """Wait until a file holds a text."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        files = list(Path(path).glob("runs/*/log.txt"))
        if files and what in files[0].read_text():
            return files[0].parent
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    _, errors = process.communicate()
    kill_all(process)
    pytest.fail(f"it ended too early: {errors}")


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_after_the_step_with_a_checkpoint(data, tmp_path, number):
    process = sgtool("train", "--outdir", tmp_path / "runs", "--data", data, *LINE, "--gpus=2", "--kimg=500", "--tick=0.1")
    try:
        folder = wait_for(tmp_path, "tick 1 ", process)
        process.send_signal(number)
        ended(process)
    finally:
        kill_all(process)
    assert process.returncode == 128 + number
    assert "checkpoint.pkl is written" in (folder / "log.txt").read_text()
    assert read_container(folder / "checkpoint.pkl", "checkpoint")["state"]["counters"]["nimg"] > 16


@linux
def test_a_process_that_is_killed_ends_the_run_by_name_and_leaves_a_checkpoint(data, tmp_path):
    process = sgtool("train", "--outdir", tmp_path / "runs", "--data", data, *LINE, "--gpus=2", "--kimg=500", "--tick=0.1")
    try:
        folder = wait_for(tmp_path, "tick 1 ", process)
        workers = [pid for pid in children(process.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(workers[1], signal.SIGKILL)
        _, errors = ended(process)
    finally:
        kill_all(process)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("Error: Process 1 was ended by SIGKILL")
    assert read_container(folder / "checkpoint.pkl", "checkpoint")["state"]["counters"]["nimg"] >= 16


@linux
def test_torchrun_starts_again_and_goes_on_by_itself(data, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    line = ["train", "--outdir", tmp_path / "runs", "--data", data, *LINE, "--kimg=2", "--tick=0.1", "--aug=noaug"]
    process = sgtool(*line, launcher=launcher)
    try:
        folder = wait_for(tmp_path, "tick 2 ", process)
        workers = [pid for pid in children(process.pid) if "sgtool" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(workers[-1], signal.SIGKILL)
        ended(process, 120)
    finally:
        kill_all(process)
    assert process.returncode == 0
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [kind for kind in kinds if kind in ("start", "resume", "restart", "stop", "done")] == ["start", "restart", "done"]
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()] == [folder.name]
    whole = train(
        data=str(data), outdir=str(tmp_path / "whole"), cfg="tiny", cbase=64, cmax=8, batch=16, device="cpu", metrics=(),
        workers=1, kimg=2, tick=0.1, snap=1, aug="noaug",
    )  # fmt: skip
    expected, found = (read_container(path / "checkpoint.pkl", "checkpoint")["state"] for path in (whole, folder))
    share, largest = differing(expected, found, 1e-2)
    assert share < 0.01
    assert torch.isfinite(found["pl_mean"])

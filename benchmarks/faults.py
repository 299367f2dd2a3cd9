"""What a run survives, and what that costs: kills at random instants, a day of ticks, the writing of checkpoints.

kills  a run on handwritten digits (demo:digits, 8x8) is killed by SIGKILL at random instants and gone on with, until so many
       kills have been survived; then its state is compared bit by bit with that of a run that was never disturbed.
leak   24 hours of ticks with real reports, snapshots and checkpoints, where steps cost nothing and the clock is wound on:
       what the process has grown by.
stall  how long a snapshot with its checkpoint stops the training, written at once or beside it, and how much slower other work is
       meanwhile; and which share of the time that is, at one each ten minutes.

    python benchmarks/faults.py
    python benchmarks/faults.py --only kills --kills 30
"""

import argparse
import contextlib
import io
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import measure
import numpy as np
import torch

from sgtool.datasets import open_dataset
from sgtool.datasets.prepare import prepare
from sgtool.snapshots.container import read_container, tensors_of
from sgtool.training import loop, saving
from sgtool.training.faults import Patience
from sgtool.training.resolve import Options, resolve
from sgtool.training.run import train
from sgtool.training.saving import CHECKPOINT_SECONDS, Checkpoints, Snapshots
from sgtool.training.state import TrainState
from sgtool.training.watch import identity
from sgtool.training.writer import Writer

PARTS = ("kills", "leak", "stall")
KILLED = {"cfg": "tiny", "cond": 1, "cbase": 64, "cmax": 16, "batch": 16, "tick": 0.064, "snap": 1, "keep": 3, "metrics": "swd"}
DAY = 24 * 3600
TICK_SECONDS = 30.0  # of the simulated day
SNAP = 50


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    parser.add_argument("--kills", type=int, default=30, help="(default: %(default)s)")
    parser.add_argument("--kimg", type=int, default=5, help="length of the runs that are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the instants (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=24.0, help="of the simulated day (default: %(default)s)")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 256], help="of the networks written (default: 32 256)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/faults-DATE.json")
    return parser.parse_args()


# --- kills


def command(data, outdir, kimg, resume=None):
    """The command line of the run that is killed, or that goes on with it."""
    line = [sys.executable, "-m", "sgtool", "train", "--device", "cpu"]
    if resume is not None:
        return [*line, "--resume", str(resume)]
    options = [f"--{name}={value}" for name, value in KILLED.items()]
    return [*line, "--data", str(data), "--outdir", str(outdir), f"--kimg={kimg}", *options]


def begin(line):
    """Start a run; returns (the process, its folder) once it trains; (None, None) if it was complete before."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    for text in process.stdout:
        said += text
        found = re.match(r"(?:Training|Going on) in (.+) from kimg ", text)
        if found:
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, Path(found[1])
    if process.wait() != 0:
        raise SystemExit(f"a run did not go on:\n{said}")
    return None, None


def kill_once(line, checkpoints, delay):
    """Start a run, wait until it has written so many checkpoints, and `delay` seconds more, and kill it.

    Returns:
        (its folder, whether it was still there to be killed); (None, False) if it was complete before.
    """
    process, folder = begin(line)
    if process is None:
        return None, False
    path, seen = folder / "checkpoint.pkl", set()
    before = identity(path)
    while process.poll() is None and len(seen - {None, before}) < checkpoints:
        seen.add(identity(path))
        time.sleep(0.001)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    if process.returncode not in (None, 0):
        raise SystemExit(f"{folder}: the run ended by itself with {process.returncode}")
    if process.returncode is None:
        os.kill(process.pid, signal.SIGKILL)
    return folder, process.wait() == -signal.SIGKILL


def state_of(folder):
    """The state of a finished run: {name: tensor}, and the rest as plain values."""
    state = read_container(folder / "checkpoint.pkl", "checkpoint")["state"]
    state["counters"].pop("elapsed")
    return dict(tensors_of(state)), {name: state[name] for name in ("counters", "ada", "best")}


def is_same(a, b):
    """Whether two states are the same bit by bit."""
    if a[0].keys() != b[0].keys() or str(a[1]) != str(b[1]):
        return False
    return all(torch.equal(tensor, b[0][name]) for name, tensor in a[0].items())


def leftovers(folder):
    """Names of what a kill left half-written."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".part") or path.name == "checkpoint-new.pkl"]


def killed(data, outdir, args, expected, seconds_a_tick):
    """Kill runs again and again, each until it is complete. Only kills that the run goes on from count.

    Returns:
        (kills, of these in the middle of writing a file, runs that were completed and compared).
    """
    rng, kills, writing, runs, folder = random.Random(args.seed), 0, 0, 0, None
    while kills < args.kills:
        wait = rng.randint(0 if folder else 1, 2)
        folder, was_killed = kill_once(command(data, outdir, args.kimg, folder), wait, rng.uniform(0, 2 * seconds_a_tick))
        if was_killed:
            kills, writing = kills + 1, writing + bool(leftovers(folder))
            print(f"kill {kills} of {args.kills}", file=sys.stderr, flush=True)
        else:
            folder = folder or sorted(outdir.iterdir())[-1]
            compare(folder, expected, kills)
            runs, folder = runs + 1, None
    if folder is not None:
        process, _ = begin(command(data, outdir, args.kimg, folder))
        if process is not None and process.wait() != 0:
            raise SystemExit(f"{folder}: the run ended with {process.returncode}")
        compare(folder, expected, kills)
        runs += 1
    return kills, writing, runs


def compare(folder, expected, kills):
    if not is_same(state_of(folder), expected):
        raise SystemExit(f"{folder}: after {kills} kills the state is not that of the undisturbed run")


def kills_part(args, work):
    """30 of 30."""
    data = work / "digits.zip"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        prepare("demo:digits", data, resolution=(8, 8))
    process, folder = begin(command(data, work / "undisturbed", args.kimg))
    start = time.perf_counter()
    if process.wait() != 0:
        raise SystemExit("the undisturbed run failed")
    seconds = time.perf_counter() - start
    ticks = args.kimg / KILLED["tick"]
    kills, writing, runs = killed(data, work / "killed", args, state_of(folder), seconds / ticks)
    took = time.perf_counter() - start
    return {"undisturbed s": seconds, "kills": kills, "in the middle of a file": writing, "runs compared": runs, "seconds": took}


# --- a day


def resident():
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Day:
    """Steps that cost nothing, on a clock that they wind on; notes the memory of the process."""

    def __init__(self):
        self.now, self.sizes = 0.0, []

    def clock(self):
        """What takes the place of `time` where a run looks at it."""
        real = {name: getattr(time, name) for name in ("sleep", "strftime", "localtime")}
        return SimpleNamespace(perf_counter=lambda: self.now, monotonic=lambda: self.now, time=lambda: self.now, **real)

    def step(self, state, config, batch, augment):
        """Take the place of a training step."""
        self.now += TICK_SECONDS
        state.step, state.nimg = state.step + 1, state.nimg + config.batch
        rng = np.random.RandomState(state.step)
        for name in ("Loss/G/loss", "Loss/D/loss", "Loss/scores/real", "Loss/signs/real", "Gradients/G/norm", "Gradients/D/norm"):
            state.meter.add(name, torch.from_numpy(rng.randn(config.batch)))
        if state.step % 4 == 0:
            self.sizes.append(resident())


def leak_part(args, work):
    """How much a process has grown over a day: from its second tenth to its last."""
    data = work / "digits-day.zip"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        prepare("demo:digits", data, resolution=(8, 8))
    day, ticks = Day(), round(args.hours * 3600 / TICK_SECONDS)
    batch = 125
    options = {"cfg": "tiny", "cbase": 64, "cmax": 16, "batch": batch, "tick": batch / 1000, "snap": SNAP, "keep": 5}
    before = loop.train_step, loop.time, saving.time
    loop.train_step, loop.time, saving.time = day.step, day.clock(), day.clock()
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            folder = train(data=data, outdir=work / "day", device="cpu", kimg=ticks * batch // 1000, **options)
    finally:
        loop.train_step, loop.time, saving.time = before
    tenth = max(len(day.sizes) // 10, 1)  # medians: what a snapshot takes for a moment is no growth
    growth = (statistics.median(day.sizes[-tenth:]) - statistics.median(day.sizes[tenth : 2 * tenth])) / 1e6
    lines = len((folder / "stats.jsonl").read_text().splitlines())
    return {"ticks": lines, "simulated hours": day.now / 3600, "grown by MB": growth, "seconds": time.perf_counter() - start}


# --- what writing costs


def settled_state(resolution, work):
    """A state of which every part is there: Adam's too."""
    data = work / "digits-stall.zip"
    if not data.exists():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            prepare("demo:digits", data, resolution=(8, 8), max_images=64)
    dataset = open_dataset(data)
    shape = SimpleNamespace(
        **{name: getattr(dataset, name) for name in ("name", "fingerprint", "label_dim", "labels", "class_names")},
        resolution=(resolution, resolution), channels=3, __len__=None,
    )  # fmt: skip
    pictures = type("Pictures", (), {**vars(shape), "__len__": lambda self: 64})()
    config, _ = resolve(Options(cfg="tiny" if resolution <= 64 else "auto"), pictures)
    state = TrainState.fresh(config, torch.device("cpu"))
    for network, optimizer in ((state.G, state.opt_G), (state.D, state.opt_D)):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    return state, pictures


def work_rate(seconds, is_over):
    """Small matrix products done in a second, until `seconds` have passed or `is_over()`."""
    a, done, start = torch.randn(128, 128), 0, time.perf_counter()
    while time.perf_counter() - start < seconds and not is_over():
        a = torch.tanh(a @ a)
        done += 1
    return done / (time.perf_counter() - start)


def stall_part(args, work):
    """Seconds that a snapshot with its checkpoint stops the training; slower work meanwhile counted with it."""
    rows = {}
    for resolution in args.resolutions:
        state, dataset = settled_state(resolution, work)
        due = SimpleNamespace(is_snapshot=True)
        folder = work / f"stall{resolution}"
        folder.mkdir()
        writer = Writer(Patience(folder, print, SimpleNamespace(signal=None)))
        seconds = {}
        for name, beside in (("at once", None), ("beside", writer)):
            snapshots = Snapshots(folder, dataset, beside)
            checkpoints = Checkpoints(folder, {}, writer=beside, snapshots=snapshots)
            for _ in range(2):  # the second one counts: memory is there, a previous one to keep too
                writer.wait()
                free = work_rate(1.0, lambda: False)
                start = time.perf_counter()
                for report in (snapshots, checkpoints):
                    report(state, due)
                seconds[name] = time.perf_counter() - start
            busy_from = time.perf_counter()
            rate = work_rate(60.0, lambda beside=beside: beside.is_idle) if beside else free
            seconds["writing"] = time.perf_counter() - busy_from
        slower = max(1 - rate / free, 0.0) * seconds["writing"]
        megabytes = sum(path.stat().st_size for path in (folder / "checkpoint.pkl", *folder.glob("network*"))) / 1e6
        share = (seconds["beside"] + slower) / CHECKPOINT_SECONDS
        rows[f"{resolution}x{resolution}"] = {
            "MB written": megabytes, "stops at once s": seconds["at once"], "stops beside s": seconds["beside"],
            "writing s": seconds["writing"], "lost to slower work s": slower, "share at one in ten minutes": share,
        }  # fmt: skip
    return rows


def main():
    args = arguments()
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as work:
        for name in args.only:
            results[name] = {"kills": kills_part, "leak": leak_part, "stall": stall_part}[name](args, Path(work))
            print(f"{name}: {results[name]}", flush=True)
    measure.report("faults", vars(args), results, args.json)


if __name__ == "__main__":
    main()

"""What a run will take in memory and time: foretold before the first step, measured in the first ones."""

import dataclasses
import json
import os

from sgtool.training.changes import change, describe
from sgtool.training.data import KEEP_DECODED
from sgtool.training.memory_now import available_memory, resident_memory
from sgtool.training.memory_plan import plan_memory
from sgtool.training.reports import duration, memory_gb
from sgtool.training.shortage import WHY, smaller

FORETOLD = "more memory was foretold than is free"
# On a CPU, beside what is counted: measured by benchmarks/memory.py.
LIBRARIES = 150_000_000  # bytes of code and tables that PyTorch loads in the first step
GAPS = 0.45  # of the rest: work space of oneDNN, and freed blocks that no later one fits into


def foretell(plan):
    """Return the `MemoryPlan` of a planned run, for each process.

    On a CPU it is all that the process will take: what it has now and decoded pictures too. On a GPU it is what PyTorch
    allocates there.
    """
    config, counted = plan.now, plan_memory(plan.now, plan.device)
    if plan.device.type != "cpu":
        return counted
    decoded = len(plan.dataset) * config.channels * config.height * config.width
    other = (resident_memory() or 0) + LIBRARIES + (decoded if decoded <= KEEP_DECODED else 0)
    return plan_memory(config, plan.device, int(other + GAPS * counted.total))


def processes_here(gpus):
    """Return how many processes share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", gpus))


def tell_budget(plan, say):
    """Tell what a run is expected to take, and warn where that is more than there is.

    Args:
        plan: `Plan`.
        say: prints a line.
    Returns:
        `MemoryPlan`.
    """
    planned, free = foretell(plan), available_memory(plan.device)
    number = processes_here(plan.given.get("gpus", 1)) if plan.device.type == "cpu" else 1
    each = f", in each of {number} processes" if number > 1 else ""
    left = "" if free is None else f"; {free / 1e9:.1f} GB are free"
    say(f"Memory, foretold: {planned.describe()}{each}{left}")
    if free is not None and planned.total * number > free + (resident_memory() or 0 if plan.device.type == "cpu" else 0):
        auto = plan.now.batch_gpu_auto
        remedy = "fewer pictures are computed at a time" if auto else "say --batch-gpu auto, or a smaller --batch-gpu"
        say(f"Warning: that is more than is free: {remedy}.")
    pace = last_pace(plan.folder)
    if pace is not None:
        say(expected(plan.checkpoint["state"]["counters"]["nimg"], plan.now.kimg, pace) + ", at the run's pace so far")
    return planned


def last_pace(folder):
    """Return the seconds per kimg of a run's last tick of which stats.jsonl tells, None if it does not."""
    try:
        lines = (folder / "stats.jsonl").read_text(encoding="utf-8").splitlines() if folder is not None else []
        return float(json.loads(lines[-1])["Timing/sec_per_kimg"]["mean"]) if len(lines) > 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no such file, or half a line


def expected(nimg, kimg, pace):
    """Write how long the rest of a run takes: `25,000 kimg take about 4d 02h`."""
    left = max(kimg - nimg / 1000, 0)
    number = f"{left:,.0f}" if left >= 10 else f"{left:.3g}"
    return f"{number} kimg take about {duration(left * pace)}"


def fit_memory(plan, state):
    """With --batch-gpu auto, on a CPU: begin with as few pictures at a time as memory is likely to take, all processes alike.

    There the system gives more than it has, and then ends the process.
    """
    if not state.config.batch_gpu_auto or plan.device.type != "cpu":
        return
    size, free = state.config.batch_gpu, available_memory(plan.device)
    if state.world.is_first and free is not None:
        number = processes_here(plan.given.get("gpus", 1))
        size = fitting(state.config, plan.memory, (free + (resident_memory() or 0) * number) / number)
    change(state, "batch_gpu", state.world.broadcast(size), FORETOLD)


def fitting(config, planned, free):
    """Return how many pictures at a time fit into memory, as far as fewer train the same.

    Args:
        config: `TrainConfig`.
        planned: its `MemoryPlan`, from `foretell` for a CPU.
        free: bytes for one process, with what it has.
    """
    growing = planned.activations * (1 + GAPS) / config.batch_gpu
    fixed = planned.total - growing * config.batch_gpu
    while fixed + growing * config.batch_gpu > free and (size := smaller(config)) is not None:
        config = dataclasses.replace(config, batch_gpu=size)
    return config.batch_gpu


class Budget:
    """Tells, after the first steps, what a run really takes; and of each time that memory did not suffice.

    Args:
        planned: `MemoryPlan`, or None in processes that do not talk.
        say: prints a line.
        events: callable (kind, text, nimg, **facts).
    """

    def __init__(self, planned, say, events):
        self._planned, self._say, self._events = planned, say, events
        self._told, self._notes = planned is None, 0
        self._start = None  # (step, seconds, pictures, pictures at a time) where measuring began

    def __call__(self, state):
        """Call it after each step."""
        for note in state.changes[self._notes :]:
            if note["why"] in (WHY, FORETOLD) and note["nimg"] >= state.nimg - state.config.batch:
                text = f"Fewer pictures at a time: {describe(note)}"
                self._say(text)
                self._events("memory", text, state.nimg, batch_gpu=note["to"])
        self._notes = len(state.changes)
        now = (state.step, state.elapsed, state.nimg, state.config.batch_gpu)
        if self._told:
            return
        if self._start is None or self._start[3] != now[3]:
            self._start = now  # the first step is not measured: libraries are loaded and tried in it
        elif state.step - self._start[0] >= state.config.d_reg_interval:  # each kind of step as often as in the long run
            self._tell(state, (now[1] - self._start[1]) / (now[2] - self._start[2]) * 1000)

    def _tell(self, state, pace):
        self._told = True
        cpu, gpu = memory_gb(state.device)
        used, foretold = gpu if state.device.type == "cuda" else cpu, self._planned.total / 1e9
        text = f"Measured: memory {used:.2f} GB (foretold {foretold:.2f}), {pace:.2f} s/kimg: "
        text += expected(state.nimg, state.config.kimg, pace)
        self._say(text)
        self._events("memory", text, state.nimg, gb=used, foretold_gb=foretold, sec_per_kimg=pace)

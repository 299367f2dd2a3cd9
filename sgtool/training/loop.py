"""The training loop: steps, and at ticks the reports."""

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from sgtool.training.step import train_step


@dataclass
class Tick:
    """What happened since the last tick.

    Attributes:
        number: from 0; tick 0 ends after the first step.
        stats: {name: {"num", "mean", "std"}} of losses, scores and the like.
        images: real pictures shown.
        seconds: of training, reports left out.
        data_seconds: of these, waiting for data.
        report_seconds: {name: seconds} that the reports of the tick before took.
        is_snapshot: whether a snapshot is due.
        done: whether the run is complete.
    """

    number: int
    stats: dict
    images: int
    seconds: float
    data_seconds: float
    report_seconds: dict
    is_snapshot: bool
    done: bool


class Stop:
    """Catches Ctrl-C, SIGTERM and a closed terminal: the step is finished first. A second Ctrl-C interrupts at once."""

    def __init__(self):
        self.signal, self.is_asked = None, False

    def ask(self):
        """Let the run end after this step, without a signal; in all processes at the same step."""
        self.is_asked = True

    @contextmanager
    def listening(self):
        """Catch the signals inside the block."""
        names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last: a closed terminal; Windows has none
        before = {s: signal.getsignal(s) for s in (getattr(signal, name, None) for name in names) if s is not None}

        def note(number, frame):
            if self.signal is not None and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.signal = number

        for s in before:
            signal.signal(s, note)
        try:
            yield self
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    def agreed(self, world):
        """Whether any process was asked to stop; then all are."""
        if self.is_asked:
            return True
        if not world.any(self.signal is not None):
            return False
        self.signal = self.signal or signal.SIGTERM
        return True


class Clock:
    """Seconds of training, of waiting for data, and of reports since the last tick."""

    def __init__(self):
        self.seconds = self.data_seconds = 0.0
        self.reports = {}

    def step(self, start, ready, end):
        self.seconds, self.data_seconds = self.seconds + end - start, self.data_seconds + ready - start

    def timed(self, report, state, tick):
        """Call a report."""
        start = time.perf_counter()
        report(state, tick)
        name = getattr(report, "name", type(report).__name__)
        self.reports[name] = self.reports.get(name, 0.0) + time.perf_counter() - start


def run_loop(state, batches, augment, reports, stop, between=(), after=()):
    """Train until all pictures have been shown or a stop is asked for.

    Args:
        state: `TrainState`; its config may be another one after each step.
        batches: iterator of `Batch`, at the state's position.
        augment: callable (images, p, draws) -> images.
        reports: callables (state, tick), called in order at each tick; in other processes than the first those with
            `everywhere = True` only.
        stop: `Stop`; looked at after each step.
        between: callables (state), called in all processes after each step, before the tick that may end with it.
        after: callables (state), called in all processes after each step and its tick: a checkpoint may be written there.
    Returns:
        Whether the run is complete.
    """
    clock, world = Clock(), state.world
    reports = [report for report in reports if world.is_first or getattr(report, "everywhere", False)]
    hidden = None if world.is_first else True  # None: where no terminal is
    with tqdm(total=state.config.kimg * 1000, initial=state.nimg, unit="img", leave=False, disable=hidden, smoothing=0.05) as bar:
        while not state.done and not stop.agreed(world):
            start = time.perf_counter()
            batch = next(batches)
            ready = time.perf_counter()
            train_step(state, state.config, batch, augment)
            end = time.perf_counter()
            clock.step(start, ready, end)
            state.elapsed += end - start
            bar.update(state.config.batch)
            for hook in between:
                hook(state)
            if tick_is_due(state):
                clock = report_tick(state, reports, clock)
            for hook in after:
                hook(state)
    return state.done


def tick_is_due(state):
    """A tick ends after the first step, then every config.tick thousand pictures, and with the run."""
    return state.tick == 0 or state.done or state.nimg >= state.tick_start_nimg + state.config.tick * 1000


def report_tick(state, reports, clock):
    """End a tick: move the counters on first, so that a checkpoint made by a report is one from after the tick.

    Returns:
        The `Clock` of the next one, which knows how long the reports took.
    """
    images = state.nimg - state.tick_start_nimg
    is_snapshot = state.done or state.tick % state.config.snap == 0
    stats = state.meter.flush()
    tick = Tick(state.tick, stats, images, clock.seconds, clock.data_seconds, clock.reports, is_snapshot, state.done)
    state.tick, state.tick_start_nimg = state.tick + 1, state.nimg
    after = Clock()
    for report in reports:
        after.timed(report, state, tick)
    return after

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
        report_seconds: that the reports of the tick before took.
        is_snapshot: whether a snapshot is due.
        done: whether the run is complete.
    """

    number: int
    stats: dict
    images: int
    seconds: float
    data_seconds: float
    report_seconds: float
    is_snapshot: bool
    done: bool


class Stop:
    """Catches Ctrl-C, SIGTERM and a closed terminal: the step is finished first. A second Ctrl-C interrupts at once."""

    def __init__(self):
        self.signal = None

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


def run_loop(state, config, batches, augment, reports, stop):
    """Train until all pictures have been shown or a stop is asked for.

    Args:
        state: `TrainState`.
        config: `TrainConfig`.
        batches: iterator of `Batch`, at the state's position.
        augment: callable (images, p) -> images.
        reports: callables (state, tick), called in order at each tick.
        stop: `Stop`; looked at after each step.
    Returns:
        Whether the run is complete.
    """
    seconds = data_seconds = report_seconds = 0.0
    with tqdm(total=config.kimg * 1000, initial=state.nimg, unit="img", leave=False, disable=None, smoothing=0.05) as bar:
        while not state.done and stop.signal is None:
            start = time.perf_counter()
            batch = next(batches)
            ready = time.perf_counter()
            train_step(state, config, batch, augment)
            end = time.perf_counter()
            seconds, data_seconds = seconds + end - start, data_seconds + ready - start
            state.elapsed += end - start
            bar.update(config.batch)
            if tick_is_due(state, config):
                report_tick(state, config, reports, seconds, data_seconds, report_seconds)
                seconds, data_seconds, report_seconds = 0.0, 0.0, time.perf_counter() - end
    return state.done


def tick_is_due(state, config):
    """A tick ends after the first step, then every config.tick thousand pictures, and with the run."""
    return state.tick == 0 or state.done or state.nimg >= state.tick_start_nimg + config.tick * 1000


def report_tick(state, config, reports, seconds, data_seconds, report_seconds):
    """End a tick: move the counters on first, so that a checkpoint made by a report is one from after the tick."""
    images = state.nimg - state.tick_start_nimg
    is_snapshot = state.done or state.tick % config.snap == 0
    stats = state.meter.flush()
    tick = Tick(state.tick, stats, images, seconds, data_seconds, report_seconds, is_snapshot, state.done)
    state.tick, state.tick_start_nimg = state.tick + 1, state.nimg
    for report in reports:
        report(state, tick)

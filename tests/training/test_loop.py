"""The loop: ticks, reports, signals."""

import dataclasses
import os
import signal
import time

import pytest

from sgtool.distributed import ALONE, World
from sgtool.training import loop
from sgtool.training.loop import Stop, run_loop
from sgtool.training.meter import Meter


class State:
    """Counts pictures."""

    world_of = ALONE

    def __init__(self, config):
        self.config, self.meter, self.world = config, Meter(), self.world_of
        self.nimg = self.tick = self.tick_start_nimg = 0
        self.elapsed = 0.0

    @property
    def done(self):
        return self.nimg >= self.config.kimg * 1000


@pytest.fixture
def run(config, monkeypatch):
    """Function that runs a loop whose steps only count: (stop, reports, **config changes) -> (state, ticks, done)."""

    def step(state, config, batch, augment):
        state.nimg += config.batch
        state.meter.add("steps", 1)

    monkeypatch.setattr(loop, "train_step", step)

    def start(stop=None, reports=(), between=(), **changes):
        changed = dataclasses.replace(config, **{"batch": 32, "kimg": 1} | changes)
        state, ticks = State(changed), []
        reports = [lambda state, tick: ticks.append(tick), *reports]
        done = run_loop(state, iter(lambda: None, 0), None, reports, stop or Stop(), between)
        return state, ticks, done

    return start


def test_ticks_end_after_the_first_step_then_every_tick_and_with_the_run(run):
    seen = []
    state, ticks, done = run(reports=[lambda state, tick: seen.append(state.nimg)], tick=0.3, snap=2)
    assert done
    assert seen == [32, 352, 672, 992, 1024]
    assert [tick.number for tick in ticks] == [0, 1, 2, 3, 4]
    assert [tick.images for tick in ticks] == [32, 320, 320, 320, 32]
    assert [tick.stats["steps"]["num"] for tick in ticks] == [1, 10, 10, 10, 1]
    assert [tick.is_snapshot for tick in ticks] == [True, False, True, False, True]
    assert [tick.done for tick in ticks] == [False, False, False, False, True]


def test_the_last_tick_is_a_snapshot_whatever_its_number(run):
    _, ticks, _ = run(tick=0.5, snap=50)
    assert [tick.is_snapshot for tick in ticks] == [True, False, True]


def test_counters_are_moved_on_before_the_reports_so_that_a_checkpoint_is_one_after_the_tick(run):
    seen = []
    run(reports=[lambda state, tick: seen.append((state.tick, state.tick_start_nimg, state.meter.state_dict()))], tick=0.5)
    assert seen == [(1, 32, {}), (2, 544, {}), (3, 1024, {})]


def test_a_signal_ends_the_loop_after_the_step(run):
    stop = Stop()
    with stop.listening():
        state, _, done = run(stop, reports=[lambda state, tick: os.kill(os.getpid(), signal.SIGTERM)], tick=0.5)
    assert not done
    assert (stop.signal, state.nimg) == (signal.SIGTERM, 32)


def test_handlers_are_given_back_and_a_second_interrupt_ends_at_once():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_called_between_steps_may_change_the_configuration(run):
    def longer(state):
        if state.nimg == 64:
            state.config = dataclasses.replace(state.config, kimg=2)

    state, _, done = run(between=[longer], tick=0.5)
    assert done
    assert state.nimg == 2016


def test_it_is_known_how_long_each_report_took(run):
    class Slow:
        def __call__(self, state, tick):
            time.sleep(0.02)

    _, ticks, _ = run(reports=[Slow()], tick=0.5)
    assert ticks[0].report_seconds == {}
    assert ticks[1].report_seconds["Slow"] >= 0.02


def test_processes_that_write_nothing_call_reports_for_all_only(run, monkeypatch):
    class ForAll:
        everywhere, calls = True, 0

        def __call__(self, state, tick):
            self.calls += 1

    report = ForAll()
    monkeypatch.setattr(State, "world_of", World(rank=1))
    _, ticks, _ = run(reports=[report], tick=0.5)
    assert ticks == []
    assert report.calls == 3

"""Tasks in order, read ahead, stopped at once, in one process."""

import os
import signal
import threading
import time

import pytest
import torch

from sgtool.errors import UserError
from sgtool.measuring.rounds import Interrupted, by_all, by_the_first, in_rounds


def test_tasks_are_taken_in_their_order():
    took = []
    in_rounds([3, 1, 2], lambda task: task * 10, lambda task, result: took.append((task, result)))
    assert took == [(3, 30), (1, 10), (2, 20)]


@pytest.mark.parametrize("ahead", [0, 1, 3, 50])
def test_what_is_read_ahead_stays_in_order_and_is_no_more_than_asked_for(ahead):
    read, most, took = [], [], []

    def compute(value):
        most.append(len(read) - len(took))
        return value

    in_rounds(range(20), compute, lambda task, result: took.append(result), read=lambda n: read.append(n) or -n, ahead=ahead)
    assert took == [-n for n in range(20)]
    assert sorted(read) == list(range(20))
    assert max(most) <= ahead + 1


@pytest.mark.parametrize("where", ["read", "compute", "take"])
def test_an_error_ends_the_rounds(where):
    calls = []

    def fail(*args):
        calls.append(args)
        raise UserError("a picture cannot be read.")

    parts = {"read": lambda task: task, "compute": lambda task: task, "take": lambda task, result: None} | {where: fail}
    with pytest.raises(UserError, match="a picture cannot be read"):
        in_rounds(range(10), parts["compute"], parts["take"], read=parts["read"], ahead=2)
    assert len(calls) <= 3


def test_a_gpu_without_memory_is_an_error_to_tell():
    def full(task):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="The GPU's memory does not suffice"):
        in_rounds([1], full, lambda task, result: None)


def test_rounds_stop_when_they_are_asked_to():
    took = []
    with pytest.raises(Interrupted):
        in_rounds(range(100), int, lambda task, result: took.append(task), stop=lambda: len(took) >= 5)
    assert len(took) == 5


def test_a_signal_ends_a_long_computation_and_whoever_listens_hears_it():
    heard, before = [], signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    start = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            by_the_first(lambda: [time.sleep(0.01) for _ in range(3000)], stop=lambda: bool(heard))
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - start < 10


def test_a_process_alone_calls_what_all_would_call():
    assert by_all(lambda: 5) == by_the_first(lambda: 5) == 5
    with pytest.raises(UserError, match="no"):
        by_all(lambda: (_ for _ in ()).throw(UserError("no")))

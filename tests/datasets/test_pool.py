import functools
import os
import signal
import time

import pytest

from sgtool.datasets.pool import ENDING, IN_FLIGHT, Pool, cores
from sgtool.datasets.shards import Resumable


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers):
    with Pool(workers) as pool:
        assert list(pool.map(abs, range(0, -30, -1))) == list(range(30))


def test_only_a_few_jobs_are_in_flight():
    taken = []

    def jobs():
        for i in range(100):
            taken.append(i)
            yield i

    with Pool(2) as pool:
        results = pool.map(abs, jobs())
        assert next(results) == 0
        assert len(taken) <= 2 * IN_FLIGHT


def test_a_job_that_ends_its_worker_again_and_again_is_one_clear_sentence():
    with Pool(2) as pool, pytest.raises(Resumable, match="The worker process on 3 ended unexpectedly.*--workers 1"):
        list(pool.map(os._exit, [3]))


def die_once(job):
    """Kill this process the first time that the job is done."""
    number, flag = job
    if flag is not None and not os.path.exists(flag):
        with open(flag, "w", encoding="utf-8"):
            pass
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    return number


def test_a_worker_that_is_killed_is_replaced_and_no_result_is_lost(tmp_path):
    jobs = [(i, str(tmp_path / str(i)) if i in (3, 4, 17) else None) for i in range(30)]
    with Pool(2) as pool:
        assert list(pool.map(die_once, jobs)) == list(range(30))


def test_a_job_that_fails_raises_what_it_raised():
    with Pool(2) as pool, pytest.raises(ValueError, match="invalid literal"):
        list(pool.map(int, ["1", "x", "3"]))


def stop_in_the_middle():
    with Pool(2) as pool:
        results = pool.map(time.sleep, [0, 600, 600])
        next(results)
        raise KeyboardInterrupt


def test_workers_stop_at_once_when_the_caller_stops():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    assert time.monotonic() - start < 60


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_signals_wait_while_a_job_is_handed_over_and_reach_the_worker(monkeypatch):
    mask, masks = functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK), []
    with Pool(2) as pool:
        submit = pool._executor.submit
        monkeypatch.setattr(pool._executor, "submit", lambda *job: masks.append(mask([])) or submit(*job))
        assert list(pool.map(mask, [[], []])) == [set(), set()]
    assert masks == [mask([]) | ENDING] * 2
    assert not mask([]) & ENDING


def test_there_is_at_least_one_core():
    assert cores() >= 1

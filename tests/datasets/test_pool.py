import os

import pytest

from sgtool.datasets.pool import IN_FLIGHT, Pool, cores
from sgtool.errors import UserError


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


def test_a_worker_that_dies_is_one_clear_sentence():
    with Pool(2) as pool, pytest.raises(UserError, match="A worker process ended unexpectedly.*--workers 1"):
        list(pool.map(os._exit, [3]))


def test_there_is_at_least_one_core():
    assert cores() >= 1

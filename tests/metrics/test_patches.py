"""Patches that are never held all at once: against cutting them out one by one, and the threads that do it."""

import threading

import numpy as np
import pytest
import torch

from sgtool.metrics import patches, sliced_wasserstein, wasserstein
from sgtool.metrics.patches import PATCH, Workers, cut
from sgtool.metrics.pyramid import laplacian_pyramid

PLACES = [(np.array([0, 3, 9, 25]), np.array([1, 3, 0, 33])), (np.array([2, 7]), np.array([8, 0]))]


def pictures(number, channels=2, height=32, width=40, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [number, channels, height, width]).astype(np.uint8)


def one_by_one(images, level, ys, xs):
    """Normalised patches `[C * 49, n]` of one level, float64."""
    whole = laplacian_pyramid(images.astype(np.float32))[level].astype(np.float64)
    found = np.stack([image[:, y : y + PATCH, x : x + PATCH] for image in whole for y, x in zip(ys, xs, strict=True)])
    found -= found.mean(axis=(0, 2, 3), keepdims=True)
    found /= found.std(axis=(0, 2, 3), keepdims=True)
    return found.reshape(len(found), -1).T


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("number", [1, 5, 11])
def test_projections_are_those_of_patches_that_are_cut_out_one_by_one(threads, number, monkeypatch):
    monkeypatch.setattr(patches, "TILE", 4)
    monkeypatch.setattr(patches, "BLOCK", 3)
    monkeypatch.setattr(patches, "PART", 2 * 32 * 40 * 2)
    images = pictures(number)
    directions = np.random.RandomState(1).randn(6, 2 * PATCH * PATCH).astype(np.float32)
    with Workers(threads) as workers:
        for level, (found, place) in enumerate(zip(cut(images, PLACES, workers), PLACES, strict=True)):
            expected = directions @ one_by_one(images, level, *place)
            assert found.count == expected.shape[1]
            projected = found.along(directions, workers, "mine")
            np.testing.assert_allclose(np.sort(projected, axis=1), np.sort(expected, axis=1), atol=2e-4)


def test_the_distance_depends_neither_on_tiles_nor_on_threads_nor_on_what_is_held_at_once(monkeypatch):
    a, b = pictures(23), pictures(17, seed=1)
    expected = sliced_wasserstein(a, b, patches=20, projections=12)
    for module, name, value in (
        (patches, "TILE", 5),
        (patches, "BLOCK", 7),
        (wasserstein, "HELD", 2000),
        (wasserstein, "CACHED", 64),
    ):
        monkeypatch.setattr(module, name, value)
        assert sliced_wasserstein(a, b, patches=20, projections=12) == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert sliced_wasserstein(a, b, patches=20, projections=12) == pytest.approx(expected, rel=1e-6)


def test_workers_compute_with_one_thread_each_and_leave_the_others_as_they_were():
    def threads_of_a_new_one():
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        return found[0]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with Workers(2) as workers:
            assert set(workers.map(lambda _: torch.get_num_threads(), range(8))) == {1}
            assert torch.get_num_threads() == 2
        assert (torch.get_num_threads(), threads_of_a_new_one()) == (2, 2)
    finally:
        torch.set_num_threads(before)


def test_memory_is_used_again_under_its_name_and_grows_where_it_must():
    with Workers(1) as workers:
        first = workers.memory("a", [4, 5])
        assert np.shares_memory(first, workers.memory("a", [3, 2]))
        assert not np.shares_memory(first, workers.memory("b", [3, 2]))
        assert workers.memory("a", [40, 5]).shape == (40, 5)


def test_an_error_of_a_worker_comes_out():
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        workers.map(lambda n: 1 / n, [1, 0])

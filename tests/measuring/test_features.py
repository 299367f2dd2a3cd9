"""One pass over a set of pictures gives everything that is asked of it."""

import dataclasses

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.measuring import collectors
from sgtool.measuring.features import Need, gather
from sgtool.measuring.pictures import Made, Stored
from sgtool.metrics import mean_and_covariance


def rows_of(pictures, stub):
    return stub.features(torch.from_numpy(pictures)).numpy()


def counted(stub, seen):
    """The stub, noting how many pictures it looked at."""

    def look(pictures):
        seen.append(len(pictures))
        return stub.features(pictures)

    return dataclasses.replace(stub, features=look)


def test_all_kinds_come_from_one_look_at_each_picture(dataset, stub):
    source, seen = Stored(dataset), []
    source.at_once = 5
    eye = counted(stub, seen)
    needs = [
        Need("statistics", eye, "first", 12), Need("rows", eye, "first", 7), Need("probabilities", eye, "first", 12),
        Need("pictures", None, "random", 4), Need("rows", eye, "first", 7),
    ]  # fmt: skip
    found = gather(source, needs, seed=3)
    assert sum(seen) == 12
    pictures = dataset.batch(np.arange(12))
    rows = rows_of(pictures, stub)
    for ours, expected in zip(found[needs[0].key], mean_and_covariance(rows), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_array_equal(found[needs[1].key], rows[:7])
    np.testing.assert_allclose(found[needs[2].key], torch.softmax(torch.from_numpy(rows) / 50, 1).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found[needs[3].key], pictures[source.choose(4, "random", 3)])


def test_the_size_of_a_batch_does_not_matter(dataset, stub):
    results = []
    for size in (1, 5, 12):
        source = Stored(dataset)
        source.at_once = size
        need = Need("statistics", stub, "first", 12)
        results.append(gather(source, [need])[need.key])
    for mu, sigma in results[1:]:
        np.testing.assert_allclose(mu, results[0][0], rtol=1e-12)
        np.testing.assert_allclose(sigma, results[0][1], rtol=1e-9, atol=1e-9)


def test_a_smaller_count_of_made_pictures_is_the_beginning_of_a_larger_one(model, stub):
    small, large = Need("rows", stub, "first", 5), Need("rows", stub, "first", 40)
    alone = gather(Made(model), [small])[small.key]
    both = gather(Made(model), [small, large])
    np.testing.assert_array_equal(alone, both[large.key][:5])
    np.testing.assert_array_equal(both[small.key], alone)


@pytest.mark.parametrize("kind", ["statistics", "rows"])
def test_what_was_computed_is_taken_from_the_cache(dataset, stub, kind):
    seen = []
    need = Need(kind, counted(stub, seen), "first", 12)
    first = gather(Stored(dataset), [need], cached=True)[need.key]
    assert sum(seen) == 12
    again = gather(Stored(dataset), [need], cached=True)[need.key]
    assert sum(seen) == 12
    for a, b in zip(np.atleast_2d(first) if kind == "rows" else first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(need.detector, sha256="1" * 64)
    gather(Stored(dataset), [need._replace(detector=other)], cached=True)
    assert sum(seen) == 24


def test_a_random_sample_is_kept_by_its_seed(dataset, stub):
    need = Need("rows", stub, "random", 4)
    a, b, again = (gather(Stored(dataset), [need], seed=seed, cached=True)[need.key] for seed in (1, 2, 1))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, again)


def test_many_pictures_lie_in_a_file_and_are_the_same(dataset, monkeypatch):
    need = Need("pictures", None, "first", 12)
    in_memory = gather(Stored(dataset), [need])[need.key]
    monkeypatch.setattr(collectors, "IN_MEMORY", 1000)
    in_a_file = gather(Stored(dataset), [need])[need.key]
    assert isinstance(in_a_file, np.memmap)
    np.testing.assert_array_equal(in_a_file, in_memory)


def test_features_that_are_not_finite_name_the_picture(dataset, stub):
    def look(pictures):
        rows = stub.features(pictures)
        rows[rows[:, 0] == rows_of(dataset.batch([7]), stub)[0, 0]] = float("nan")
        return rows

    need = Need("statistics", dataclasses.replace(stub, features=look), "first", 12)
    with pytest.raises(UserError, match="stub gives numbers that are not finite for picture 7 of twelve"):
        gather(Stored(dataset), [need])


def test_a_detector_that_gives_no_rows_is_refused(dataset, stub):
    flat = dataclasses.replace(stub, features=lambda pictures: pictures.float().mean(dim=(1, 2, 3)))
    with pytest.raises(UserError, match=r"--detector stub: it gives \[12\] for 12 pictures"):
        gather(Stored(dataset), [Need("rows", flat, "first", 12)])


def test_means_and_covariances_depend_on_the_order_of_rows_alone(stub, monkeypatch):
    monkeypatch.setattr(collectors, "AT_ONCE", 16)
    rows = np.random.RandomState(0).randn(100, 6).astype(np.float32)
    found = []
    for sizes in ([100], [1] * 100, [33, 33, 34], [15, 70, 15]):
        collector = collectors.Statistics(100)
        for part in np.split(rows, np.cumsum(sizes)[:-1]):
            collector.add(part, stub)
        found.append(collector.result())
    for mu, sigma in found[1:]:
        np.testing.assert_array_equal(mu, found[0][0])
        np.testing.assert_array_equal(sigma, found[0][1])
    np.testing.assert_allclose(found[0][1], np.cov(rows.T, bias=True), atol=1e-12)


def test_a_cache_that_is_full_costs_a_warning_and_not_the_number(dataset, stub, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "file"))
    warned, need = [], Need("statistics", stub, "first", 12)
    found = gather(Stored(dataset), [need], cached=True, warn=warned.append)
    assert found[need.key][0].shape == (12,)
    assert warned[0].startswith("What was computed of twelve is not kept: ")

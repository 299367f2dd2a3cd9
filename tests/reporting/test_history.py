"""stats.jsonl becomes columns, and no extreme is lost when they are thinned."""

import json
import math

import numpy as np
import pytest

from sgtool.reporting.history import History, buckets, kimg_of, thin


def row(nimg, **means):
    return {name: {"num": 1, "mean": mean, "std": 0.0} for name, mean in means.items()} | {"nimg": nimg, "timestamp": 1.0}


def write(folder, *rows, mode="a"):
    with open(folder / "stats.jsonl", mode) as file:
        file.write("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in rows))


def test_a_column_has_a_value_for_each_tick_and_nan_where_none_was_told(tmp_path):
    write(tmp_path, row(1000, a=1.0), row(2000, b=5.0), row(3000, a=3.0))
    history = History(tmp_path)
    history.refresh()
    assert list(history.kimg) == [1, 2, 3]
    np.testing.assert_array_equal(history.column("a"), [1, np.nan, 3])
    np.testing.assert_array_equal(history.column("b"), [np.nan, 5, np.nan])
    assert history.column("c") is None
    assert history.last("a", 2) == 2.0
    assert math.isnan(history.last("c"))


def test_reading_in_parts_gives_what_reading_at_once_gives(tmp_path):
    rng = np.random.RandomState(0)
    at_once, in_parts = History(tmp_path), History(tmp_path)
    for part in range(5):
        write(tmp_path, *(row(1000 * (10 * part + i), a=rng.randn()) for i in range(10)))
        in_parts.refresh()
    at_once.refresh()
    np.testing.assert_array_equal(at_once.column("a"), in_parts.column("a"))
    assert len(at_once.column("a")) == 50


def test_after_going_back_the_later_rows_count(tmp_path):
    write(tmp_path, *(row(1000 * k, a=float(k)) for k in range(1, 6)))
    history = History(tmp_path)
    history.refresh()
    write(tmp_path, row(3000, a=30.0), row(4000, a=40.0))
    history.refresh()
    assert list(history.kimg) == [1, 2, 3, 4]
    np.testing.assert_array_equal(history.column("a"), [1, 2, 30, 40])


def test_a_file_that_was_written_anew_starts_over(tmp_path):
    write(tmp_path, *(row(1000 * k, a=float(k)) for k in range(1, 6)))
    history = History(tmp_path)
    history.refresh()
    write(tmp_path, row(1000, a=7.0), mode="w")
    history.refresh()
    np.testing.assert_array_equal(history.column("a"), [7])


def test_lines_that_are_none_are_counted_and_passed_over(tmp_path):
    write(tmp_path, "{half", row(1000, a=1.0), '"text"', row("soon", a=1.0), {"nimg": -5}, row(2000, a="x", b=[1]), mode="w")
    history = History(tmp_path)
    history.refresh()
    assert list(history.kimg) == [1, 2]
    assert history.unreadable == 4
    np.testing.assert_array_equal(history.column("a"), [1, np.nan])
    assert history.column("b") is None


def test_nvidias_rows_have_no_nimg():
    assert kimg_of({"Progress/kimg": {"mean": 8.0}}) == 8.0
    assert math.isnan(kimg_of({"Progress/kimg": 8.0}))


@pytest.mark.parametrize("n", [1, 599, 600, 601, 6250, 7001])
def test_thinning_keeps_the_mean_and_every_extreme(n):
    values = np.random.RandomState(n).randn(n)
    values[n // 3] = np.nan
    values[n // 2] = 50
    mean, low, high = thin(values, 600)
    assert len(mean) <= 600
    if low is None:
        assert mean is values
        return
    edges = [*buckets(n, 600), n]
    for i, (first, end) in enumerate(zip(edges, edges[1:], strict=False)):
        part = values[first:end][np.isfinite(values[first:end])]
        if len(part):
            np.testing.assert_allclose([mean[i], low[i], high[i]], [part.mean(), part.min(), part.max()])
        else:
            assert np.isnan([mean[i], low[i], high[i]]).all()
    assert np.nanmax(high) == 50

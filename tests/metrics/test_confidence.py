"""Bootstrap intervals: the normal approximation, coverage, repeatability."""

import numpy as np
import pytest

from sgtool.metrics import bootstrap_interval, confidence


def test_interval_of_many_values_is_the_normal_one():
    values = np.random.RandomState(0).randn(2000) + 5
    error = values.std() / np.sqrt(2000)
    low, high = bootstrap_interval(values, repeats=4000)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.15 * error)


def test_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.RandomState(1)
    intervals = [bootstrap_interval(random.exponential(size=200), level=0.8, repeats=200) for _ in range(200)]
    assert np.mean([low < 1 < high for low, high in intervals]) == pytest.approx(0.8, abs=0.1)


def test_seed_and_parts_decide_nothing_but_the_draw(monkeypatch):
    values = np.random.RandomState(2).randn(50)
    expected = bootstrap_interval(values)
    assert bootstrap_interval(values) == expected
    assert bootstrap_interval(values, seed=1) != expected
    monkeypatch.setattr(confidence, "CHUNK", 128)
    assert bootstrap_interval(values) == pytest.approx(expected, abs=0.1)


def test_values_that_agree_have_no_spread():
    assert bootstrap_interval([True] * 9) == (1, 1)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1.0], {}, "at least two"),
        ([1.0, np.nan], {}, "finite"),
        (np.ones([3, 3]), {}, r"\[3, 3\]"),
        ([1, 2], {"level": 1}, "level is 1"),
        ([1, 2], {"repeats": 0}, "repeats is 0"),
    ],
)
def test_what_has_no_interval_is_refused(values, options, words):
    with pytest.raises(ValueError, match=words):
        bootstrap_interval(values, **options)

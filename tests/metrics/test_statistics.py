"""Mean and covariance in parts: numpy's, whatever the parts, their order and the processes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.metrics import MeanAndCovariance, mean_and_covariance, statistics


def features(number=300, dimensions=7, seed=0, offset=0.0):
    random = np.random.RandomState(seed)
    return random.randn(number, dimensions) @ random.randn(dimensions, dimensions) + offset


def assert_equal_to_numpy(result, rows, rtol=1e-12):
    mu, sigma = result
    assert mu.dtype == sigma.dtype == np.float64
    np.testing.assert_allclose(mu, rows.mean(axis=0), rtol=rtol, atol=rtol)
    expected = np.cov(rows, rowvar=False, bias=True)
    np.testing.assert_allclose(sigma, expected, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("case", ["a", "b"])
def test_statistics_are_those_of_the_published_code(reference, case):
    for name in ("real", "gen"):
        mu, sigma = mean_and_covariance(reference[f"fid/{case}/{name}"])
        np.testing.assert_allclose(mu, reference[f"fid/{case}/mu_{name}"], atol=1e-12)
        np.testing.assert_allclose(sigma, reference[f"fid/{case}/cov_{name}"], atol=1e-11)


def test_covariance_is_divided_by_the_number_of_rows():
    assert_equal_to_numpy(mean_and_covariance(np.array([[0.0], [2.0]])), np.array([[0.0], [2.0]]))
    assert mean_and_covariance(np.array([[0.0], [2.0]]))[1] == [[1.0]]


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8), st.permutations(range(200)))
@settings(max_examples=30, deadline=None)
def test_neither_the_sizes_of_parts_nor_the_order_matter(cuts, order):
    rows = features(200)
    statistics_of = MeanAndCovariance()
    for part in np.split(rows[order], np.minimum(np.cumsum(cuts), 200)):
        statistics_of.add(part)
    assert statistics_of.count == 200
    assert_equal_to_numpy(statistics_of.result(), rows)


def test_what_processes_counted_is_merged_and_sent_as_a_state():
    rows = features(200)
    parts = [MeanAndCovariance().add(part) for part in np.split(rows, [10, 10, 150])]
    sent = [MeanAndCovariance().load_state_dict(part.state_dict()) for part in parts]
    total = MeanAndCovariance()
    for part in sent:
        total.merge(part)
    assert_equal_to_numpy(total.result(), rows)
    assert_equal_to_numpy(sent[0].result(), rows[:10])  # what was merged stays as it was


def test_a_large_common_mean_costs_no_digits():
    rows = features(500, offset=1e6)
    sigma = mean_and_covariance(np.array_split(rows, 7))[1]
    np.testing.assert_allclose(sigma, np.cov(rows - 1e6, rowvar=False, bias=True), rtol=1e-8)


def test_large_parts_are_cut_up(monkeypatch):
    monkeypatch.setattr(statistics, "CHUNK", 32)
    assert_equal_to_numpy(mean_and_covariance(features()), features())


def test_an_iterator_is_read_part_by_part():
    rows = features()
    assert_equal_to_numpy(mean_and_covariance(iter(np.split(rows, 3))), rows)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_any_float_type_is_counted_in_float64(kind):
    rows = torch.from_numpy(features()).to(kind)
    assert_equal_to_numpy(mean_and_covariance(rows), rows.double().numpy())


def test_the_input_is_left_as_it_was():
    rows = features()
    mean_and_covariance(rows)
    np.testing.assert_array_equal(rows, features())
    frozen = features()
    frozen.flags.writeable = False
    assert_equal_to_numpy(mean_and_covariance(frozen), rows)


def test_one_row_has_no_spread():
    mu, sigma = mean_and_covariance(np.array([[1.0, 2.0]]))
    assert mu.tolist() == [1, 2]
    assert not sigma.any()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros([0, 4]), "no features were added"),
        (np.zeros([4]), r"\[4\]; give \[N, D\]"),
        (np.zeros([4, 0]), r"\[4, 0\]; give \[N, D\]"),
        (np.full([4, 2], np.nan), "not finite"),
        (np.zeros([4, 2], np.uint8), "uint8; give floats"),
        (torch.zeros([4, 2], dtype=torch.int64), "torch.int64; give floats"),
        ([np.zeros([4, 2]), np.zeros([4, 3])], "3 columns cannot be added to features of 2"),
    ],
)
def test_what_has_no_statistics_is_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        mean_and_covariance(rows)

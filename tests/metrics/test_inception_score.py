"""Inception score: the published code's numbers, closed forms, splits."""

import numpy as np
import pytest
import torch

from sgtool.metrics import inception_score, inception_scores


def probabilities(number, classes, seed=0):
    values = np.exp(2 * np.random.RandomState(seed).randn(number, classes))
    return values / values.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("case", ["a", "b"])
def test_score_is_that_of_the_published_code(reference, case):
    mean, std = inception_score(reference[f"is/{case}/prob"], int(reference[f"is/{case}/num_splits"]))
    assert mean == pytest.approx(reference[f"is/{case}/mean"], rel=1e-6)
    assert std == pytest.approx(reference[f"is/{case}/std"], rel=1e-6)


def test_sure_and_evenly_spread_pictures_score_the_number_of_classes():
    assert inception_score(np.eye(7)[np.arange(70) % 7], splits=5) == pytest.approx((7, 0))


@pytest.mark.parametrize("probs", [np.full([20, 5], 0.2), np.eye(5)[np.zeros(20, int)]])
def test_unsure_pictures_and_one_class_alone_score_one(probs):
    assert inception_score(probs, splits=2) == pytest.approx((1, 0))


def test_score_of_two_half_sure_kinds_is_the_closed_form():
    # rows (q, 1 - q) and (1 - q, q): mean (1/2, 1/2), KL = log 2 + q log q + (1 - q) log(1 - q)
    q = 0.9
    expected = 2 * q**q * (1 - q) ** (1 - q)
    assert inception_score(np.array([[q, 1 - q], [1 - q, q]] * 10), splits=1) == pytest.approx((expected, 0))


def test_splits_are_consecutive_rows_that_cover_all():
    probs = probabilities(23, 4)
    scores = inception_scores(probs, 5)
    for i, score in enumerate(scores):
        part = probs[i * 23 // 5 : (i + 1) * 23 // 5]
        kl = (part * (np.log(part) - np.log(part.mean(axis=0)))).sum(axis=1)
        assert score == pytest.approx(np.exp(kl.mean()))
    assert inception_score(probs, 5) == pytest.approx((scores.mean(), scores.std()))


def test_types_give_the_same():
    probs = probabilities(40, 6)
    expected = inception_score(probs, 4)
    assert inception_score(torch.from_numpy(probs).float(), 4) == pytest.approx(expected, rel=1e-5)
    assert inception_score(torch.from_numpy(probs).half(), 4) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("probs", "splits", "words"),
    [
        (probabilities(5, 3), 10, "probs has 5 rows and needs at least 10"),
        (probabilities(5, 3), 0, "splits is 0"),
        (np.random.RandomState(0).randn(20, 3), 2, "not logits"),
        (probabilities(20, 3) * 2, 2, "not logits"),
        (np.full([20, 3], np.nan), 2, "not finite"),
    ],
)
def test_what_is_no_probability_is_refused(probs, splits, words):
    with pytest.raises(ValueError, match=words):
        inception_score(probs, splits)

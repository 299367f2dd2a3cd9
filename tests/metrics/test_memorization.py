"""Memorization: copies are found, honest samples are not accused, and the test is Mann and Whitney's."""

import numpy as np
import pytest
import scipy.stats

from sgtool.metrics import memorization
from sgtool.metrics.memorization import rank_z_score


def features(number, seed, scale=1.0):
    return (scale * np.random.RandomState(seed).randn(number, 5)).astype(np.float32)


TRAIN, UNSEEN, HONEST = features(400, 0), features(300, 1), features(500, 2)


def test_an_honest_generator_is_as_near_as_unseen_pictures():
    found = memorization(TRAIN, HONEST, UNSEEN, percentile=5)
    assert abs(found.copying) < 3
    assert found.near_share == pytest.approx(0.05, abs=0.03)
    assert found.distance_ratio == pytest.approx(1, abs=0.1)


def test_copies_are_found_and_named():
    copied = np.random.RandomState(3).randint(400, size=200)
    found = memorization(TRAIN, TRAIN[copied], UNSEEN)
    assert found.copying < -10
    assert found.near_share == 1
    assert found.distance_ratio == 0
    assert not found.distances.any()
    assert found.indices.tolist() == copied.tolist()


def test_a_few_copies_hide_from_the_test_but_not_from_the_share():
    fake = np.concatenate([TRAIN[:25] + features(25, 4, 0.01), HONEST[:475]])
    found = memorization(TRAIN, fake, UNSEEN, percentile=1)
    assert found.copying > -3
    assert found.near_share >= 0.05
    assert (found.distances[:25] < found.threshold).all()


def test_an_underfitted_generator_is_farther_away():
    found = memorization(TRAIN, features(300, 5, scale=3), UNSEEN)
    assert found.copying > 3
    assert found.distance_ratio > 1.5


def test_without_unseen_pictures_training_pictures_are_held_against_the_others():
    found = memorization(TRAIN, HONEST)
    distances = np.linalg.norm(TRAIN[:, None] - TRAIN, axis=2)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(found.baseline, distances.min(axis=1), rtol=1e-6)
    assert abs(found.copying) < 4
    assert memorization(TRAIN, TRAIN[:100]).copying < -10


def test_threshold_is_the_percentile_of_unseen_distances():
    found = memorization(TRAIN, HONEST, UNSEEN, percentile=10)
    assert found.threshold == pytest.approx(np.percentile(found.baseline, 10))
    assert found.near_share == (found.distances < found.threshold).mean()


def test_copies_among_the_unseen_leave_no_ratio():
    assert np.isnan(memorization(TRAIN, HONEST, TRAIN[:50]).distance_ratio)


@pytest.mark.parametrize(("m", "n", "levels"), [(30, 40, 1000), (50, 20, 4), (7, 7, 2)])
def test_score_is_that_of_scipys_test(m, n, levels):
    random = np.random.RandomState(m)
    a, b = random.randint(levels, size=m), random.randint(levels, size=n)
    p = scipy.stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False, alternative="less").pvalue
    assert scipy.stats.norm.cdf(rank_z_score(a, b)) == pytest.approx(p, rel=1e-6)


def test_equal_values_score_zero():
    assert rank_z_score([1, 1, 1], [1, 1]) == 0
    assert rank_z_score([1], [1]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((TRAIN, HONEST[:0]), "fake has 0 rows"),
        ((TRAIN[:1], HONEST), "train has 1 rows and needs at least 2"),
        ((TRAIN, HONEST[:, :3]), "train has 5 columns and fake has 3"),
        ((TRAIN, HONEST, UNSEEN[:, :3]), "held_out has 3 columns and train has 5"),
        ((TRAIN, HONEST, UNSEEN, 0), "percentile is 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        memorization(*arguments)

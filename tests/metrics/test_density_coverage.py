"""Density and coverage: the definition, what is expected of equal sets, and outliers."""

import numpy as np
import pytest

from sgtool.metrics import density_coverage, density_coverage_hits, precision_recall


def features(number, seed, scale=1.0, shift=0.0, dimensions=4):
    return (scale * np.random.RandomState(seed).randn(number, dimensions) + shift).astype(np.float32)


@pytest.mark.parametrize("k", [1, 5])
def test_numbers_are_the_definition(k):
    real, fake = features(60, 0), features(45, 1, shift=0.4)
    own = np.sort(np.linalg.norm(real[:, None] - real, axis=2), axis=1)[:, k]
    inside = np.linalg.norm(real[:, None] - fake, axis=2) <= own[:, None]
    assert density_coverage(real, fake, k) == pytest.approx((inside.sum() / (k * 45), inside.any(axis=1).mean()))


def test_equal_distributions_have_density_one_and_the_expected_coverage():
    density, coverage = density_coverage(features(2000, 0), features(2000, 1))
    assert density == pytest.approx(1, abs=0.06)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_a_collapsed_generator_is_dense_and_covers_little():
    density, coverage = density_coverage(features(500, 0), features(500, 1, scale=0.01))
    assert density > 1
    assert coverage < 0.2


def test_a_generated_outlier_claims_recall_but_no_coverage():
    real, fake = features(300, 0), features(300, 1, shift=8)
    fake[:5] = features(5, 2, scale=30)
    assert precision_recall(real, fake)[1] > 0.9
    assert density_coverage(real, fake)[1] < 0.1


def test_terms_have_the_numbers_as_means():
    real, fake = features(50, 0), features(40, 1)
    held, covered = density_coverage_hits(real, fake)
    assert (len(held), len(covered)) == (40, 50)
    assert density_coverage(real, fake) == (float(held.mean()), float(covered.double().mean()))


def test_one_generated_row_is_enough_but_six_real_ones_are_needed():
    assert density_coverage(features(6, 0), features(1, 1, scale=0)) >= (0, 0)
    with pytest.raises(ValueError, match="real has 5 rows and needs at least 6"):
        density_coverage(features(5, 0), features(9, 1))

"""Principal components recover a covariance that was planted."""

import numpy as np

from sgtool.latents.editing.ganspace import principal_components, signed
from sgtool.latents.editing.spread import Moments, Spread, spread_of_w


def planted():
    """Axes `[6, 6]` and standard deviations of a Gaussian, and 40,000 samples of it, far from 0."""
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=[6, 6]))
    deviations = np.array([5, 3, 2, 1, 0.5, 0.1])
    rows = np.random.default_rng(1).normal(size=[40_000, 6]) * deviations @ axes.T + 50
    moments = Moments(6)
    for part in np.array_split(rows, 7):
        moments.add(part)
    return axes.T, deviations, Spread(moments.mean, moments.covariance(), len(rows))


def test_components_recover_a_planted_covariance():
    axes, deviations, spread = planted()
    vectors, variances = principal_components(spread, 4)
    np.testing.assert_allclose(np.abs(np.sum(vectors * axes[:4], axis=1)), 1, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(variances), deviations[:4], rtol=0.02)
    np.testing.assert_allclose(spread.along(vectors), np.sqrt(variances), rtol=1e-10)


def test_components_are_orthonormal_and_uncorrelated(model):
    spread = spread_of_w(model, 2000)
    vectors, variances = principal_components(spread, 16)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(16), atol=1e-10)
    np.testing.assert_allclose(vectors @ spread.covariance @ vectors.T, np.diag(variances), atol=1e-8)
    np.testing.assert_allclose(variances.sum(), np.trace(spread.covariance), rtol=1e-8)


def test_the_sign_of_a_direction_does_not_hang_on_chance():
    vectors = np.array([[0.6, -0.8], [0.8, 0.6]])
    np.testing.assert_array_equal(signed(vectors), signed(-vectors))
    np.testing.assert_array_equal(signed(vectors), [[-0.6, 0.8], [0.8, 0.6]])

"""Frechet distance: closed forms, the published code's numbers, singular covariances, and what is no covariance."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.metrics import frechet_distance, frechet_distance_of, mean_and_covariance


def covariance(dimensions, seed, rank=None):
    """A covariance matrix of the given rank (full if not told)."""
    factor = np.random.RandomState(seed).randn(dimensions, dimensions if rank is None else rank)
    return factor @ factor.T / dimensions


@pytest.mark.parametrize("case", ["a", "b"])
def test_distance_is_that_of_the_published_code(reference, case):
    arguments = [reference[f"fid/{case}/{name}"] for name in ("mu_real", "cov_real", "mu_gen", "cov_gen")]
    assert frechet_distance(*arguments) == pytest.approx(reference[f"fid/{case}/value"], rel=1e-7)


@pytest.mark.parametrize("case", ["a", "b"])
def test_distance_of_features_is_that_of_the_published_code(reference, case):
    real, fake = reference[f"fid/{case}/real"], reference[f"fid/{case}/gen"]
    assert frechet_distance_of(real, fake) == pytest.approx(reference[f"fid/{case}/value"], rel=1e-7)


def test_equal_covariances_leave_the_squared_distance_of_the_means():
    sigma, step = covariance(20, 0), np.linspace(-1, 2, 20)
    assert frechet_distance(np.zeros(20), sigma, step, sigma) == pytest.approx((step**2).sum(), rel=1e-12)


def test_commuting_covariances_leave_the_squared_distance_of_their_roots():
    # sigma_i = Q diag(s_i^2) Q^T: sum of (s1 - s2)^2
    q = np.linalg.qr(np.random.RandomState(1).randn(12, 12))[0]
    s1, s2 = np.linspace(0, 3, 12), np.linspace(2, 0.5, 12)
    distance = frechet_distance(np.zeros(12), q * s1**2 @ q.T, np.zeros(12), q * s2**2 @ q.T)
    assert distance == pytest.approx(((s1 - s2) ** 2).sum(), rel=1e-12)


def test_one_dimension_is_the_difference_of_means_and_of_deviations():
    assert frechet_distance([1.0], [[4.0]], [-2.0], [[25.0]]) == pytest.approx(3**2 + 3**2)


def test_trace_is_that_of_scipys_matrix_root():
    a, b = covariance(15, 2), covariance(15, 3)
    expected = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert frechet_distance(np.zeros(15), a, np.zeros(15), b) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_lose_no_digits():
    # in orthogonal subspaces nothing is shared: the cross term is 0, where a plain matrix root leaves 1e-8 for each eigenvalue
    q = np.linalg.qr(np.random.RandomState(4).randn(40, 40))[0]
    a, b = q[:, :10] @ q[:, :10].T, 3 * q[:, 20:25] @ q[:, 20:25].T
    assert frechet_distance(np.zeros(40), a, np.zeros(40), b) == pytest.approx(10 + 15, rel=1e-12)
    assert frechet_distance(np.zeros(40), a, np.zeros(40), a) == pytest.approx(0, abs=1e-12)


def test_a_point_against_a_gaussian_is_its_trace():
    sigma = covariance(6, 5)
    assert frechet_distance(np.zeros(6), np.zeros([6, 6]), np.zeros(6), sigma) == pytest.approx(np.trace(sigma))


@given(st.integers(1, 8), st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_distance_is_symmetric_scales_with_the_square_and_ignores_rotation(dimensions, seed, scale):
    random = np.random.RandomState(seed)
    mu1, mu2 = random.randn(2, dimensions)
    sigma1, sigma2 = covariance(dimensions, seed), covariance(dimensions, seed + 1, rank=max(1, dimensions - 2))
    distance = frechet_distance(mu1, sigma1, mu2, sigma2)
    close = pytest.approx(distance, rel=1e-7, abs=1e-9)
    assert frechet_distance(mu2, sigma2, mu1, sigma1) == close
    q = np.linalg.qr(random.randn(dimensions, dimensions))[0]
    assert frechet_distance(q @ mu1, q @ sigma1 @ q.T, q @ mu2, q @ sigma2 @ q.T) == close
    larger = frechet_distance(scale * mu1, scale**2 * sigma1, scale * mu2, scale**2 * sigma2)
    assert larger / scale**2 == close


def test_samples_of_known_gaussians_come_near_their_distance():
    random = np.random.RandomState(0)
    a, b = random.randn(50_000, 4), 2 * random.randn(50_000, 4) + 1
    assert frechet_distance_of(a, b) == pytest.approx(4 + 4, rel=0.02)


def test_tensors_and_arrays_and_types_give_the_same():
    features = np.random.RandomState(0).randn(60, 5).astype(np.float32)
    mu, sigma = mean_and_covariance(features)
    expected = frechet_distance(mu, sigma, mu + 1, 2 * sigma)
    tensors = [torch.from_numpy(x) for x in (mu, sigma, mu + 1, 2 * sigma)]
    assert frechet_distance(*tensors) == expected
    assert frechet_distance(*(x.float() for x in tensors)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 0], np.eye(3), [0, 0, 0], np.eye(3)), r"mu1 \[2\] and sigma1 \[3, 3\] must be"),
        (([0, 0], np.eye(2), [0, 0, 0], np.eye(3)), "one detector for both"),
        (([0, np.nan], np.eye(2), [0, 0], np.eye(2)), "mu1 or sigma1 holds values that are not finite"),
        (([0, 0], np.eye(2), [0, 0], [[1, np.inf], [0, 1]]), "mu2 or sigma2 holds"),
        (([0, 0], [[1, 0.5], [0, 1]], [0, 0], np.eye(2)), "sigma1 is not symmetric"),
        (([0, 0], np.eye(2), [0, 0], np.diag([1, -0.01])), "sigma2 has the eigenvalue -0.01 beside 1"),
    ],
)
def test_what_is_no_gaussian_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        frechet_distance(*arguments)


def test_rounding_of_a_float32_covariance_is_not_refused():
    sigma = covariance(30, 6, rank=5).astype(np.float32)
    assert frechet_distance(np.zeros(30), sigma, np.zeros(30), sigma) == pytest.approx(0, abs=1e-4)

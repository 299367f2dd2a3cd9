"""Directions from samples: principal components of W, GANSpace (Härkönen et al. 2020)."""

import numpy as np


def principal_components(spread, number):
    """Return the directions along which w varies most.

    w = mapping(z) is sampled; the directions are the eigenvectors of its covariance (section 2.2), and an edit is
    w + x * standard deviation * direction.

    Args:
        spread: `Spread` of W.
        number: how many, at most w_dim.
    Returns:
        directions `[number, w_dim]` float64, orthonormal, and the variances along them `[number]`, largest first.
    """
    values, vectors = np.linalg.eigh(spread.covariance)
    return signed(vectors[:, ::-1].T[:number]), np.maximum(values[::-1][:number], 0)


def signed(vectors):
    """Turn each of `vectors` `[K, w_dim]` so that its largest number is positive: an eigenvector may point either way."""
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, np.newaxis], axis=1)
    return vectors * np.where(largest < 0, -1, 1)

"""Frechet distance of two Gaussians: the D of FID."""

import numpy as np
import torch

from sgtool.metrics.statistics import mean_and_covariance

LOST = 1e-5  # of the largest eigenvalue: a negative one within it is rounding, beyond it the matrix is no covariance


def frechet_distance(mu1, sigma1, mu2, sigma2):
    """Return the squared Frechet distance of the Gaussians N(mu1, sigma1) and N(mu2, sigma2).

    |mu1 - mu2|^2 + trace(sigma1 + sigma2 - 2 (sigma1 sigma2)^(1/2)). Dowson and Landau (1982), equation 16; for features of
    pictures Heusel et al. (2017), equation 6, where it is called FID.

    The last trace is that of (sigma1^(1/2) sigma2 sigma1^(1/2))^(1/2), a symmetric matrix, and so the sum of the singular
    values of sigma1^(1/2) sigma2^(1/2): real by construction, and exact to rounding where covariances are singular, as with
    fewer pictures than features. Eigenvalues of a covariance that are zero but for rounding are left out.

    Args:
        mu1, mu2: `[D]` means, arrays or tensors.
        sigma1, sigma2: `[D, D]` covariances (how they are normalised is the caller's choice; FID divides by N).
    Returns:
        float, at least 0; 0 for equal Gaussians, but for rounding (about 1e-13 of the traces).
    Raises:
        ValueError: shapes that do not belong together, values that are not finite, a covariance that is not symmetric, or that
            has an eigenvalue below -1e-5 of its largest.
    """
    mu1, sigma1 = _gaussian(mu1, sigma1, "1")
    mu2, sigma2 = _gaussian(mu2, sigma2, "2")
    if mu1.shape != mu2.shape:
        raise ValueError(f"mu1 has {len(mu1)} numbers and mu2 has {len(mu2)}; use one detector for both.")
    product = _root_factor(sigma1, "sigma1").T @ _root_factor(sigma2, "sigma2")
    cross = torch.linalg.svdvals(product).sum() if product.numel() else torch.zeros([])
    between = (mu1 - mu2).square().sum()
    return max(0.0, float(between + (sigma1.trace() + sigma2.trace() - 2 * cross)))


def frechet_distance_of(a, b):
    """Return `frechet_distance` of the Gaussians fitted to two sets of features `[N, D]`, covariances divided by N."""
    return frechet_distance(*mean_and_covariance(a), *mean_and_covariance(b))


def _gaussian(mu, sigma, number):
    mu, sigma = (torch.from_numpy(np.array(_on_cpu(x), np.float64)) for x in (mu, sigma))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not len(mu):
        raise ValueError(f"mu{number} {list(mu.shape)} and sigma{number} {list(sigma.shape)} must be [D] and [D, D].")
    if not (torch.isfinite(mu).all() and torch.isfinite(sigma).all()):
        raise ValueError(f"mu{number} or sigma{number} holds values that are not finite.")
    if (sigma - sigma.T).abs().max() > LOST * sigma.abs().max():
        raise ValueError(f"sigma{number} is not symmetric, so it is no covariance.")
    return mu, (sigma + sigma.T) / 2


def _on_cpu(values):
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _root_factor(sigma, name):
    """Return R `[D, rank]` with R R^T = sigma: eigenvectors times the roots of their eigenvalues."""
    values, vectors = torch.linalg.eigh(sigma)
    largest = values.abs().max()
    if values[0] < -LOST * largest:
        raise ValueError(f"{name} has the eigenvalue {values[0]:.3g} beside {largest:.3g}, so it is no covariance.")
    present = values > len(values) * torch.finfo(values.dtype).eps * largest
    return vectors[:, present] * values[present].sqrt()

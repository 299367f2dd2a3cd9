"""Kernel distance of two sets of features: the D of KID."""

import numpy as np
import torch

from sgtool.metrics.rows import as_row_pair

TILE = 2048  # rows whose kernel values are held at once


def kernel_distance(a, b, subset_size=1000, num_subsets=100, seed=0):
    """Return the squared maximum mean discrepancy of two sets of features, with a cubic kernel: KID, not times 1000.

    The mean of `kernel_distances`, which see.
    """
    return float(kernel_distances(a, b, subset_size, num_subsets, seed).mean())


def kernel_distances(a, b, subset_size=1000, num_subsets=100, seed=0):
    """Return the squared maximum mean discrepancy of random subsets of two sets of features, one value for each subset.

    With k(u, v) = (u.v / D + 1)^3: the mean of k over ordered pairs of different rows of a, plus the same for b, minus twice
    the mean over all pairs of one of a and one of b. Unbiased: negative values occur when the sets are alike.
    Binkowski et al. (2018), "Demystifying MMD GANs", section 4 and equation 4; subsets of 1,000, and 100 of them, as in the
    published code. Computed in float64.

    Args:
        a, b: `[N, D]` arrays or tensors of any float type; the two N may differ.
        subset_size: rows drawn from each set, without replacement; None = both sets whole, of any two sizes: one value,
            which depends on no seed.
        num_subsets: how often; not used for whole sets.
        seed: of the draws.
    Returns:
        `[num_subsets]` float64 array. Its standard deviation / sqrt(num_subsets) is what the mean owes to the draw of subsets.
    Raises:
        ValueError: fewer than two rows, fewer rows than `subset_size`, other widths, or values that are not finite.
    """
    a, b = as_row_pair(a, b, at_least=(2, 2))
    if subset_size is None:
        return np.array([_distance(a, b)])
    if not 2 <= subset_size <= min(len(a), len(b)):
        smaller = min(len(a), len(b))
        raise ValueError(f"subset_size is {subset_size}; give 2 to {smaller}, as the smaller set has, or None: whole sets.")
    if num_subsets < 1:
        raise ValueError(f"num_subsets is {num_subsets}; draw at least one.")
    random = np.random.default_rng(seed)
    values = []
    for _ in range(num_subsets):
        drawn = [torch.from_numpy(random.choice(len(rows), subset_size, replace=False)).to(rows.device) for rows in (a, b)]
        values.append(_distance(a[drawn[0]], b[drawn[1]]))
    return np.array(values)


def _distance(a, b):
    """The unbiased estimate from all rows of both sets."""
    n, m = len(a), len(b)
    within = _sum_within(a) / (n * (n - 1)) + _sum_within(b) / (m * (m - 1))
    return within - 2 * _sum_between(a, b) / (n * m)


def _sum_within(rows):
    """Sum of k over ordered pairs of different rows; each tile above the diagonal counts twice."""
    parts = rows.split(TILE)
    total = 0.0
    for i, part in enumerate(parts):
        part = part.double()
        kernel = _kernel(part, part)
        total += float(kernel.sum() - kernel.diagonal().sum())
        total += 2 * sum(float(_kernel(part, other.double()).sum()) for other in parts[i + 1 :])
    return total


def _sum_between(a, b):
    return sum(float(_kernel(x, y.double()).sum()) for x in map(torch.Tensor.double, a.split(TILE)) for y in b.split(TILE))


def _kernel(u, v):
    return (u @ v.T).div_(u.shape[1]).add_(1).pow_(3)

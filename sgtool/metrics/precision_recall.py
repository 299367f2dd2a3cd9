"""Precision and recall of generated pictures: do they lie among the real ones, and do the real ones lie among them."""

from sgtool.metrics.neighbours import count_inside, nearest
from sgtool.metrics.rows import as_row_pair


def precision_recall(real, fake, k=3):
    """Return precision and recall of generated features.

    Each set's manifold is the union of spheres about its rows, whose radius is the distance to the k-th nearest other row of
    that set. Precision is the share of `fake` inside the manifold of `real`, recall the share of `real` inside the manifold of
    `fake`; the surface belongs to a sphere. Kynkaanniemi et al. (2019), "Improved Precision and Recall Metric for Assessing
    Generative Models", equations 1 and 2; k = 3 as published (with 50,000 rows each: pr50k3).

    Distances are rounded to float32, as they are in the published code; the 16 bits to which that rounds the features
    are not followed.

    Args:
        real, fake: `[N, D]` and `[M, D]` arrays or tensors of any float type, more than k rows each.
        k: which neighbour gives the radius.
    Returns:
        (precision, recall), each in 0..1. A generator that makes one good picture again and again has high precision and low
        recall.
    Raises:
        ValueError: too few rows for k, other widths, or values that are not finite.
    """
    precise, recalled = precision_recall_hits(real, fake, k)
    return float(precise.double().mean()), float(recalled.double().mean())


def precision_recall_hits(real, fake, k=3):
    """Return which rows of `fake` lie inside the real manifold, and which of `real` inside the generated one.

    Their means are precision and recall; `bootstrap_interval` of either tells what its rows owe to chance, the manifold given.

    Returns:
        (bool tensor `[M]`, bool tensor `[N]`).
    """
    real, fake = checked(real, fake, k)
    inside_real, inside_fake = count_inside(real, fake, radii(real, k), radii(fake, k))
    return inside_real.spheres > 0, inside_fake.spheres > 0


def checked(real, fake, k, fake_at_least=None):
    """Return both sets as tensors: the real rows, and unless told otherwise the generated ones, have a k-th neighbour."""
    if k < 1:
        raise ValueError(f"k is {k}; the nearest other row is k = 1.")
    return as_row_pair(real, fake, ("real", "fake"), (k + 1, k + 1 if fake_at_least is None else fake_at_least))


def radii(rows, k):
    """Distance from each row of a tensor to the k-th nearest other: `[N]` float32."""
    return nearest(rows, rows, k)[0][:, -1]

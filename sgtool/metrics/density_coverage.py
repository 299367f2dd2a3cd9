"""Density and coverage: precision and recall that outliers move less."""

from sgtool.metrics.neighbours import count_inside
from sgtool.metrics.precision_recall import checked, radii


def density_coverage(real, fake, k=5):
    """Return density and coverage of generated features.

    About each real row is a sphere whose radius is the distance to its k-th nearest other real row. Density is the mean over
    `fake` of the number of spheres that a row lies in, divided by k. Coverage is the share of spheres that hold at least one
    row of `fake`. Naeem et al. (2020), "Reliable Fidelity and Diversity Metrics for Generative Models", equations 5 and 6; k = 5
    as published. Only real rows have spheres, so a generated outlier cannot claim a region, as it can in recall.

    Args:
        real, fake: `[N, D]` and `[M, D]` arrays or tensors of any float type; more than k real rows.
        k: which neighbour gives the radius.
    Returns:
        (density, coverage): density at least 0, near 1 for equal distributions, above where samples crowd into dense regions;
        coverage in 0..1; for equal distributions and N = M about 1 - 2^-k (equation 9 for many rows).
    Raises:
        ValueError: too few rows for k, other widths, or values that are not finite.
    """
    held, covered = density_coverage_hits(real, fake, k)
    return float(held.double().mean()), float(covered.double().mean())


def density_coverage_hits(real, fake, k=5):
    """Return the terms whose means are density and coverage: float64 tensor `[M]` and bool tensor `[N]`."""
    real, fake = checked(real, fake, k, fake_at_least=1)
    inside, _ = count_inside(real, fake, radii(real, k))
    return inside.spheres.double() / k, inside.points > 0

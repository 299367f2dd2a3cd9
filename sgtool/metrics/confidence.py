"""How far a number may be off by chance: bootstrap over what it is the mean of."""

import numpy as np

CHUNK = 1 << 22  # numbers drawn at once


def bootstrap_interval(values, level=0.95, repeats=1000, seed=0):
    """Return the percentile bootstrap interval of the mean of independent values.

    The values are drawn anew, with replacement, as many as there are; the mean of each such draw is taken; the interval holds
    the middle `level` of those means. Efron (1979); Efron and Tibshirani (1993), section 13.3.

    Args:
        values: `[N]`, one for each sample: whether it lies inside (precision), a path length, a subset's kernel distance.
        level: share of the draws within, above 0 and below 1.
        repeats: number of draws.
        seed: of the draws.
    Returns:
        (low, high) floats.
    Raises:
        ValueError: fewer than two values, values that are not finite, or a level that is no share.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"values of the shape {list(values.shape)} have no interval; give at least two finite numbers [N].")
    if not 0 < level < 1 or repeats < 1:
        raise ValueError(f"level is {level} and repeats is {repeats}; give a level between 0 and 1 and at least one repeat.")
    random = np.random.default_rng(seed)
    step = max(1, CHUNK // len(values))
    means = [
        values[random.integers(len(values), size=[min(step, repeats - first), len(values)])].mean(axis=1)
        for first in range(0, repeats, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

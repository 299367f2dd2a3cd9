"""Does a generator repeat its training pictures? Distances to them, beside those of pictures it never saw."""

from typing import NamedTuple

import numpy as np
import scipy.stats

from sgtool.metrics.neighbours import nearest
from sgtool.metrics.rows import as_row_pair, as_rows


class Memorization(NamedTuple):
    """What `memorization` finds.

    Attributes:
        copying: z-score of the three-sample test; below about -3: nearer to the training pictures than chance allows; near 0:
            as near as unseen pictures; above 3: farther from them (underfitted).
        near_share: share of generated rows nearer to a training row than `percentile` percent of the unseen rows are.
            Expected without memorization: percentile / 100.
        distance_ratio: median over generated rows of the distance to the nearest training row, divided by the same
            median of unseen rows; 1 without memorization, 0 for copies (nan if the unseen ones are copies themselves).
        threshold: the distance that `near_share` counts up to.
        distances: `[M]` float32, from each generated row to its nearest training row.
        indices: `[M]` int64, which training row that is.
        baseline: float32, the distances of the unseen rows.
    """

    copying: float
    near_share: float
    distance_ratio: float
    threshold: float
    distances: np.ndarray
    indices: np.ndarray
    baseline: np.ndarray


def memorization(train, fake, held_out=None, percentile=1):
    """Compare how near generated and unseen pictures come to the training pictures, by the nearest neighbour's distance.

    copying: of all pairs of one generated and one unseen row, the number in which the generated one is the farther (ties count
    half) is the Mann-Whitney statistic U; z = (U - mn/2) / sqrt(variance of U under equal distributions, corrected for ties).
    Meehan, Chaudhuri and Dasgupta (2020), "A Non-Parametric Test to Detect Data-Copying in Generative Models", section 3.1,
    with the whole space as one cell: copies in one region can hide behind underfitting in another, which near_share shows.

    Args:
        train: `[N, D]` features that the generator was trained on.
        fake: `[M, D]` generated features.
        held_out: `[K, D]` features of pictures of the same kind that it was not trained on. None: each training row against the
            others, which calls a generator innocent too easily where the dataset holds near copies, and has N - 1 to be near to.
        percentile: of unseen distances, above 0 and below 100, that near_share is counted at.
    Returns:
        Memorization.
    Raises:
        ValueError: no rows, other widths, values that are not finite, or a percentile that is none.
    """
    if not 0 < percentile < 100:
        raise ValueError(f"percentile is {percentile}; give one above 0 and below 100.")
    train, fake = as_row_pair(train, fake, ("train", "fake"), (2 if held_out is None else 1, 1))
    if held_out is None:
        baseline = nearest(train, train)[0]
    else:
        baseline = nearest(*as_row_pair(held_out, as_rows(train, "train"), ("held_out", "train")))[0]
    distances, indices = nearest(fake, train)
    distances, indices, baseline = (x.squeeze(1).cpu().numpy() for x in (distances, indices, baseline))
    threshold = float(np.percentile(baseline, percentile))
    median = float(np.median(baseline))
    return Memorization(
        copying=rank_z_score(distances, baseline),
        near_share=float((distances < threshold).mean()),
        distance_ratio=float(np.median(distances)) / median if median else float("nan"),
        threshold=threshold,
        distances=distances,
        indices=indices,
        baseline=baseline,
    )


def rank_z_score(a, b):
    """Return the z-score of the Mann-Whitney statistic: above 0 where values of `a` tend to exceed those of `b`.

    Mann and Whitney (1947); the variance is corrected for ties: mn/12 (m + n + 1 - sum of (t^3 - t) / ((m + n)(m + n - 1))) over
    groups of t equal values. 0 if all values are equal.

    Args:
        a, b: `[M]` and `[N]` arrays.
    """
    m, n = len(a), len(b)
    ranks = scipy.stats.rankdata(np.concatenate([a, b]))
    larger = ranks[:m].sum() - m * (m + 1) / 2
    sizes = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    ties = (sizes**3 - sizes).sum() / ((m + n) * max(m + n - 1, 1))
    variance = m * n / 12 * (m + n + 1 - ties)
    return float((larger - m * n / 2) / np.sqrt(variance)) if variance > 1e-9 * m * n else 0.0

"""Inception score: sure about each picture, varied over all."""

import numpy as np
import scipy.special

from sgtool.metrics.rows import as_rows

OFF = 1e-2  # a row's sum may differ from 1 by this: float16 softmax of a thousand classes


def inception_score(probs, splits=10):
    """Return mean and standard deviation over splits of exp(mean of KL(p(y|x) || p(y))).

    Split i is rows [i N // splits, (i + 1) N // splits), p(y) is the mean over the split's rows, logarithms are natural, a
    probability of 0 adds nothing, the standard deviation is that of the population. Salimans et al. (2016), section 4.

    Args:
        probs: `[N, classes]` class probabilities, each row's sum 1; array or tensor of any float type.
        splits: number of parts, 10 as published.
    Returns:
        (mean, std); each split's score lies in 1..classes.
    Raises:
        ValueError: rows that are no probabilities, fewer rows than splits, or values that are not finite.
    """
    scores = inception_scores(probs, splits)
    return float(scores.mean()), float(scores.std())


def inception_scores(probs, splits=10):
    """Return the score of each split, `[splits]` float64; arguments and errors are those of `inception_score`."""
    if splits < 1:
        raise ValueError(f"splits is {splits}; there is at least one.")
    rows = as_rows(probs, "probs", at_least=splits).double().cpu().numpy()
    if rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > OFF:
        raise ValueError("probs has a row that is negative somewhere or does not add up to 1; give probabilities, not logits.")
    parts = (rows[i * len(rows) // splits : (i + 1) * len(rows) // splits] for i in range(splits))
    return np.array([np.exp(scipy.special.rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in parts])

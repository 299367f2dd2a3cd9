"""Directions from labelled examples: the normal of the plane in W that separates them, InterFaceGAN (Shen et al. 2020)."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

FOLDS = 5
INNER_FOLDS = 3
PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)  # l2, from a blunt plane to a sharp one
SEED = 0  # of the folds


class Boundary(NamedTuple):
    """A plane in W between examples that have a label and examples that have not."""

    normal: np.ndarray  # `[w_dim]` float64, of length 1; it points to where the label is
    accuracy: float  # of held-out examples: mean of the shares of both sides that lie on their side, 0.5 is chance
    penalty: float  # l2 that was chosen


def separate(w, has):
    """Find the plane in W that separates examples, and how well it does so.

    Logistic regression (InterFaceGAN, section 3.1, trains a linear support vector machine; both have a plane as boundary and
    its normal as direction). w is centred and divided by one number, so that angles in W stay. Both sides have the same
    weight, however many examples they have. The l2 penalty is the one of `PENALTIES` with the least loss on held-out
    examples. The accuracy is that of k-fold cross-validation in which the penalty, too, is chosen without the held-out fold.

    Args:
        w: `[N, w_dim]`.
        has: bool `[N]`, which examples have the label; at least 5 have it and 5 have not.
    Returns:
        `Boundary`.
    """
    w, has = np.asarray(w, np.float64), np.asarray(has, bool)
    x = w - w.mean(axis=0)
    x /= max(np.sqrt(np.square(x).mean()), 1e-12)
    fold = deal(has, FOLDS)
    right = np.empty(len(x), bool)
    for k in range(FOLDS):
        out = fold == k
        slope, offset = fit(x[~out], has[~out], best_penalty(x[~out], has[~out]))
        right[out] = (x[out] @ slope + offset > 0) == has[out]
    penalty = best_penalty(x, has)
    slope, _ = fit(x, has, penalty)
    length = np.linalg.norm(slope)
    return Boundary(slope / max(length, 1e-30), (right[has].mean() + right[~has].mean()) / 2, penalty)


def deal(has, folds):
    """Deal examples out to folds at random, those with and those without the label each evenly: fold of each, int `[N]`."""
    fold, draws = np.empty(len(has), int), np.random.default_rng(SEED)
    for side in (has, ~has):
        fold[side] = draws.permutation(np.arange(side.sum()) % folds)
    return fold


def best_penalty(x, has):
    """Return the l2 of `PENALTIES` with the least mean loss on held-out folds."""
    fold, losses = deal(has, INNER_FOLDS), np.zeros(len(PENALTIES))
    for k in range(INNER_FOLDS):
        out, start = fold == k, None
        for i, penalty in enumerate(PENALTIES):
            start = fit(x[~out], has[~out], penalty, start)
            losses[i] += _loss(np.append(*start), x[out], has[out], 0.0)[0]
    return PENALTIES[int(losses.argmin())]


def fit(x, has, penalty, start=None):
    """Fit a logistic regression with both sides of the same weight.

    Args:
        x: `[N, D]` float64.
        has: bool `[N]`.
        penalty: l2: penalty / 2 * |slope|^2 is added to the mean loss.
        start: (slope, offset) to begin with, None = zeros.
    Returns:
        slope `[D]` and offset: x @ slope + offset is positive where the label is.
    """
    first = np.zeros(x.shape[1] + 1) if start is None else np.append(*start)
    found = minimize(_loss, first, (x, has, penalty), method="L-BFGS-B", jac=True, options={"maxiter": 1000})
    return found.x[:-1], found.x[-1]


def _loss(parameters, x, has, penalty):
    """Return the loss, -mean log P(label), the mean of both sides' means, with the penalty; and its gradient."""
    slope, sign = parameters[:-1], np.where(has, 1.0, -1.0)
    share = np.where(has, 0.5 / has.sum(), 0.5 / (~has).sum())
    margin = sign * (x @ slope + parameters[-1])
    pull = -share * sign * expit(-margin)
    value = share @ np.logaddexp(0, -margin) + penalty / 2 * (slope @ slope)
    return value, np.append(pull @ x + penalty * slope, pull.sum())


def without(vectors, others):
    """Take from directions what they share with others, so that moving along them leaves the others alone.

    n - (projection of n on the span of the others), brought to length 1. Shen et al. 2020, section 3.2, conditional manipulation.

    Args:
        vectors: `[K, w_dim]`, of length 1.
        others: `[M, w_dim]`.
    Returns:
        `[K, w_dim]` of length 1 (a row of zeros where nothing is left), and what was left of each before, `[K]`, 0 to 1.
    """
    _, values, right = np.linalg.svd(np.asarray(others, np.float64), full_matrices=False)
    basis = right[values > 1e-6 * values.max()]
    rest = vectors - vectors @ basis.T @ basis
    rest -= rest @ basis.T @ basis  # what rounding left
    lengths = np.linalg.norm(rest, axis=1)
    gone = lengths < 1e-6
    return np.where(gone[:, np.newaxis], 0, rest / np.where(gone, 1, lengths)[:, np.newaxis]), lengths

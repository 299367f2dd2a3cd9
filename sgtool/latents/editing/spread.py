"""The mean and covariance of W, by sampling."""

from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from sgtool.errors import UserError
from sgtool.latents.seeds import one_hot

AT_ONCE = 4096
SEED = 0  # of the samples


class Spread(NamedTuple):
    """How w is spread."""

    mean: np.ndarray  # `[w_dim]` float64
    covariance: np.ndarray  # `[w_dim, w_dim]` float64
    samples: int

    def along(self, vectors):
        """Return one standard deviation of W along each of `vectors` `[K, w_dim]`: sqrt(v C v'), `[K]` float64."""
        vectors = np.asarray(vectors, np.float64)
        return np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", vectors, self.covariance, vectors), 0))


class Moments:
    """Mean and covariance of rows that come in parts, in float64.

    Parts are joined by the formula of Chan, Golub and LeVeque (1983), equation 2.1: no sum of squares loses the variance of
    numbers that lie far from 0.
    """

    def __init__(self, width):
        self.number, self.mean, self.scatter = 0, np.zeros(width), np.zeros([width, width])

    def add(self, rows):
        """Add rows `[n, width]`."""
        rows = np.asarray(rows, np.float64)
        mean, total = rows.mean(axis=0), self.number + len(rows)
        centred, step = rows - mean, mean - self.mean
        self.scatter += centred.T @ centred + np.outer(step, step) * (self.number * len(rows) / total)
        self.mean += step * (len(rows) / total)
        self.number = total

    def covariance(self):
        """Return the covariance, divided by n - 1: `[width, width]`."""
        return self.scatter / (self.number - 1)


def spread_of_w(model, samples, classes=(None,), *, between=False, progress=False):
    """Sample w = mapping(z, c) and return how it is spread, without truncation.

    For several classes each gets its share of the samples, and the covariance is the mean of those within the classes.

    Args:
        model: `Model`.
        samples: how many w in all, at least 2 for each class. z are drawn from one fixed seed.
        classes: class numbers; [None] for a network without labels.
        between: add the covariance of the classes' means, for W as a whole: what makes the classes differ is in it then.
        progress: show a bar on stderr.
    Returns:
        `Spread`.
    Raises:
        UserError: the network gives values that are not finite.
    """
    G, draws = model.G, np.random.RandomState(SEED)
    parts = []
    with tqdm(total=samples, desc="W", unit="w", disable=None if progress else True) as bar:
        for index, number in enumerate(classes):
            share = samples * (index + 1) // len(classes) - samples * index // len(classes)
            moments = Moments(G.w_dim)
            while moments.number < share:
                z = draws.randn(min(AT_ONCE, share - moments.number), G.z_dim).astype(np.float32)
                moments.add(_mapped(model, z, number))
                bar.update(len(z))
            parts.append(moments)
    means = np.stack([part.mean for part in parts])
    if not all(np.isfinite(part.scatter).all() for part in parts):
        raise UserError(f"w of {model.path.name} is not finite numbers: its training diverged. Use an earlier snapshot.")
    covariance = np.mean([part.covariance() for part in parts], axis=0)
    if between:
        covariance += np.cov(means.T, bias=True)
    return Spread(means.mean(axis=0), covariance, samples)


def _mapped(model, z, number):
    """Return w of `z` `[N, z_dim]` in one class: `[N, w_dim]` float32 on the CPU."""
    with torch.inference_mode():
        c = one_hot([number] * len(z), model.G.c_dim).to(model.device)
        return model.G.mapping(torch.from_numpy(z).to(model.device), c)[:, 0].float().cpu().numpy()

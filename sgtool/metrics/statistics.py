"""Mean and covariance of features that come in parts, in any order, from any number of processes."""

import torch

from sgtool.metrics.rows import as_rows

CHUNK = 4096  # rows that are converted to float64 at once


class MeanAndCovariance:
    """Mean and covariance of all rows added so far, in float64.

    Kept are the count n, the mean m and the scatter matrix S = sum of (x - m)(x - m)^T. Two sets join by
    S = S1 + S2 + (m2 - m1)(m2 - m1)^T n1 n2 / n, so no digits are lost to a large common mean, and neither the sizes of the
    parts nor their order matter. Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", equation 1.5.

    Attributes:
        count: rows added.
        mu: `[D]` float64 tensor; None before the first row.
        scatter: `[D, D]` float64 tensor; None before the first row.
    """

    def __init__(self):
        self.count, self.mu, self.scatter = 0, None, None

    def add(self, features):
        """Add rows `[N, D]`, array or tensor, any float type; computed where the tensor is.

        Raises:
            ValueError: as `as_rows`, or another width than before.
        """
        rows = as_rows(features, "features", at_least=0)
        for part in rows.split(CHUNK):
            self._join(*_moments(part))
        return self

    def merge(self, other):
        """Add what another accumulator has counted, for instance in another process; that one stays as it is."""
        self._join(other.count, other.mu, other.scatter)
        return self

    def result(self):
        """Return mean `[D]` and covariance `[D, D]`, divided by n, as float64 arrays.

        Raises:
            ValueError: nothing was added.
        """
        if not self.count:
            raise ValueError("no features were added, so there is no mean and no covariance.")
        return self.mu.cpu().numpy().copy(), (self.scatter / self.count).cpu().numpy()

    def state_dict(self):
        """Return count, mu and scatter, to keep in a file or to send to another process."""
        return {"count": self.count, "mu": self.mu, "scatter": self.scatter}

    def load_state_dict(self, state):
        """Take over what `state_dict` returned."""
        self.count, self.mu, self.scatter = state["count"], state["mu"], state["scatter"]
        return self

    def _join(self, count, mu, scatter):
        if not count:
            return
        if not self.count:
            self.count, self.mu, self.scatter = count, mu.clone(), scatter.clone()
            return
        if mu.shape != self.mu.shape:
            raise ValueError(f"features of {len(mu)} columns cannot be added to features of {len(self.mu)}.")
        step = mu.to(self.mu.device) - self.mu
        total = self.count + count
        self.scatter += scatter.to(self.mu.device)
        self.scatter.addr_(step, step, alpha=self.count * count / total)
        self.mu = self.mu + step * (count / total)
        self.count = total


def mean_and_covariance(features):
    """Return mean `[D]` and covariance `[D, D]` of rows, float64 arrays; the covariance is divided by N, as in the original FID.

    Args:
        features: `[N, D]`, array or tensor, or an iterator of such parts (any sizes): then only one part is held at a time.
    Raises:
        ValueError: no rows, another shape, values that are not finite, or parts of different widths.
    """
    parts = [features] if hasattr(features, "shape") else features
    statistics = MeanAndCovariance()
    for part in parts:
        statistics.add(part)
    return statistics.result()


def _moments(part):
    """Count, mean and scatter matrix of a few rows."""
    part = part.to(torch.float64, copy=True)
    if not len(part):
        return 0, None, None
    mu = part.mean(dim=0)
    part -= mu
    return len(part), mu, part.T @ part

"""Statistics between two ticks: number, mean and standard deviation of each quantity."""

import math

import torch


class Meter:
    """Sums up quantities in float64. What is on a GPU stays there until it is asked for, so that no step waits for it."""

    def __init__(self):
        self._sums = {}  # name -> float64 tensor [count, sum, sum of squares]

    def add(self, name, values):
        """Count the values of a quantity: a tensor of any shape, or a number."""
        values = torch.as_tensor(values).detach().to(torch.float32).flatten()
        x = values if values.device.type == "mps" else values.double()
        self.add_moments(name, torch.stack([torch.full_like(x.sum(), x.numel()), x.sum(), x.square().sum()]))

    def add_moments(self, name, moments):
        """Count values of which number, sum and sum of squares are known: a tensor `[3]`."""
        before = self._sums.get(name)
        self._sums[name] = moments if before is None else before.to(moments.device) + moments

    def flush(self):
        """Give {name: {"num": ..., "mean": ..., "std": ...}} of all since the last time, and start anew."""
        stats = {name: _summary(*sums.tolist()) for name, sums in sorted(self._sums.items())}
        self._sums = {}
        return stats

    def state_dict(self):
        """Give the half-filled sums."""
        return {name: sums.cpu() for name, sums in self._sums.items()}

    def load_state_dict(self, state):
        """Go on where `state_dict` was called."""
        self._sums = dict(state)


def _summary(count, total, squares):
    mean = total / count
    variance = squares / count - mean * mean
    return {"num": int(count), "mean": mean, "std": math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else variance}

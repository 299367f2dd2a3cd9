"""The random parameters of a batch of augmentations, and the fixed ones that tests and previews ask for.

Both classes have the same methods, and each gives one number per picture. They live on the CPU whatever the device of the
pictures: a few hundred numbers need no GPU, the same seed augments alike everywhere, and sizes that depend on them are known
without waiting for the device.
"""

import torch


class RandomDraws:
    """Parameters for `count` pictures, for the augmentation probability `p`.

    How many numbers are drawn does not depend on `p` nor on what was drawn before. They come from `source`, a
    `randomness.Draws`, or without one from torch's global CPU generator.
    """

    rotates_twice = True  # arbitrary rotations come before and after the stretching, each with a chance of its own

    def __init__(self, count, p, source=None):
        self.count, self.p, self._source = count, p, source

    def chosen(self, multiplier, times=1):
        """Which pictures a transform is applied to: `[N]` bool, true with probability `multiplier * p`.

        If the same question is asked `times` times, that is the probability of at least one yes.
        """
        return self.uniform() < 1 - (1 - multiplier * self.p) ** (1 / times)

    def uniform(self):
        """Uniform in [0, 1): `[N]` float32."""
        return torch.rand(self.count) if self._source is None else self._source.uniform()

    def normal(self):
        """Standard normal: `[N]` float32."""
        return torch.randn(self.count) if self._source is None else self._source.normal()

    def half_normal(self):
        """Magnitude of a standard normal: `[N]` float32."""
        return self.normal().abs()


class FixedDraws:
    """Every transform applied to every picture, with parameters at the percentile `q` in (0, 1).

    The normal ones are erfinv(2q - 1) and erfinv(q) without the factor sqrt(2) of a true percentile: so does the reference
    implementation that the expected numbers come from.
    """

    rotates_twice = False

    def __init__(self, count, q):
        self.count, self.q = count, q

    def chosen(self, multiplier, times=1):
        return torch.ones(self.count, dtype=torch.bool)

    def uniform(self):
        return torch.full([self.count], self.q)

    def normal(self):
        return torch.erfinv(2 * self.uniform() - 1)

    def half_normal(self):
        return torch.erfinv(self.uniform())

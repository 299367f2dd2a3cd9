"""The rungs of a ladder: which settings are tried."""

import itertools
from dataclasses import dataclass

from sgtool.training.presets import PRESETS

STEP = 4.0  # from one gamma to the next, where only the middle is given
SHARE = 100  # a rung is a hundredth of the preset's training, by default
SHORTEST = 20  # kimg, but at least so long


@dataclass(frozen=True)
class Rung:
    """Settings that are tried.

    Attributes:
        gamma: weight of R1.
        glr, dlr: learning rates of G and D; None = what the other options give.
    """

    gamma: float
    glr: float | None = None
    dlr: float | None = None

    @property
    def options(self):
        """Options of a training, by name."""
        rates = {} if self.glr is None else {"glr": self.glr, "dlr": self.dlr}
        return {"gamma": self.gamma} | rates

    @property
    def name(self):
        """Name of its folder, such as gamma0.5 or gamma0.5-glr0.001-dlr0.001."""
        return "-".join(f"{name}{number(value)}" for name, value in self.options.items())

    @property
    def words(self):
        """Its settings, to be told: "gamma 0.5, glr 0.001, dlr 0.001"."""
        return ", ".join(f"{name} {number(value)}" for name, value in self.options.items())


def number(value):
    """Write a number as short as can be without making it another one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def rungs(gammas, rates=None, dlr=None):
    """Return the rungs in the order in which they are run: for each gamma in turn, each learning rate.

    Args:
        gammas: weights of R1.
        rates: learning rates of G, or None for one rung a gamma.
        dlr: learning rate of D; None = G's.
    Returns:
        list of `Rung`, each once.
    """
    pairs = [(None, None)] if rates is None else [(rate, rate if dlr is None else dlr) for rate in rates]
    return list(dict.fromkeys(Rung(gamma, *pair) for gamma, pair in itertools.product(gammas, pairs)))


def gammas_around(middle):
    """Return three gammas, a factor of 4 apart: 0.25, 1 and 4 for 1. What is computed is rounded to 3 digits."""
    return [float(f"{middle * factor:.3g}") for factor in (1 / STEP, 1, STEP)]


def default_kimg(preset):
    """Return how long a rung is if nothing is said: a hundredth of what the preset trains, at least 20 kimg."""
    return max(PRESETS[preset].kimg // SHARE, SHORTEST)

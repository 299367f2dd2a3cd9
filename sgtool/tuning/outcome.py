"""What came of a rung, and which rung is chosen."""

import dataclasses
import math
from dataclasses import dataclass

COLLAPSED = 0.5  # of the way from the real pictures' MS-SSIM to 1, where all pictures are alike
TIE = 1.05  # distances within 5 % are a tie: another seed would move them as much
RULE = (
    "the lowest swd; where others come within 5 % of it, the one of them whose pictures are as varied as the real ones (msssim), "
    "or nearest to it. Collapsed rungs lose, as do those with numbers that are not finite and those whose settings were changed."
)


@dataclass
class Outcome:
    """A rung that has been run.

    Attributes:
        rung: its name.
        gamma, glr, dlr: as they were.
        kimg: its length.
        folder: its run folder.
        swd: sliced Wasserstein distance of its pictures to real ones, times 1000.
        msssim: MS-SSIM of pairs of its pictures: 1 = all alike.
        p, rt: probability of augmentations and r_t at the end; rt None = not measured.
        loss_G, loss_D: mean losses of the last quarter.
        skipped: optimizer steps left out because of numbers that are not finite.
        seconds: of training.
        fault: why it ended early or cannot be compared, or None.
    """

    rung: str
    gamma: float
    glr: float
    dlr: float
    kimg: float
    folder: str
    swd: float = math.nan
    msssim: float = math.nan
    p: float = 0.0
    rt: float | None = None
    loss_G: float = math.nan
    loss_D: float = math.nan
    skipped: int = 0
    seconds: float = 0.0
    fault: str | None = None

    def as_dict(self):
        """Give plain values that JSON knows: what is not finite as None."""
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values):
        """Make it from `as_dict`."""
        numbers = {field.name for field in dataclasses.fields(cls) if field.type in (float, "float")}
        return cls(**{k: math.nan if v is None and k in numbers else v for k, v in values.items()})


def why_lost(outcome, msssim_reals):
    """Return why a rung cannot be chosen, or None.

    Args:
        outcome: `Outcome`.
        msssim_reals: MS-SSIM of pairs of real pictures.
    """
    if outcome.fault is not None:
        return outcome.fault
    if not (math.isfinite(outcome.swd) and math.isfinite(outcome.msssim)):
        return "its pictures hold numbers that are not finite"
    if outcome.msssim > msssim_reals + COLLAPSED * (1 - msssim_reals):
        return f"collapsed: msssim {outcome.msssim:.2f}, the real pictures have {msssim_reals:.2f}"
    return None


def choose(outcomes, msssim_reals):
    """Return the rung to go on with, by `RULE`; None if all have lost.

    Args:
        outcomes: list of `Outcome`.
        msssim_reals: MS-SSIM of pairs of real pictures.
    """
    able = [outcome for outcome in outcomes if why_lost(outcome, msssim_reals) is None]
    if not able:
        return None
    limit = min(outcome.swd for outcome in able) * TIE
    ties = [outcome for outcome in able if outcome.swd <= limit]
    return min(ties, key=lambda outcome: (max(outcome.msssim - msssim_reals, 0.0), outcome.swd))

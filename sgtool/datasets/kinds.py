"""The kinds of findings: what is wrong, or at least odd, with which pictures of a collection."""

import math
from dataclasses import dataclass

import numpy as np

from sgtool.datasets.duplicates import EXACT, MIRRORED, NEAR, find_copies

CROWD = 8  # fewer pictures than this say nothing about what is usual
BLUR_RATIO = 0.7  # in the logarithm: a blurred picture's edges are at least exp(0.7 / 2) = 1.4 times as wide as usual
DARK, BRIGHT, FLAT = 64, 192, 8  # of 255
TILTED = 1.1  # ratio of the sides of a picture that is clearly landscape or portrait
RARE = 0.1  # share of pictures that lie the other way
PROPORTIONS = 2.0  # ratio to the usual proportions

KINDS = {
    "unreadable": "cannot be read",
    "truncated": "the file ends too early",
    "small": "smaller than the resolution asked for: would be enlarged",
    "upscaled": "was enlarged before, or is as blurred as that: less detail than pixels",
    EXACT: "the same pixels as another picture",
    NEAR: "nearly the same as another picture: smaller, compressed, brighter, ...",
    MIRRORED: "nearly the mirror image of another picture",
    "blurred": "edges are much wider than usual here",
    "flat": "hardly anything to see",
    "dark": "all of it is very dark",
    "bright": "all of it is very bright",
    "grey": "no colour, where most have some",
    "colour": "in colour, where most are grey",
    "transparent": "has transparent pixels, where most have none",
    "turned": "turned by its EXIF orientation: upright here, but perhaps not in other programs",
    "sideways": "portrait among landscapes, or the other way round: perhaps it lies on its side",
    "proportions": "much wider or narrower than usual here",
    "imbalance": "classes with few pictures or none",
}
COPIES = (EXACT, NEAR, MIRRORED)


@dataclass(frozen=True)
class Limits:
    """Where a finding begins.

    Attributes:
        near: largest distance of near duplicates and mirror images, 0 (none) to 2: copies that were compressed or reduced are
            below 0.06, cropped by 1 % or rotated by 1 degree at about 0.2, different pictures above 0.5.
        blurred: how far below the median of the collection the sharpness lies, in (robust) standard deviations.
        detail: share of width and height that must be filled with detail, 0 to 1 (see `detail.detail`).
        imbalance: share of the mean class that each class must have.
        shown: most thumbnails kept for each kind of finding.
    """

    near: float = 0.2
    blurred: float = 3.0
    detail: float = 0.6
    imbalance: float = 0.1
    shown: int = 48


@dataclass(frozen=True)
class Finding:
    """What was found on a picture (or class): name, reason in words, for copies the picture that is kept, how bad it is."""

    name: str
    reason: str
    kept: str | None = None
    severity: float = 0.0


@dataclass(frozen=True)
class Crowd:
    """All readable pictures: names, and their numbers as an array `[N]` of `findings.ROW`."""

    names: list
    rows: np.ndarray

    def size(self, i):
        """`640x480`."""
        return f"{self.rows['width'][i]}x{self.rows['height'][i]}"

    def findings(self, chosen, reason, severity=None):
        """A finding for each index in `chosen` (or True in a mask), by functions of the index."""
        chosen = np.flatnonzero(chosen)
        return [Finding(self.names[i], reason(i), severity=float(severity(i)) if severity else 0.0) for i in chosen]


def copies(crowd, limits):
    """Equal, near and mirrored pictures: findings by kind, and groups of names that belong together."""
    found = {kind: [] for kind in COPIES}
    words = {EXACT: "the same pixels as", NEAR: "nearly", MIRRORED: "nearly the mirror image of"}
    repeats, groups = find_copies(crowd.rows, limits.near)
    for copy in repeats:
        kept = crowd.names[copy.of]
        apart = "" if copy.kind == EXACT else f" ({crowd.size(copy.of)}, distance {copy.distance:.2f})"
        reason = f"{words[copy.kind]} {kept}{apart}"
        found[copy.kind].append(Finding(crowd.names[copy.index], reason, kept, -copy.distance))
    return found, [[crowd.names[i] for i in group] for group in groups]


def small(crowd, limits):
    """Pictures that do not cover the size they are made for."""
    scale = crowd.rows["scale"]
    return crowd.findings(
        scale > 1,
        lambda i: f"{crowd.size(i)} would be enlarged {scale[i]:.2f} times",
        lambda i: scale[i],
    )


def upscaled(crowd, limits):
    """Pictures without fine detail, if they lack it at the size they are made for."""
    rows = crowd.rows
    lacking = rows["detail"] <= limits.detail
    needed = (rows["scale"] == 0) | (rows["scale"] > rows["detail"])

    def reason(i):
        width, height = (max(1, round(rows[side][i] * rows["detail"][i])) for side in ("width", "height"))
        return f"{crowd.size(i)}, but no more detail than {width}x{height}"

    return crowd.findings(lacking & needed, reason, lambda i: 1 / rows["detail"][i])


def blurred(crowd, limits):
    """Pictures far less sharp than the others.

    Half of the collection is sharper than the median. The median deviation from it, times 1.4826, is the standard deviation
    if the values are normal, and does not care for outliers: F. R. Hampel, The Influence Curve and its Role in Robust
    Estimation, 1974.
    """
    sharpness = crowd.rows["sharpness"]
    known = sharpness[np.isfinite(sharpness)]
    if len(known) < CROWD:
        return []
    usual = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - usual))
    least = usual - max(limits.blurred * spread, BLUR_RATIO)
    return crowd.findings(
        sharpness < least,
        lambda i: f"edges {math.exp((usual - sharpness[i]) / 2):.1f} times as wide as usual",
        lambda i: usual - sharpness[i],
    )


def tones(crowd, limits):
    """Flat, dark and bright pictures, by kind."""
    low, high = crowd.rows["dark"].astype(int), crowd.rows["bright"].astype(int)
    flat = high - low < FLAT
    return {
        "flat": crowd.findings(flat, lambda i: f"98 % of it lies between {low[i]} and {high[i]} of 255"),
        "dark": crowd.findings(~flat & (high < DARK), lambda i: f"99 % of it is at most {high[i]} of 255"),
        "bright": crowd.findings(~flat & (low > BRIGHT), lambda i: f"99 % of it is at least {low[i]} of 255"),
    }


def colours(crowd, limits):
    """Grey, coloured and transparent pictures where these are the fewer, by kind. Half and half is a mixture that is meant."""
    rows, number = crowd.rows, len(crowd.rows)
    grey, clear = rows["grey"], rows["transparent"] > 0
    greys, clears = int(grey.sum()), int(clear.sum())
    return {
        "grey": crowd.findings(grey & (2 * greys < number), lambda i: f"grey; {number - greys} of {number} have colour"),
        "colour": crowd.findings(~grey & (2 * greys > number), lambda i: f"in colour; {greys} of {number} are grey"),
        "transparent": crowd.findings(
            clear & (2 * clears < number),
            lambda i: f"{100 * rows['transparent'][i]:.3g} % of it is transparent; {number - clears} of {number} are opaque",
            lambda i: rows["transparent"][i],
        ),
    }


def positions(crowd, limits):
    """Pictures that were turned, that lie the other way, or are much wider or narrower than most, by kind."""
    rows = crowd.rows
    found = {"turned": crowd.findings(rows["turned"], lambda i: "its EXIF orientation was applied")}
    if len(rows) < CROWD:
        return found
    aspect = np.log(rows["width"] / rows["height"])
    usual = np.median(aspect)
    off = np.abs(aspect - usual)
    found["sideways"] = _sideways(crowd, aspect)
    found["proportions"] = crowd.findings(
        off > math.log(PROPORTIONS),
        lambda i: f"{crowd.size(i)}: {'narrower' if aspect[i] < usual else 'wider'} by {math.exp(off[i]):.1f} than usual",
        lambda i: off[i],
    )
    return found


def _sideways(crowd, aspect):
    """Portraits among landscapes or the other way round: at most a tenth, where more than half of all lie one way."""
    wide, tall = aspect > math.log(TILTED), aspect < -math.log(TILTED)
    if wide.sum() < tall.sum():
        odd, most, words = wide, int(tall.sum()), ("landscape", "portrait")
    else:
        odd, most, words = tall, int(wide.sum()), ("portrait", "landscape")
    if 2 * most <= len(aspect) or odd.sum() > RARE * (odd.sum() + most):
        return []
    return crowd.findings(odd, lambda i: f"{crowd.size(i)} is {words[0]}; {most} of {len(aspect)} are {words[1]}")


def imbalance(counts, limits):
    """Classes with few pictures.

    Args:
        counts: `{class name: pictures}`.
    """
    mean = sum(counts.values()) / max(1, len(counts))
    few = sorted((number, name) for name, number in counts.items() if number < limits.imbalance * mean)
    words = {0: "no picture", 1: "1 picture"}
    usual = f"the mean of {len(counts)} classes is {mean:.1f}"
    return [Finding(name, f"{words.get(n, f'{n} pictures')}; {usual}", severity=-n) for n, name in few]

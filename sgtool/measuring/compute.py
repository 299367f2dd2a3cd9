"""From features of both sets to the numbers of a protocol, under the names that stylegan2-ada-pytorch gives them."""

from typing import NamedTuple

import numpy as np

from sgtool import metrics
from sgtool.metrics.rows import full_precision


class Measured(NamedTuple):
    """What a protocol comes to."""

    values: dict  # {name: float}
    intervals: dict  # {name: (low, high)}, 95 percent, where there is a cheap one
    settings: dict  # as they were, where the sets decide
    memorization: metrics.Memorization | None = None  # whose pairs can be shown


def _fid(protocol, real, fake):
    return Measured({protocol.name: metrics.frechet_distance(*real, *fake)}, {}, {})


def _kid(protocol, real, fake, seed):
    size = min(protocol.settings["subset_size"], len(real), len(fake))
    settings = {**protocol.settings, "subset_size": size}
    values = metrics.kernel_distances(real, fake, **settings, seed=seed)
    drawn = values if size < max(len(real), len(fake)) else ()  # subsets that are the whole sets are all the same
    return Measured({protocol.name: float(values.mean())}, _interval(protocol.name, drawn), settings)


def _pr(protocol, real, fake):
    precise, recalled = metrics.precision_recall_hits(real, fake, **protocol.settings)
    names = [f"{protocol.name}_{part}" for part in ("precision", "recall")]
    return _of_terms(names, (precise.double().cpu().numpy(), recalled.double().cpu().numpy()))


def _density_coverage(protocol, real, fake):
    held, covered = metrics.density_coverage_hits(real, fake, **protocol.settings)
    names = [protocol.name.replace("density_coverage", part, 1) for part in ("density", "coverage")]
    return _of_terms(names, (held.double().cpu().numpy(), covered.double().cpu().numpy()))


def _is(protocol, real, fake):
    scores = metrics.inception_scores(fake, **protocol.settings)
    return Measured({f"{protocol.name}_mean": float(scores.mean()), f"{protocol.name}_std": float(scores.std())}, {}, {})


def _swd(protocol, real, fake, seed):
    levels = metrics.sliced_wasserstein_levels(real, fake, **protocol.settings, seed=seed)
    each = {f"{protocol.name}_{width}x{height}": value for (height, width), value in levels.items()}
    return Measured({protocol.name: float(np.mean(list(levels.values()))), **(each if len(each) > 1 else {})}, {}, {})


def _msssim(protocol, real, fake, seed):
    values = {
        name: metrics.diversity(pictures, **protocol.settings, seed=seed)
        for name, pictures in ((protocol.name, fake), (f"{protocol.name}_reals", real))
    }
    return Measured(values, {}, {})


def _memorization(protocol, real, fake, held_out):
    found = metrics.memorization(real, fake, held_out, **protocol.settings)
    parts = ("copying", "near_share", "distance_ratio")
    settings = {**protocol.settings, "baseline": "each training picture against the others" if held_out is None else "held out"}
    return Measured({f"{protocol.name}_{part}": float(getattr(found, part)) for part in parts}, {}, settings, found)


class Metric(NamedTuple):
    """How a metric is computed."""

    kind: str  # of `features.Need`, for both sets
    compute: object  # function of protocol, real, fake, and what `extra` names
    extra: tuple = ()  # "seed", "held_out"


METRICS = {
    "fid": Metric("statistics", _fid),
    "clean_fid": Metric("statistics", _fid),
    "kid": Metric("rows", _kid, ("seed",)),
    "pr": Metric("rows", _pr),
    "density_coverage": Metric("rows", _density_coverage),
    "is": Metric("probabilities", _is),
    "swd": Metric("pictures", _swd, ("seed",)),
    "msssim": Metric("pictures", _msssim, ("seed",)),
    "memorization": Metric("rows", _memorization, ("held_out",)),
}


def compute(protocol, real, fake, **extra):
    """Return the `Measured` of a protocol.

    Args:
        protocol: `Protocol`, not of path length.
        real, fake: what `features.gather` found for the metric's kind; real is None where no real picture is needed.
        extra: seed: of draws; held_out: rows of pictures that were held out of training, or None.
    """
    metric = METRICS[protocol.metric]
    with full_precision():
        return metric.compute(protocol, real, fake, **{name: extra[name] for name in metric.extra})


def averaged(parts):
    """Return the `Measured` of several repeats: the mean of each value; settings and pairs of the first.

    The interval of a value's mean is that of the first repeat, if there is one.
    """
    first = parts[0]
    return first._replace(values={name: float(np.mean([part.values[name] for part in parts])) for name in first.values})


def _of_terms(names, terms):
    intervals = {}
    for name, term in zip(names, terms, strict=True):
        intervals |= _interval(name, term)
    return Measured({name: float(term.mean()) for name, term in zip(names, terms, strict=True)}, intervals, {})


def _interval(name, values):
    """The interval of a mean; none where all terms are the same, which says nothing of how far off the mean is."""
    return {name: metrics.bootstrap_interval(values)} if len(values) > 1 and np.ptp(values) > 0 else {}

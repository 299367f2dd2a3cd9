"""From pictures to what metrics take, in one pass over a set of pictures, whatever is measured of it."""

import os
import warnings
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.measuring import cache
from sgtool.measuring.collectors import COLLECTORS
from sgtool.measuring.detector import Detector
from sgtool.measuring.rounds import by_the_first, in_rounds

READERS = 8  # threads that read pictures before they are looked at, at most


class Need(NamedTuple):
    """Something that a metric asks of a set of pictures."""

    kind: str  # "statistics": mean and covariance of features; "rows"; "probabilities"; "pictures"
    detector: Detector | None  # None for pictures
    choice: str
    count: int  # pictures that are looked at

    @property
    def key(self):
        """What tells it from others of one set."""
        return (self.kind, _name(self.detector), self.choice, self.count)


def _name(detector):
    return None if detector is None else (detector.name, detector.sha256)


def gather(
    source, needs, *, seed=0, cached=False, progress=False, what="pictures", device="cpu", world=ALONE, stop=None,
    warn=warnings.warn,
):  # fmt: skip
    """Look once at a set of pictures and return all that is needed of it.

    Batches are the same however many processes there are, and what comes of them is put together in their order in the first
    process: so the number of processes changes no bit.

    Args:
        source: `pictures.Stored` or `pictures.Made`.
        needs: list of `Need`; equal ones are computed once.
        seed: of random samples.
        cached: keep what was computed for the next time, and take what was kept.
        progress: show a bar with the time left on stderr.
        what: its label.
        device: where means and covariances are added up.
        world, stop: as for `rounds.in_rounds`.
        warn: called with a text if what was computed cannot be kept.
    Returns:
        {need.key: (mean, covariance), or array of rows, probabilities or pictures}; in the other processes {}.
    Raises:
        UserError: a picture cannot be read, or a detector gives numbers that are not finite.
        Interrupted: it was asked to stop.
    """
    wanted = {need.key: need for need in needs}
    found = {}
    if cached and world.is_first:
        for key, need in wanted.items():
            if (kept := _kept(source, need, seed)) is not None:
                found[key] = kept
    known = world.broadcast(list(found))
    missing = [need for key, need in wanted.items() if key not in known]
    if not missing:
        return found
    chosen = {need.key: source.choose(need.count, need.choice, seed) for need in missing}
    collectors = {need.key: COLLECTORS[need.kind](need.count, device) for need in missing} if world.is_first else None
    _pass(source, missing, chosen, collectors, progress and world.is_first, what, world, stop)

    def finish():
        for need in missing:
            found[need.key] = collectors[need.key].result()
            if cached and need.kind in _ARRAYS:
                _keep(source, need, seed, found[need.key], warn)

    by_the_first(finish, world=world, stop=stop)
    return found


def _pass(source, needs, chosen, collectors, progress, what, world, stop):
    """Show each picture that someone wants to all who want it."""
    wanted = np.zeros([len(needs), 1 + max(numbers[-1] for numbers in chosen.values())], bool)
    for row, need in zip(wanted, needs, strict=True):
        row[chosen[need.key]] = True
    numbers = np.flatnonzero(wanted.any(axis=0))
    batches = [numbers[first : first + source.at_once] for first in range(0, len(numbers), source.at_once)]
    detectors = {need.key[1]: need.detector for need in needs if need.detector is not None}
    shown = any(need.detector is None for need in needs)
    reads = source.number is not None  # a model has nothing to read

    def seen(task):
        part, pictures = task if reads else (task, source.batch(task))
        found = {name: _looked_at(detector, pictures, part, source) for name, detector in detectors.items()}
        return found | ({None: pictures} if shown else {})

    def read(part):
        return part, source.batch(part)

    with tqdm(total=len(numbers), unit="img", desc=what, disable=None if progress else True) as bar:

        def take(part, result):
            for need, own in zip(needs, wanted[:, part], strict=True):
                if own.any():
                    collectors[need.key].add(result[need.key[1]][own], need.detector)
            bar.update(len(part))

        ahead = min(os.cpu_count() or 1, READERS)
        in_rounds(batches, seen, take, read=read if reads else None, ahead=ahead, world=world, stop=stop)


def _looked_at(detector, pictures, numbers, source):
    """Return the features of a batch, float32 array `[N, D]`, after checking them."""
    features = detector.features(torch.from_numpy(np.ascontiguousarray(pictures)))
    if features.ndim != 2 or len(features) != len(pictures):
        raise UserError(
            f"--detector {detector.name}: it gives {list(features.shape)} for {len(pictures)} pictures. "
            "Give a network that returns a row of numbers for each picture."
        )
    features = features.float().cpu().numpy()
    odd = ~np.isfinite(features).all(axis=1)
    if odd.any():
        raise UserError(
            f"{detector.name} gives numbers that are not finite for picture {numbers[odd.argmax()]} of {source.name}. "
            "Look at that picture, or use another detector."
        )
    return features


_ARRAYS = {  # what is kept of a result, as named arrays
    "statistics": lambda found: {"mu": found[0], "sigma": found[1]},
    "rows": lambda found: {"rows": found},
}


def _about(source, need, seed):
    """What a kept result depends on."""
    random = {"seed": seed} if need.choice == "random" and need.count < source.number else {}
    return {"pictures": source.key, "kind": need.kind, "detector": [need.detector.name, need.detector.sha256],
            "count": need.count, "choice": need.choice if random else "first", **random}  # fmt: skip


def _keep(source, need, seed, found, warn):
    try:
        cache.keep(_about(source, need, seed), _ARRAYS[need.kind](found))
    except UserError as error:  # the number is not lost for that
        warn(f"What was computed of {source.name} is not kept: {error.message}")


def _kept(source, need, seed):
    """Return what was kept; None if there is none."""
    if need.kind not in _ARRAYS:
        return None
    if need.kind == "rows":
        arrays = cache.read(_about(source, need, seed), {"rows": (need.count, None)})
        return None if arrays is None else arrays["rows"]
    arrays = cache.read(_about(source, need, seed), {"mu": (None,), "sigma": (None, None)})
    if arrays is None or arrays["sigma"].shape != (len(arrays["mu"]),) * 2:
        return None
    return arrays["mu"], arrays["sigma"]

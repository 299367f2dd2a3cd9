"""From pictures to what metrics take, in one pass over a set of pictures, whatever is measured of it."""

import tempfile
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from sgtool.errors import UserError
from sgtool.measuring import cache
from sgtool.measuring.detector import Detector
from sgtool.metrics import MeanAndCovariance

IN_MEMORY = 1 << 30  # bytes of pictures; more of them lie in a temporary file


class Need(NamedTuple):
    """Something that a metric asks of a set of pictures."""

    kind: str  # "statistics": mean and covariance of features; "rows"; "probabilities"; "pictures"
    detector: Detector | None  # None for pictures
    choice: str
    count: int  # pictures that are looked at

    @property
    def key(self):
        """What tells it from others of one set."""
        return (self.kind, None if self.detector is None else (self.detector.name, self.detector.sha256), self.choice, self.count)


def gather(source, needs, *, seed=0, cached=False, progress=False, what="pictures"):
    """Look once at a set of pictures and return all that is needed of it.

    Args:
        source: `pictures.Stored` or `pictures.Made`.
        needs: list of `Need`; equal ones are computed once.
        seed: of random samples.
        cached: keep what was computed for the next time, and take what was kept.
        progress: show a bar with the time left on stderr.
        what: its label.
    Returns:
        {need.key: (mean, covariance), or array of rows, probabilities or pictures}.
    Raises:
        UserError: a picture cannot be read, or a detector gives numbers that are not finite.
    """
    wanted = {need.key: need for need in needs}
    found = {}
    if cached:
        for key, need in wanted.items():
            if (kept := _kept(source, need, seed)) is not None:
                found[key] = kept
    missing = [need for key, need in wanted.items() if key not in found]
    if not missing:
        return found
    collectors = {need.key: _COLLECTORS[need.kind](need.count) for need in missing}
    chosen = {need.key: source.choose(need.count, need.choice, seed) for need in missing}
    _pass(source, missing, chosen, collectors, progress, what)
    for need in missing:
        found[need.key] = collectors[need.key].result()
        if cached and need.kind in _ARRAYS:
            cache.keep(_about(source, need, seed), _ARRAYS[need.kind](found[need.key]))
    return found


def _pass(source, needs, chosen, collectors, progress, what):
    """Show each picture that someone wants to all who want it."""
    numbers = np.unique(np.concatenate(list(chosen.values())))
    detectors = {id(need.detector): need.detector for need in needs if need.detector is not None}
    with tqdm(total=len(numbers), unit="img", desc=what, disable=None if progress else True) as bar:
        for first in range(0, len(numbers), source.at_once):
            part = numbers[first : first + source.at_once]
            pictures = source.batch(part)
            features = {key: _looked_at(detector, pictures, part, source) for key, detector in detectors.items()}
            for need in needs:
                own = np.isin(part, chosen[need.key], assume_unique=True)
                if own.any():
                    seen = pictures if need.detector is None else features[id(need.detector)]
                    collectors[need.key].add(seen[own], need.detector)
            bar.update(len(part))


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


class _Statistics:
    def __init__(self, count):
        self.sums = MeanAndCovariance()

    def add(self, features, detector):
        self.sums.add(features)

    def result(self):
        return self.sums.result()


class _Rows:
    """Features, `[count, D]` float32."""

    def __init__(self, count):
        self.count, self.rows, self.filled = count, None, 0

    def add(self, features, detector):
        if self.rows is None:
            self.rows = np.empty([self.count, features.shape[1]], np.float32)
        self.rows[self.filled : self.filled + len(features)] = features
        self.filled += len(features)

    def result(self):
        return self.rows[: self.filled]


class _Probabilities(_Rows):
    def add(self, features, detector):
        super().add(detector.probabilities(torch.from_numpy(features)).cpu().numpy(), detector)


class _Pictures:
    """The pictures themselves, `[count, C, H, W]` uint8: in memory, or if they are many in a file that goes with the process."""

    def __init__(self, count):
        self.count, self.array, self.file, self.filled, self.shape = count, None, None, 0, None

    def add(self, pictures, detector):
        if self.shape is None:
            self.shape = (self.count, *pictures.shape[1:])
            if self.count * pictures[0].nbytes <= IN_MEMORY:
                self.array = np.empty(self.shape, np.uint8)
            else:
                self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when all is in it
        if self.array is not None:
            self.array[self.filled : self.filled + len(pictures)] = pictures
        else:
            self._write(np.ascontiguousarray(pictures))
        self.filled += len(pictures)

    def _write(self, pictures):
        try:
            self.file.write(pictures)
        except OSError as error:
            raise UserError(
                f"{tempfile.gettempdir()}: the pictures cannot be kept there while they are measured ({error.strerror}). "
                "Free some space, set TMPDIR to another folder, or ask for fewer, like swd2k."
            ) from error

    def result(self):
        if self.array is not None:
            return self.array[: self.filled]
        with self.file:
            self.file.flush()
            return np.memmap(self.file, np.uint8, "r", shape=(self.filled, *self.shape[1:]))  # which keeps the file


_COLLECTORS = {"statistics": _Statistics, "rows": _Rows, "probabilities": _Probabilities, "pictures": _Pictures}
_ARRAYS = {  # what is kept of a result, as named arrays
    "statistics": lambda found: {"mu": found[0], "sigma": found[1]},
    "rows": lambda found: {"rows": found},
}


def _about(source, need, seed):
    """What a kept result depends on."""
    random = {"seed": seed} if need.choice == "random" and need.count < source.number else {}
    return {"pictures": source.key, "kind": need.kind, "detector": [need.detector.name, need.detector.sha256],
            "count": need.count, "choice": need.choice if random else "first", **random}  # fmt: skip


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

"""Pairs of pictures that look alike, among millions, without comparing each with each.

A picture is described by the discrete cosine transform of its 16 x 16 cells of luma: the 12 x 12 slowest waves, each
multiplied by its frequency (photographs have less of the fast ones, and they tell pictures apart), scaled to length 1. This
is the transform of the perceptual hash pHash (C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
2010), kept as numbers instead of signs, so that a distance says how much two pictures differ: 0 for equal ones, about 1.4 for
unrelated ones.

Pairs are found by locality-sensitive hashing (M. Datar et al., Locality-Sensitive Hashing Scheme Based on p-Stable
Distributions, 2004): in each of `BANDS` rounds the space is cut into boxes as wide as the largest distance that counts, along
some of the directions in which these pictures differ most, and only pictures in one box are compared.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

WAVES = 12
DIRECTIONS = 32
BANDS = 24
DEPTH = 8  # pictures of one box with which each is compared
SAMPLE = 20_000  # pictures from which directions and boxes are found
CHUNK = 1 << 15  # pictures or pairs at a time
MANY, MANY_EACH = 1 << 18, 8  # pairs at which the search ends early: in all, or for each picture, whichever is more
FREQUENCY = np.hypot(*np.ogrid[:WAVES, :WAVES]).astype(np.float32)
ODD = np.tile(np.arange(WAVES) % 2 == 1, WAVES)  # waves that change their sign in the mirror
SIGNS = np.where(ODD, -1, 1).astype(np.float32)


def describe(shapes):
    """Turn cells of luma into points, close together for similar pictures.

    Args:
        shapes: `[N, 16, 16]`, of which mean and scale do not matter.
    Returns:
        float32 `[N, 144]` of length 1. Times `SIGNS` they describe the pictures with left and right exchanged.
    """
    waves = fft.dctn(shapes.astype(np.float32), axes=(1, 2), norm="ortho")[:, :WAVES, :WAVES] * FREQUENCY
    points = waves.reshape(len(shapes), WAVES * WAVES)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class Pairs:
    """Pairs of positions (first < second), sorted: int64 `[P]`, int64 `[P]`, bool `[P]` (one is the mirror image of the other).

    `crowded`, bool `[N]`: pictures with so many alike that not all of those were compared.
    """

    first: np.ndarray
    second: np.ndarray
    mirrored: np.ndarray
    crowded: np.ndarray


def candidates(shapes, indices, reach):
    """Find pairs that may be at most `reach` apart. Takes about 400 bytes of memory for each picture.

    Args:
        shapes: int8 `[M, 16, 16]` (see `findings.Measures`).
        indices: int64 `[N]`: which of them are looked at, none of them plain.
        reach: distance, above 0.
    Returns:
        `Pairs` of positions in `indices`; each is at most `reach` apart in the 32 main directions.
    """
    places, signs = _places(shapes, indices)
    some = places[:: _step(indices)]
    both = np.concatenate([some, some * signs])
    found, crowded = np.zeros(0, np.int64), np.zeros(len(places), bool)
    for band in range(BANDS):
        boxes = _Boxes(both, reach, 2 * len(places), band)
        keys = np.concatenate([boxes.keys(places, np.ones_like(signs)), boxes.keys(places, signs)])
        found = _distinct(np.concatenate([found, *_pairs_in_boxes(keys, places, signs, reach, crowded)]))
        if len(found) > max(MANY, MANY_EACH * len(places)):
            crowded[:] = True
            break
    pairs, mirrored = np.divmod(found, 2)
    first, second = np.divmod(pairs, len(places))
    return Pairs(first, second, mirrored.astype(bool), crowded)


def _distinct(codes):
    """Sorted, each once. (`np.unique` of integers is much slower.)"""
    codes = np.sort(codes)
    return codes[np.diff(codes, prepend=-1) > 0]


def _step(indices):
    return -(-len(indices) // SAMPLE)


def _places(shapes, indices):
    """Coordinates along the directions in which the pictures and their mirror images differ most.

    With each picture as likely as its mirror image, these directions either change their sign in the mirror or do not change.

    Returns:
        float32 `[N, 32]` and the signs of the mirror `[32]`.
    """
    some = describe(shapes[indices[:: _step(indices)]])
    basis, signs, strength = [], [], []
    for waves, sign in ((~ODD, 1), (ODD, -1)):
        values, vectors = np.linalg.eigh(np.cov(some[:, waves], rowvar=False, bias=True))
        directions = np.zeros([len(values), WAVES * WAVES], np.float32)
        directions[:, waves] = vectors.T
        basis.append(directions)
        signs += [sign] * len(values)
        strength.append(values)
    best = np.argsort(-np.concatenate(strength), kind="stable")[:DIRECTIONS]
    basis = np.concatenate(basis)[best].T
    places = np.empty([len(indices), DIRECTIONS], np.float32)
    for start in range(0, len(indices), CHUNK):
        places[start : start + CHUNK] = describe(shapes[indices[start : start + CHUNK]]) @ basis
    return places, np.array(signs, np.float32)[best]


class _Boxes:
    """One way to cut the space into boxes: along as few directions as make a box hold about one picture in four."""

    def __init__(self, sample, width, number, band):
        random = np.random.RandomState(band)
        self.width = width
        self.axes, self.shifts = [], []
        chance = 1.0  # that two unrelated pictures share a box
        for axis in random.permutation(DIRECTIONS):
            shift = random.uniform()
            _, counts = np.unique(np.floor(sample[:, axis] / width + shift), return_counts=True)
            chance *= np.square(counts / len(sample)).sum()
            self.axes.append(axis)
            self.shifts.append(shift)
            if chance < 0.25 / number:
                break
        self.factors = random.randint(1 << 62, size=len(self.axes), dtype=np.int64).astype(np.uint64) * np.uint64(2) + np.uint64(
            1
        )

    def keys(self, places, signs):
        """A number for each place (times `signs`), uint64 `[N]`, equal in one box."""
        keys = np.zeros(len(places), np.uint64)
        for start in range(0, len(places), CHUNK):
            part = slice(start, start + CHUNK)
            for axis, shift, factor in zip(self.axes, self.shifts, self.factors, strict=True):
                cell = np.floor(places[part, axis] * (signs[axis] / self.width) + shift)
                keys[part] += cell.astype(np.int64).astype(np.uint64) * factor
        return keys


def _pairs_in_boxes(keys, places, signs, reach, crowded):
    """Compare the pictures of each box; fill `crowded`.

    Args:
        keys: `[2 N]`: of the pictures, then of their mirror images.
    Returns:
        list of arrays of codes of pairs, (first * N + second) * 2 + mirrored.
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    codes = []
    for distance in range(1, min(DEPTH, len(keys) - 1) + 1):
        together = np.flatnonzero(keys[distance:] == keys[:-distance])
        for start in range(0, len(together), CHUNK):
            some = together[start : start + CHUNK]
            codes.append(_close(order[some], order[some + distance], places, signs, reach))
    full = np.flatnonzero(keys[DEPTH + 1 :] == keys[: -DEPTH - 1])
    for distance in range(DEPTH + 2):
        crowded[order[full + distance] % len(places)] = True
    return codes


def _close(a, b, places, signs, reach):
    """Codes of those pairs of entries (pictures and, from N on, mirror images) that are close in the main directions."""
    number = len(places)
    mirrored = (a >= number) != (b >= number)
    a, b = a % number, b % number
    difference = places[a] * np.where(mirrored[:, np.newaxis], signs, 1) - places[b]
    close = (np.square(difference).sum(axis=1) <= reach * reach) & (a != b)
    first, second = np.minimum(a, b)[close], np.maximum(a, b)[close]
    return (first * number + second) * 2 + mirrored[close]

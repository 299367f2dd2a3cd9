"""Pictures that are there twice: the same pixels, nearly the same picture, or its mirror image."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from sgtool.datasets.neighbours import CHUNK, SIGNS, candidates, describe

SMALL = 64  # pixels: pictures whose shorter side has less detail must agree `STRICTER` times as well
STRICTER = 4
CELL, COLOUR = 4.0, 120.0  # most that a cell may differ, in standard deviations of luma and in levels, as a multiple of the limit
EXACT, NEAR, MIRRORED = "duplicates", "near-duplicates", "mirrored"


@dataclass(frozen=True)
class Copy:
    """Picture `index` repeats picture `of`, which is kept; `kind` is one of the three words above; `distance` from 0 up."""

    index: int
    of: int
    kind: str
    distance: float


def find_copies(rows, limit):
    """Find the pictures that repeat others.

    Of equal and similar ones the largest (in pixels) is kept, and of those the first. Every copy is within the limit of
    the one that is kept for it: of a series of pictures that change little by little, several are kept.

    Args:
        rows: array `[N]` of `findings.ROW`.
        limit: largest distance of near duplicates (see `neighbours`), 0 for none; also scales what single cells and colours
            may differ. Pictures with less detail than 64 pixels must agree four times as well.
    Returns:
        list of `Copy`, by index; a list of arrays of indices: pictures that belong together, directly or through others.
    """
    order = np.argsort(-(rows["width"].astype(np.int64) * rows["height"]), kind="stable")
    copies, unique = _equal_ones(rows, order)
    edges = [np.array([(copy.of, copy.index) for copy in copies], np.int64).reshape(-1, 2)]
    unique = unique[rows["shape"][unique].any(axis=(1, 2))]  # plain pictures resemble nothing
    if limit > 0:
        copies += _similar_ones(rows, unique, limit, edges)
    return sorted(copies, key=lambda copy: copy.index), _groups(np.concatenate(edges), len(rows))


def _equal_ones(rows, order):
    """Find equal pixels; return copies, and all others' indices in `order`."""
    _, first, inverse = np.unique(rows["digest"][order].view("S16"), return_index=True, return_inverse=True)
    original = order[first[inverse.ravel()]]
    again = original != order
    copies = [Copy(int(i), int(of), EXACT, 0.0) for i, of in zip(order[again], original[again], strict=True)]
    return copies, order[~again]


def _similar_ones(rows, left, limit, edges):
    """Find near and mirrored copies among the pictures `left`, given in the order in which they are kept; fill `edges`."""
    taken = {}
    while len(left) > 1:
        first, second, mirrored, distance, crowded = _alike(rows, left, limit)
        edges.append(np.stack([left[first], left[second]], axis=1))
        free = np.ones(len(left), bool)
        for at, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            if free[i] and free[j]:
                free[j] = False
                kind = MIRRORED if mirrored[at] else NEAR
                taken[int(left[j])] = Copy(int(left[j]), int(left[i]), kind, float(distance[at]))
        if free.all():
            break
        left = left[free & crowded]  # where many are alike, not all pairs were compared: again, with those that are left
    return [copy for copy in (_settled(rows, copy, taken, limit) for copy in taken.values()) if copy is not None]


def _groups(edges, number):
    """The sets of two and more that the edges `[E, 2]` connect: arrays of indices, each sorted."""
    graph = csr_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(number, number))
    _, labels = connected_components(graph, directed=False)
    members = np.unique(edges)
    order = np.lexsort([members, labels[members]])
    borders = np.flatnonzero(np.diff(labels[members][order])) + 1
    return [part for part in np.split(members[order], borders) if len(part)]


def _alike(rows, indices, limit):
    """Find all pairs that are alike: positions in `indices` (sorted by the first), mirrored or not, distance; `Pairs.crowded`."""
    reach = float(_limits(rows, limit, indices).max()) * (1 + 1e-4)  # room for float32
    pairs = candidates(rows["shape"], indices, reach)
    kept, distances = [], []
    for start in range(0, len(pairs.first), CHUNK):
        part = slice(start, start + CHUNK)
        alike, distance = compare(
            rows[indices[pairs.first[part]]], rows[indices[pairs.second[part]]], pairs.mirrored[part], limit
        )
        kept.append(start + np.flatnonzero(alike))
        distances.append(distance[alike])
    kept = np.concatenate([np.zeros(0, np.int64), *kept])
    distances = np.concatenate([np.zeros(0), *distances])
    return pairs.first[kept], pairs.second[kept], pairs.mirrored[kept], distances, pairs.crowded


def _settled(rows, copy, taken, limit):
    """The copy of a picture that is kept in the end, or None if it is like none of them."""
    while copy.of in taken:
        above = taken[copy.of]
        flipped = (copy.kind == MIRRORED) != (above.kind == MIRRORED)
        index = [copy.index]
        alike, distance = compare(rows[[above.of]], rows[index], np.array([flipped]), limit)
        if not alike[0]:
            return None
        copy = Copy(copy.index, above.of, MIRRORED if flipped else NEAR, float(distance[0]))
    return copy


def _limits(rows, limit, indices=slice(None)):
    sides = np.minimum(rows["width"][indices], rows["height"][indices]) * rows["detail"][indices]
    return np.where(sides < SMALL, limit / STRICTER, limit)


def compare(a, b, mirrored, limit):
    """Tell which pictures are alike.

    They are if their points are near each other, and no cell of the small pictures differs much: an earring is little of a
    picture, but not of a cell. A picture without colour is like the same one in colour.

    Args:
        a, b: arrays `[N]` of `findings.ROW`, compared one by one.
        mirrored: bool `[N]`: compare with the mirror image of `a`.
        limit: see `find_copies`.
    Returns:
        bool `[N]`, distances `[N]`.
    """
    limits = np.minimum(_limits(a, limit), _limits(b, limit))
    flip = mirrored[:, np.newaxis]
    distances = np.linalg.norm(describe(a["shape"]) * np.where(flip, SIGNS, 1) - describe(b["shape"]), axis=1)
    luma = np.abs(_turned(_standard(a["shape"]), mirrored) - _standard(b["shape"])).max(axis=(1, 2), initial=0)
    chroma = np.abs(_turned(a["chroma"].astype(np.int16), mirrored) - b["chroma"]).max(axis=(1, 2, 3), initial=0)
    same_colour = (chroma <= COLOUR * limits) | a["grey"] | b["grey"]
    return (distances <= limits) & (luma <= CELL * limits) & same_colour, distances


def _turned(cells, mirrored):
    return np.where(mirrored.reshape(-1, *[1] * (cells.ndim - 1)), cells[:, :, ::-1], cells)


def _standard(shapes):
    values = shapes.astype(np.float32)
    return values / np.sqrt(np.square(values).mean(axis=(1, 2), keepdims=True))

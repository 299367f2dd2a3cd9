"""Nearest neighbours among features, and who lies within whose radius: all pairs, in tiles, exact.

Distances are Euclidean: differences and squares in float64, the root rounded to float32, as the published metrics compare
float32 distances. They do not depend on tiles, order or device.

Most pairs need no such care. Each tile's squared distances come from a matrix product, |a|^2 + |b|^2 - 2 ab, about a centre, with
a bound on their error: (D + 16) u (|a|^2 + |b|^2), where u is the unit roundoff of the type and D the width (Higham,
"Accuracy and Stability of Numerical Algorithms", section 3.1: a product of D terms is off by D u at most). Whatever the bound
leaves open is computed again, from the differences.
"""

import math
from typing import NamedTuple

import torch

from sgtool.metrics.rows import Room, full_precision

TILE = {"cpu": 2048, "cuda": 8192}  # rows and columns of a tile
SPARE = 5  # neighbours kept beyond those asked for, among which the bound may be wrong about the order
PART = {"cpu": 1 << 17, "cuda": 1 << 24}  # numbers handled at once in float64; on a CPU they stay in its cache
CROWDED = 1e-2  # share of a tile's pairs left open, from which a tile is computed again in float64
ROUNDING = 2.0**-21  # relative, of squared distances whose root was rounded to float32, doubled
TINY = 1e-30  # below which products of float32 numbers lose digits; sets are scaled to norms up to 1


class Counts(NamedTuple):
    """How many points lie in spheres, `count_inside`.

    Attributes:
        spheres: `[M]` int64: for each point, how many spheres it lies in.
        points: `[N]` int64: for each sphere, how many points lie in it.
    """

    spheres: torch.Tensor
    points: torch.Tensor


def nearest(queries, points, k=1):
    """Return the distances of the k nearest points to each query, nearest first, and which points they are.

    Args:
        queries: `[N, D]` tensor. The very same object as `points`: each point's neighbours are the other points then, of
            which copies of it are some, at the distance 0.
        points: `[M, D]` tensor, of the same type and device.
        k: how many, at most M (M - 1 among themselves).
    Returns:
        `[N, k]` float32 distances and `[N, k]` int64 row numbers; among equally far points any may be the one.
    """
    view = View(points)
    found = _search(queries, points, k, view, torch.float32)
    for kind in (torch.float64, None):  # None: exact for all pairs
        open_rows = (~found[2]).nonzero().squeeze(1)
        if not len(open_rows):
            break
        again = _search(queries, points, k, view, kind, open_rows)
        for whole, part in zip(found, again, strict=True):
            whole[open_rows] = part
    return found[0], found[1]


def count_inside(centres, points, radii, reach=None):
    """Count which points lie in which spheres; a point on the surface lies inside.

    Args:
        centres: `[N, D]` tensor.
        points: `[M, D]` tensor of the same type and device.
        radii: `[N]` float32, of spheres about the centres; None = not asked for.
        reach: `[M]` float32, of spheres about the points, counted in the same pass; None = not asked for.
    Returns:
        (Counts of the points in the centres' spheres, Counts of the centres in the points' spheres), None where not asked for.
    """
    view = View(centres, points)
    zeros = [torch.zeros(len(rows), dtype=torch.int64, device=rows.device) for rows in (centres, points) * 2]
    asked = [(0, radii, Counts(zeros[1], zeros[0])), (1, reach, Counts(zeros[2], zeros[3]))]
    asked = [row for row in asked if row[1] is not None]
    room = Room(points.device)
    with full_precision():
        for rows in _blocks(centres):
            block = view.of(centres[rows], torch.float32, room, "rows")
            for columns in _blocks(points):
                tile = Tile(block, view.of(points[columns], torch.float32, room, "columns"), room)
                for axis, limits, counts in asked:
                    i, j = _pairs_inside(tile, (centres, points), (rows, columns), limits, axis, view)
                    own, other = (counts.points, counts.spheres) if axis == 0 else (counts.spheres, counts.points)
                    own += torch.bincount(i, minlength=len(centres))
                    other += torch.bincount(j, minlength=len(points))
    results = {axis: counts for axis, _, counts in asked}
    return results.get(0), results.get(1)


class View:
    """Rows about a common centre, scaled to norms up to 1, a part at a time.

    The centre has the type of the rows and the scale is a power of two, so each number is rounded once.
    """

    def __init__(self, *sets):
        means = (sum(part.double().sum(dim=0) for part in rows.split(_part(rows))) / len(rows) for rows in sets)
        self.centre = (sum(means) / len(sets)).to(sets[0].dtype)
        parts = (part for rows in sets for part in rows.split(_part(rows)))
        norms = [(part.double() - self.centre).square().sum(dim=1).max() for part in parts]
        largest = float(torch.stack(norms).max())
        self.scale = 2.0 ** -math.ceil(math.log2(largest) / 2) if largest > 0 else 1.0

    def of(self, part, kind, room=None, name=None):
        """Return rows `[n, D]` of a type and their squared norms `[n]`; the rows lie in the room's memory of that name."""
        at_least = torch.promote_types(part.dtype, kind)
        place = room and room.tensor(name, part.shape, at_least)
        rows = torch.sub(part.to(at_least), self.centre.to(at_least), out=place).mul_(self.scale).to(kind)
        return rows, torch.linalg.vector_norm(rows, dim=1).square()

    def squared(self, distances):
        """Distances of the given rows as squared distances of this view, float64."""
        return (distances.double() * self.scale).square()


class Tile:
    """Squared distances between two blocks, from below; `slack` tells how much they may be larger.

    Attributes:
        lowest: `[n, m]`, at most the squared distance, in the memory of `room` if that is given.
    """

    def __init__(self, a, b, room=None):
        (a, self.a_norms), (b, self.b_norms) = a, b
        self.error = (a.shape[1] + 16) * torch.finfo(a.dtype).eps / 2
        place = room and room.tensor("tile", [len(a), len(b)], a.dtype)
        self.lowest = torch.addmm(self.b_norms * (1 - self.error), a, b.T, alpha=-2, out=place)
        self.lowest += (self.a_norms * (1 - self.error))[:, None]

    def slack(self, i, j):
        """Largest minus lowest, for pairs."""
        return 2 * self.error * (self.a_norms[i] + self.b_norms[j])


def distances_of_pairs(a, b, i, j):
    """Return the distances of the pairs a[i], b[j]: `[P]` float32, by the definition."""
    result = torch.empty(len(i), dtype=torch.float32, device=a.device)
    step = _part(a)
    for first in range(0, len(i), step):
        part = slice(first, first + step)
        result[part] = (a[i[part]].double() - b[j[part]]).square().sum(dim=1).sqrt().float()
    return result


def _pairs_inside(tile, sets, places, limits, axis, view):
    """Return row numbers (of centres, of points) of the pairs of a tile whose distance is at most `limits` of that axis."""
    rows, columns = places
    for kind in (torch.float32, torch.float64):
        if kind is torch.float64:
            tile = Tile(*(view.of(whole[place], kind) for whole, place in zip(sets, places, strict=True)))
        bound = view.squared(limits[places[axis]])
        outer = (bound * (1 + ROUNDING) + TINY).to(kind)
        near = (tile.lowest.amin(dim=1 - axis) <= outer).nonzero().squeeze(1)  # the spheres that reach this tile: few
        reached = outer[near]
        i, j = (tile.lowest.index_select(axis, near) <= (reached[:, None] if axis == 0 else reached)).nonzero(as_tuple=True)
        i, j = (near[i], j) if axis == 0 else (i, near[j])
        highest = tile.lowest[i, j] + tile.slack(i, j)
        sure = highest <= (bound * (1 - ROUNDING) - TINY).to(kind)[i if axis == 0 else j]
        if len(i) - int(sure.sum()) <= CROWDED * tile.lowest.numel():
            break
    i, j = i + rows.start, j + columns.start
    unsure = (~sure).nonzero().squeeze(1)
    exact = distances_of_pairs(*sets, i[unsure], j[unsure])
    sure[unsure] = exact <= limits[(i, j)[axis][unsure]]
    return i[sure], j[sure]


def _search(queries, points, k, view, kind, chosen=None):
    """Return distances, row numbers, and whether the bound proves that none is nearer; for the `chosen` queries or all."""
    lowest, index = _candidates(queries, points, k + SPARE, view, kind, chosen)
    number, width = index.shape
    first = torch.arange(len(queries), device=queries.device) if chosen is None else chosen
    exact = distances_of_pairs(queries, points, first.repeat_interleave(width), index.reshape(-1)).reshape(number, width)
    exact[torch.isinf(lowest)] = torch.inf  # a place that was never taken, or the query itself
    ordered, order = exact.sort(dim=1)
    proven = lowest[:, -1].double().clamp(min=0) >= view.squared(ordered[:, k - 1]) * (1 + ROUNDING)
    everything = width >= len(points) - (queries is points)
    return ordered[:, :k], index.gather(1, order[:, :k]), proven | (kind is None or everything)


def _candidates(queries, points, width, view, kind, chosen):
    """Return the `width` lowest bounds of squared distances for each query, and whose they are."""
    same = queries is points
    rows_of = queries if chosen is None else queries[chosen]
    width = min(width, len(points))
    lowest = torch.full([len(rows_of), width], torch.inf, dtype=kind or torch.float64, device=points.device)
    index = torch.zeros([len(rows_of), width], dtype=torch.int64, device=points.device)
    mirrored = same and chosen is None  # a tile above the diagonal serves its columns too
    numbers = torch.arange(len(queries), device=points.device) if chosen is None else chosen
    room = Room(points.device)
    with full_precision():
        for rows in _blocks(rows_of):
            block = _prepared(rows_of[rows], view, kind, room, "rows")
            for columns in _blocks(points):
                if mirrored and columns.start < rows.start:
                    continue
                tile = _bounds(block, _prepared(points[columns], view, kind, room, "columns"), view, kind, room)
                if same:
                    _leave_out(tile, numbers[rows] - columns.start)
                _keep(lowest, index, rows, columns, tile)
                if mirrored and columns.start > rows.start:
                    _keep(lowest, index, columns, rows, room.tensor("turned", tile.T.shape, tile.dtype).copy_(tile.T))
    return lowest, index


def _prepared(rows, view, kind, room, name):
    return rows if kind is None else view.of(rows, kind, room, name)


def _bounds(a, b, view, kind, room):
    """Lower bounds of squared distances `[n, m]` in the view's scale; the squared distances themselves if no kind is given."""
    if kind is not None:
        return Tile(a, b, room).lowest
    i, j = (grid.reshape(-1) for grid in torch.meshgrid(*(torch.arange(len(x), device=a.device) for x in (a, b)), indexing="ij"))
    return view.squared(distances_of_pairs(a, b, i, j)).reshape(len(a), len(b))


def _leave_out(tile, own):
    """Set each row's own column, where it lies in the tile, to infinity."""
    here = ((own >= 0) & (own < tile.shape[1])).nonzero().squeeze(1)
    tile[here, own[here]] = torch.inf


def _keep(lowest, index, rows, columns, tile):
    """Merge a tile into the lowest bounds so far of its rows, in place."""
    changed = (tile.amin(dim=1) < lowest[rows, -1]).nonzero().squeeze(1)
    width, places = lowest.shape[1], changed + rows.start
    values, found = tile[changed].topk(min(width, tile.shape[1]), dim=1, largest=False)
    both = torch.cat([lowest[places], values], dim=1)
    which = torch.cat([index[places], found + columns.start], dim=1)
    lowest[places], order = both.topk(width, dim=1, largest=False, sorted=True)
    index[places] = which.gather(1, order)


def _part(rows):
    """Number of rows that are handled at once in float64."""
    return max(1, PART.get(rows.device.type, PART["cpu"]) // rows.shape[1])


def _blocks(rows):
    """Slices of a tile's length that cover the rows."""
    step = TILE.get(rows.device.type, TILE["cpu"])
    return [slice(first, min(first + step, len(rows))) for first in range(0, len(rows), step)]

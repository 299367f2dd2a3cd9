"""Neighbours and spheres: the definition pair by pair, in any tiles, where matrix products lose their digits too."""

import numpy as np
import pytest
import torch

from sgtool.metrics import neighbours
from sgtool.metrics.neighbours import Tile, View, count_inside, nearest


def exact(a, b):
    """All distances by the definition, float32."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return np.sqrt(np.square(a[:, None] - b[None]).sum(axis=2)).astype(np.float32)


def clusters(number, dimensions, seed, spread, offset=0.0):
    """Rows in three tight clusters far from the origin: what |a|^2 + |b|^2 - 2ab loses most digits of."""
    random = np.random.RandomState(seed)
    middles = 3 * np.random.RandomState(99).randn(3, dimensions) + offset
    rows = middles[random.randint(3, size=number)] + spread * random.randn(number, dimensions)
    return torch.from_numpy(rows.astype(np.float32))


CASES = {
    "plain": (1.0, 0.0),
    "far from the origin": (1.0, 1000.0),
    "tight": (1e-4, 0.0),
    "nearly equal": (1e-7, 1.0),
    "copies": (0.0, 1.0),
}


@pytest.fixture(params=[3, 16, 4096], ids="tiles of {}".format)
def tile(request, monkeypatch):
    monkeypatch.setattr(neighbours, "TILE", {"cpu": request.param})
    monkeypatch.setattr(neighbours, "PART", {"cpu": 100})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_neighbours_are_those_of_the_definition(tile, case, kind):
    spread, offset = CASES[case]
    queries, points = (clusters(n, 20, seed, spread, offset).to(kind) for n, seed in ((40, 0), (50, 1)))
    distances, index = nearest(queries, points, 4)
    expected = exact(queries, points)
    np.testing.assert_array_equal(distances, np.sort(expected, axis=1)[:, :4])
    np.testing.assert_array_equal(np.take_along_axis(expected, index.numpy(), 1), distances)
    assert all(len(set(row.tolist())) == 4 for row in index)


@pytest.mark.parametrize("case", CASES)
def test_a_row_is_not_its_own_neighbour_but_its_copy_is(tile, case):
    spread, offset = CASES[case]
    rows = clusters(45, 20, 2, spread, offset)
    rows[7] = rows[3]
    distances, index = nearest(rows, rows, 3)
    expected = exact(rows, rows)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_array_equal(distances, np.sort(expected, axis=1)[:, :3])
    assert distances[3, 0] == distances[7, 0] == 0
    assert not (index == torch.arange(45)[:, None]).any()


@pytest.mark.parametrize("case", CASES)
def test_points_in_spheres_are_those_of_the_definition(tile, case):
    spread, offset = CASES[case]
    centres, points = (clusters(n, 20, seed, spread, offset) for n, seed in ((40, 0), (50, 1)))
    distances = exact(centres, points)
    # radii that equal a distance: the surface lies inside
    radii, reach = torch.from_numpy(np.sort(distances, axis=1)[:, 5]), torch.from_numpy(np.sort(distances, axis=0)[3])
    of_points, of_centres = count_inside(centres, points, radii, reach)
    inside, reached = distances <= radii.numpy()[:, None], distances <= reach.numpy()
    assert of_points.spheres.tolist() == inside.sum(axis=0).tolist()
    assert of_points.points.tolist() == inside.sum(axis=1).tolist()
    assert of_centres.spheres.tolist() == reached.sum(axis=1).tolist()
    assert of_centres.points.tolist() == reached.sum(axis=0).tolist()
    assert count_inside(centres, points, radii)[1] is None


def test_a_radius_one_float32_step_smaller_leaves_the_point_outside():
    centres, points = torch.zeros([1, 3]), torch.tensor([[1.0, 2.0, 2.0]])
    smaller = torch.nextafter(torch.tensor([3.0]), torch.tensor([0.0]))
    counts = [int(count_inside(centres, points, radius)[0].spheres) for radius in (torch.tensor([3.0]), smaller)]
    assert counts == [1, 0]


def test_all_neighbours_may_be_asked_for():
    rows = clusters(6, 4, 0, 1.0)
    assert nearest(rows, rows, 5)[0].isfinite().all()
    assert nearest(rows[:2], rows, 6)[0].shape == (2, 6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 30, 2000])
def test_the_bound_holds_the_squared_distance(kind, dimensions):
    a, b = (clusters(60, dimensions, seed, 1e-3, 5.0) for seed in (0, 1))
    view = View(a, b)
    tile = Tile(view.of(a, kind), view.of(b, kind))
    true = view.squared(torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist"))
    i, j = torch.cartesian_prod(torch.arange(60), torch.arange(60)).T
    assert (tile.lowest[i, j].double() <= true[i, j]).all()
    assert (true[i, j] <= tile.lowest[i, j].double() + tile.slack(i, j).double()).all()


def test_large_and_small_numbers_neither_overflow_nor_vanish():
    rows = clusters(30, 8, 0, 1.0)
    expected = nearest(rows, rows, 2)[0]
    for scale in (2.0**80, 2.0**-60):
        scaled = rows * scale
        torch.testing.assert_close(nearest(scaled, scaled, 2)[0] / scale, expected, rtol=1e-6, atol=0)

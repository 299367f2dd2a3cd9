"""Kernel distance: the published code's numbers, the definition, tiles, subsets and their draw."""

import numpy as np
import pytest
import torch

from sgtool.metrics import kernel, kernel_distance, kernel_distances


def features(number, seed, dimensions=6, shift=0.0):
    return np.random.RandomState(seed).randn(number, dimensions).astype(np.float32) + np.float32(shift)


def slow_distance(a, b):
    """Pair by pair, straight from the definition."""

    def mean(u, v, different):
        values = [(x @ y / len(x) + 1) ** 3 for i, x in enumerate(u) for j, y in enumerate(v) if not different or i != j]
        return np.mean(values)

    a, b = a.astype(np.float64), b.astype(np.float64)
    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)


def test_whole_sets_give_the_number_of_the_published_code(reference):
    value = kernel_distance(reference["kid/full/real"], reference["kid/full/gen"], subset_size=None)
    assert value == pytest.approx(reference["kid/full/value"], rel=1e-6)  # computed there in float32


def test_subsets_give_the_numbers_of_the_published_code(reference):
    pairs = zip(reference["kid/subsets/real_index"], reference["kid/subsets/gen_index"], strict=True)
    real, fake = reference["kid/subsets/real"], reference["kid/subsets/gen"]
    values = [kernel_distance(real[i], fake[j], subset_size=None) for i, j in pairs]
    np.testing.assert_allclose(values, reference["kid/subsets/value_per_subset"], rtol=1e-12)


@pytest.mark.parametrize("tile", [4, 7, 2048])
def test_distance_is_the_definition_in_any_tiles_and_for_any_counts(monkeypatch, tile):
    monkeypatch.setattr(kernel, "TILE", tile)
    a, b = features(13, 0), features(19, 1, shift=0.5)
    assert kernel_distance(a, b, subset_size=None) == pytest.approx(slow_distance(a, b), rel=1e-12)


def test_a_subset_of_all_rows_is_the_whole_set():
    a, b = features(20, 0), features(20, 1)
    assert kernel_distance(a, b, subset_size=20, num_subsets=1) == pytest.approx(kernel_distance(a, b, None), rel=1e-12)


def test_distance_of_known_gaussians_is_the_closed_form():
    # one dimension, N(0, 1) and N(m, 1): E k = E(uv)^3 + 3 E(uv)^2 + 3 E(uv) + 1 with moments 0, 1, 0 and m, m^2 + 1, m^3 + 3 m
    m, a, b = 0.7, features(3000, 0, 1), features(3000, 1, 1, shift=0.7)
    moments, others = (0, 1, 0), (m, m**2 + 1, m**3 + 3 * m)
    expected = sum(weight * (x - y) ** 2 for weight, x, y in zip((3, 3, 1), moments, others, strict=True))
    assert kernel_distance(a, b, subset_size=None) == pytest.approx(expected, rel=0.15)


def test_distance_of_alike_sets_is_zero_on_average():
    values = kernel_distances(features(4000, 0), features(4000, 1), subset_size=200, num_subsets=100)
    assert values.shape == (100,)
    assert (values < 0).any()  # unbiased
    assert abs(values.mean()) < 4 * values.std() / 10


def test_roles_and_order_do_not_matter():
    a, b = features(30, 0), features(40, 1, shift=1)
    expected = pytest.approx(kernel_distance(a, b, subset_size=None), rel=1e-12)
    assert kernel_distance(b, a, subset_size=None) == expected
    assert kernel_distance(a[::-1], b[::-1], subset_size=None) == expected


def test_the_seed_decides_the_subsets():
    a, b = features(50, 0), features(60, 1)
    values = [kernel_distances(a, b, 20, 4, seed) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(values[0], values[1])
    assert len({*values[0], *values[2]}) == 8
    assert kernel_distance(a, b, 20, 4, 3) == values[0].mean()


def test_types_give_the_same():
    a, b = features(30, 0), features(30, 1)
    expected = kernel_distance(a, b, 10, 3)
    assert kernel_distance(torch.from_numpy(a), b.astype(np.float64), 10, 3) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(torch.from_numpy(a).half(), b, 10, 3) == pytest.approx(expected, rel=0.02, abs=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "options", "words"),
    [
        (features(50, 0), features(40, 0), {}, "subset_size is 1000; give 2 to 40"),
        (features(50, 0), features(40, 0), {"subset_size": 1}, "subset_size is 1;"),
        (features(50, 0), features(40, 0), {"subset_size": 10, "num_subsets": 0}, "num_subsets is 0"),
        (features(1, 0), features(40, 0), {"subset_size": None}, "a has 1 rows and needs at least 2"),
        (features(9, 0), features(9, 0, 5), {"subset_size": None}, "a has 6 columns and b has 5"),
        (features(9, 0), features(9, 0, shift=np.inf), {"subset_size": None}, "b holds values that are not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, options, words):
    with pytest.raises(ValueError, match=words):
        kernel_distance(a, b, **options)

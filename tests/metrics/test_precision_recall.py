"""Precision and recall: the published code's numbers, the convention, the surface, and what must not matter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.metrics import bootstrap_interval, neighbours, precision_recall
from sgtool.metrics.precision_recall import precision_recall_hits


def features(number, seed, scale=1.0, shift=0.0, dimensions=4):
    return (scale * np.random.RandomState(seed).randn(number, dimensions) + shift).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_numbers_are_those_of_the_published_code(reference, k):
    found = precision_recall(reference[f"pr/k{k}/real"], reference[f"pr/k{k}/gen"], k)
    assert found == pytest.approx(tuple(float(reference[f"pr/k{k}/{name}"]) for name in ("precision", "recall")), rel=1e-6)


def test_a_collapsed_generator_has_high_precision_and_low_recall():
    precision, recall = precision_recall(features(500, 0), features(500, 1, scale=0.01))
    assert precision == 1
    assert recall < 0.02


def test_an_exaggerating_generator_has_low_precision_and_high_recall():
    precision, recall = precision_recall(features(500, 0), features(500, 1, scale=4))
    assert precision < 0.3
    assert recall > 0.9


def test_a_set_against_itself_is_all_inside_and_far_sets_are_all_outside():
    real = features(60, 0)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


@pytest.mark.parametrize(("place", "inside"), [(4.0, 1), (np.nextafter(np.float32(4), np.float32(5)), 0)])
def test_the_surface_lies_inside(place, inside):
    # real 0, 1, 2, 3 with k = 1: radii 1, so the manifold is [-1, 4]
    real, fake = np.arange(4.0)[:, None], np.array([[place], [100.0]])
    assert precision_recall(real, fake, k=1)[0] == inside / 2


def test_copies_of_one_picture_have_radius_zero_and_hold_each_other():
    real = np.concatenate([features(50, 0), np.full([5, 4], 9.0, np.float32)])
    fake = np.full([10, 4], 9.0, np.float32)
    assert precision_recall(real, fake) == (1, 5 / 55)
    assert precision_recall(real, fake + 1e-4)[0] == 0


@given(st.integers(5, 40), st.integers(5, 40), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_numbers_are_the_definition_and_roles_exchange_them(n, m, k, seed):
    real, fake = features(n, seed), features(m, seed + 1, shift=0.5)

    def share(inner, centres):
        own = np.linalg.norm(centres[:, None] - centres, axis=2)
        radii = np.sort(own, axis=1)[:, k]
        return (np.linalg.norm(inner[:, None] - centres, axis=2) <= radii).any(axis=1).mean()

    precision, recall = precision_recall(real, fake, k)
    assert (precision, recall) == pytest.approx((share(fake, real), share(real, fake)))
    assert precision_recall(fake, real, k) == (recall, precision)


def test_order_tiles_and_types_do_not_matter(monkeypatch):
    real, fake = features(150, 0), features(120, 1, shift=0.5)
    expected = precision_recall(real, fake)
    assert all(0 < share < 1 for share in expected)
    assert precision_recall(real[::-1], fake[::-1]) == expected
    assert precision_recall(torch.from_numpy(real), fake.astype(np.float64)) == expected
    monkeypatch.setattr(neighbours, "TILE", {"cpu": 37})
    assert precision_recall(real, fake) == expected


def test_hits_have_the_numbers_as_means_and_give_an_interval():
    real, fake = features(150, 0), features(120, 1, shift=0.5)
    hits = precision_recall_hits(real, fake)
    assert [len(x) for x in hits] == [120, 150]
    assert precision_recall(real, fake) == tuple(float(x.double().mean()) for x in hits)
    low, high = bootstrap_interval(hits[0])
    assert low < precision_recall(real, fake)[0] < high


@pytest.mark.parametrize(
    ("real", "fake", "k", "words"),
    [
        (features(3, 0), features(9, 0), 3, "real has 3 rows and needs at least 4"),
        (features(9, 0), features(3, 0), 3, "fake has 3 rows and needs at least 4"),
        (features(9, 0), features(9, 0), 0, "k is 0"),
        (features(9, 0), features(9, 0, dimensions=3), 3, "real has 4 columns and fake has 3"),
        (features(9, 0), features(9, 0, shift=np.nan), 3, "fake holds values that are not finite"),
    ],
)
def test_what_has_no_manifold_is_refused(real, fake, k, words):
    with pytest.raises(ValueError, match=words):
        precision_recall(real, fake, k)

"""A plane that was planted is found, and its accuracy is that of examples it has not seen."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from sgtool.latents.editing.learned import _loss, deal, fit, separate, without


def planted(number=600, width=16, offset=0.0, noise=0.0, seed=0):
    """Samples with different spreads, who lies beyond a plane, and the plane's normal."""
    draws = np.random.default_rng(seed)
    normal = draws.normal(size=width)
    normal /= np.linalg.norm(normal)
    w = draws.normal(size=[number, width]) * np.linspace(0.5, 2, width) + 3
    side = (w - 3) @ normal + noise * draws.normal(size=number)
    return w.astype(np.float32), side > offset, normal


def test_a_planted_plane_is_recovered():
    w, has, normal = planted(2000)
    found = separate(w, has)
    assert found.normal @ normal > 0.99
    assert found.accuracy > 0.97
    np.testing.assert_allclose(np.linalg.norm(found.normal), 1, atol=1e-12)


def test_a_noisy_label_that_few_have_is_learned_with_both_sides_alike():
    w, has, normal = planted(2000, offset=2.0, noise=0.3)
    assert has.mean() < 0.1
    found = separate(w, has)
    assert found.normal @ normal > 0.9
    assert found.accuracy > 0.85


def test_the_direction_does_not_hang_on_where_w_lies_nor_on_its_unit():
    w, has, _ = planted(300)
    same = separate(w.astype(np.float64) * 0.01 + 70, has)
    np.testing.assert_allclose(same.normal, separate(w, has).normal, atol=1e-4)


def test_labels_by_chance_have_the_accuracy_of_chance():
    w, _, _ = planted(400, width=64)
    has = np.random.default_rng(5).random(400) < 0.3
    assert abs(separate(w, has).accuracy - 0.5) < 0.08


def test_with_fewer_examples_than_numbers_what_is_held_out_is_not_told_from_what_is_seen():
    w, _, _ = planted(60, width=128)
    has = np.arange(60) % 2 == 0
    slope, offset = fit(w - 3.0, has, 1e-4)
    assert (((w - 3.0) @ slope + offset > 0) == has).all()
    assert separate(w, has).accuracy < 0.75


def test_the_other_label_has_the_opposite_direction():
    w, has, _ = planted(300)
    np.testing.assert_allclose(separate(w, ~has).normal, -separate(w, has).normal, atol=1e-3)


def test_the_loss_has_the_gradient_that_it_says():
    w, has, _ = planted(50, width=4)
    x = w.astype(np.float64) - 3
    point = np.random.default_rng(0).normal(size=5)
    wrong = check_grad(lambda p: _loss(p, x, has, 0.3)[0], lambda p: _loss(p, x, has, 0.3)[1], point)
    assert wrong < 1e-6


def test_the_fit_is_that_of_another_program():
    linear_model = pytest.importorskip("sklearn.linear_model")
    w, has, _ = planted(200, width=5, noise=0.5, offset=1.0)
    x = w.astype(np.float64) - 3
    slope, offset = fit(x, has, 0.01)
    # sklearn: |slope|^2 / 2 + C * sum of losses; weights of "balanced" add up to N
    other = linear_model.LogisticRegression(C=1 / (0.01 * 200), class_weight="balanced", tol=1e-8, max_iter=1000).fit(x, has)
    np.testing.assert_allclose(slope, other.coef_[0], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(offset, other.intercept_[0], rtol=1e-2, atol=1e-3)


def test_folds_have_their_share_of_both_sides():
    has = np.arange(103) < 13
    fold = deal(has, 5)
    assert set(np.bincount(fold[has])) <= {2, 3}
    assert set(np.bincount(fold[~has])) == {18}


def test_what_is_shared_with_others_is_taken_out():
    draws = np.random.default_rng(0)
    others = draws.normal(size=[3, 8])
    others = np.concatenate([others, others[:1] * 2])  # one of them twice
    vectors = draws.normal(size=[2, 8])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rest, left = without(np.concatenate([vectors, others[:1] / np.linalg.norm(others[0])]), others)
    np.testing.assert_allclose(rest @ others.T, 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rest, axis=1), [1, 1, 0], atol=1e-12)
    assert (left[:2] > 0.1).all()
    assert left[2] < 1e-6
    np.testing.assert_allclose(np.sum(rest[:2] * vectors, axis=1), left[:2], atol=1e-12)

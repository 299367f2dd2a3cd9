"""Mean and covariance of W: streaming equals all at once, classes are kept apart."""

import numpy as np
import pytest

from sgtool.latents.editing import spread
from sgtool.latents.editing.spread import Moments, spread_of_w


@pytest.mark.parametrize("cut", [[7, 50], [1, 2, 99], []])
def test_moments_of_parts_are_those_of_the_whole_even_far_from_zero(cut):
    rows = np.random.default_rng(0).normal(size=[100, 5]) @ np.random.default_rng(1).normal(size=[5, 5]) + 1e7
    moments = Moments(5)
    for part in np.split(rows, cut):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.T), rtol=1e-6)


def test_one_standard_deviation_along_a_vector_is_that_of_the_samples_along_it():
    rows, vector = np.random.default_rng(0).normal(size=[1000, 3]) * [1, 2, 5], np.array([0.6, 0, 0.8])
    moments = Moments(3)
    moments.add(rows)
    along = spread.Spread(moments.mean, moments.covariance(), 1000).along([vector])
    np.testing.assert_allclose(along, [(rows @ vector).std(ddof=1)], rtol=1e-10)


def test_w_is_sampled_alike_in_parts_of_any_size(model, monkeypatch):
    whole = spread_of_w(model, 500)
    monkeypatch.setattr(spread, "AT_ONCE", 64)
    parts = spread_of_w(model, 500)
    assert whole.samples == 500
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(parts.covariance, whole.covariance, atol=1e-6)


def test_classes_are_kept_apart_or_taken_together(make_model):
    model = make_model(c_dim=3)
    each = [spread_of_w(model, 4000, [number]) for number in range(3)]
    within = spread_of_w(model, 12_000, [0, 1, 2])
    whole = spread_of_w(model, 12_000, [0, 1, 2], between=True)
    means = np.stack([one.mean for one in each])
    np.testing.assert_allclose(within.covariance, np.mean([one.covariance for one in each], axis=0), atol=0.06)
    np.testing.assert_allclose(whole.covariance - within.covariance, np.cov(means.T, bias=True), atol=0.06)
    np.testing.assert_allclose(np.trace(whole.covariance - within.covariance), means.var(axis=0).sum(), rtol=0.1)
    assert means.var(axis=0).sum() > 0.5

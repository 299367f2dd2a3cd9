"""Closed-form factorization equals what a search for the largest change of the styles finds."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from sgtool.latents.editing.sefa import sefa, style_layers
from sgtool.networks import build_generator


def network(**changes):
    torch.manual_seed(0)
    size = {"z_dim": 6, "c_dim": 0, "w_dim": 6, "img_resolution": 16, "img_channels": 3, **changes}
    return build_generator(**size, synthesis_kwargs={"channel_base": 128, "channel_max": 8}).eval()


def change_of_styles(G, rows, direction):
    """|A n|^2 as it happens: what the layers' styles change by when w does."""
    w, total = torch.randn(1, G.w_dim), 0.0
    for row in rows:
        layer = style_layers(G)[row].double()
        with torch.no_grad():
            total += float((layer(w.double() + torch.as_tensor(direction)[None]) - layer(w.double())).square().sum())
    return total


@pytest.mark.parametrize("rows", [[0], [1, 2], range(6)], ids=["one", "two", "all"])
def test_the_directions_are_those_of_the_largest_change_found_by_search(rows):
    G = network()
    vectors, values = sefa(G, 3, rows)
    found = []
    for k in range(3):

        def loss(n, before=tuple(found)):
            n = n - sum((n @ other) * other for other in before)
            return -change_of_styles(G, rows, n / np.linalg.norm(n))

        tries = [minimize(loss, np.random.default_rng(i).normal(size=6), method="BFGS") for i in range(2)]
        best = min(tries, key=lambda result: result.fun)
        n = best.x - sum((best.x @ other) * other for other in found)
        found.append(n / np.linalg.norm(n))
        np.testing.assert_allclose(-best.fun, values[k], rtol=1e-4)
        np.testing.assert_allclose(abs(found[k] @ vectors[k]), 1, atol=1e-3)


def test_directions_are_orthonormal_and_in_order():
    vectors, values = sefa(network(), 6)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(6), atol=1e-10)
    assert (np.diff(values) <= 0).all()
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1) > 0).all()


@pytest.mark.parametrize("changes", [{}, {"img_resolution": [8, 16]}, {"img_channels": 1}, {"c_dim": 4}], ids=str)
def test_each_row_has_the_layer_that_takes_it(changes):
    G = network(**changes)
    assert len(style_layers(G)) == G.num_ws
    seen = []
    for layer in style_layers(G):
        layer.register_forward_hook(lambda layer, arguments, result: seen.append((layer, float(arguments[0][0, 0]))))
    ws = torch.zeros(1, G.num_ws, G.w_dim)
    ws[0, :, 0] = torch.arange(G.num_ws)
    with torch.no_grad():
        G.synthesis(ws, noise_mode="const")
    assert dict(seen) == {layer: float(row) for row, layer in enumerate(style_layers(G))}

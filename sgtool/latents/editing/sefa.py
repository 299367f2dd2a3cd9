"""Directions from the weights alone: closed-form factorization, SeFa (Shen and Zhou 2021)."""

import numpy as np

from sgtool.errors import UserError
from sgtool.latents.editing.ganspace import signed


def sefa(G, number, rows=None):
    """Return the directions along which the styles of the chosen layers change most.

    The first thing a layer does with w is style = A w + b. The unit vector n that changes it most maximises |A n|^2; the
    first `number` of them, each at right angles to those before, are the eigenvectors of A'A with the largest eigenvalues
    (section 3.2). For several layers their A are stacked.

    A is used as it works, weight * weight_gain, and as the paper has it. The authors' program scales each row of A to length
    1 first, which gives weak channels the say of strong ones; here they keep their strength. A layer is the convolution
    that takes a row of `ws`. ToRGB layers count only where nothing else takes the row: that is the last.

    Args:
        G: a generator.
        number: how many, at most w_dim.
        rows: rows of `ws` whose layers count; None = all.
    Returns:
        directions `[number, w_dim]` float64, orthonormal, and their eigenvalues `[number]`, largest first.
    Raises:
        UserError: weights are not finite.
    """
    affines = style_layers(G)
    rows = range(G.num_ws) if rows is None else rows
    stacked = np.concatenate([_weight(affines[row]) for row in rows])  # [sum of channels, w_dim]
    if not np.isfinite(stacked).all():
        raise UserError("The network's weights are not finite numbers: its training diverged. Use an earlier snapshot.")
    values, vectors = np.linalg.eigh(stacked.T @ stacked)
    return signed(vectors[:, ::-1].T[:number]), values[::-1][:number]


def style_layers(G):
    """Return the affine layer that makes a style of each row of `ws`: a list of num_ws layers."""
    blocks = [getattr(G.synthesis, name) for name in G.synthesis.block_names]
    convolutions = [layer for block in blocks for layer in (getattr(block, "conv0", None), block.conv1) if layer is not None]
    return [layer.affine for layer in [*convolutions, blocks[-1].torgb]]


def _weight(affine):
    """Return A of a layer, `[channels, w_dim]` float64."""
    return affine.weight.detach().cpu().numpy().astype(np.float64) * affine.weight_gain

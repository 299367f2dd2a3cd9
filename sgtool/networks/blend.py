"""One network from two: layer swapping, and the interpolation of weights of which it is the extreme case.

Pinkney & Adler 2020 (arXiv 2010.05334), section 2. Each layer of the synthesis network has a weight alpha from 0 (that of A)
to 1 (that of B), which depends on its resolution: parameter = (1 - alpha) * parameter of A + alpha * parameter of B.
"""

import copy
import math
from dataclasses import dataclass

import torch

from sgtool.networks.build import build_generator
from sgtool.networks.shapes import PictureShape

MAPPINGS = ("a", "b")
RELATED, DISTANT = 0.5, 0.2  # correlations of what was learned


def resolutions(G):
    """Return the nominal resolutions of a generator's blocks, [4, 8, 16 ...]: those in their names, whatever the base."""
    return [int(name[1:]) for name in G.synthesis.block_names]


def cut_weights(resolutions, at, width=0.0):
    """Return one weight for each block: 0 below the resolution `at`, 1 from it on.

    The cut lies halfway (in octaves) between the last block of A and the first of B. With a width, the weight rises linearly
    over so many octaves around it: alpha(r) = 1/2 + (log2(r / at) + 1/2) / width, limited to 0..1. A width up to 1 has no
    block between its ends, and gives the hard cut.

    Args:
        resolutions: of the blocks, smallest first.
        at: resolution from which on B counts; beyond the last block all is A's.
        width: octaves, 0 or more.
    Raises:
        ValueError: a number is not finite or out of range.
    """
    if not (math.isfinite(at) and at > 0 and math.isfinite(width) and width >= 0):
        raise ValueError(f"at must be positive and width 0 or more, not {at!r} and {width!r}")
    octaves = [math.log2(r / at) + 0.5 for r in resolutions]  # beyond the cut
    if width == 0:
        return [float(distance > 0) for distance in octaves]
    return [min(max(0.5 + distance / width, 0.0), 1.0) for distance in octaves]


def layers(G):
    """Return the names of the layers that have a weight each, one for each row of `ws`: convolutions, then the last ToRGB."""
    names = G.synthesis.block_names
    convolutions = [f"{name}.{conv}" for name in names for conv in ("conv0", "conv1")]
    return [*convolutions[1:], f"{names[-1]}.torgb"]  # the first block has no conv0


def weights_of_layers(G, weights):
    """Return a weight for each of `layers(G)` from one for each block or one for each layer.

    Raises:
        ValueError: their number is neither, or one of them is not from 0 to 1.
    """
    blocks = G.synthesis.block_names
    if len(weights) not in (len(blocks), G.num_ws):
        kinds = f"{len(blocks)}, one for each block, or {G.num_ws}, one for each layer"
        raise ValueError(f"weights must be {kinds}, not {len(weights)}")
    if not all(0 <= weight <= 1 for weight in weights):
        raise ValueError(f"weights must be from 0 to 1, not {list(weights)}")
    if len(weights) == G.num_ws:
        return list(weights)
    of_block = dict(zip(blocks, weights, strict=True))
    return [of_block[name.partition(".")[0]] for name in layers(G)]


def blend(A, B, weights, mapping="a"):
    """Return a generator between two.

    What belongs to a convolution (style, noise, bias) has its weight. The learned constant goes with the first convolution; a
    block's ToRGB, where it has no weight of its own, and its shortcut go with its last one. Since the picture is a sum of
    ToRGB outputs, a cut between any two blocks is well defined. The mapping network is A's or B's as a whole, with its w_avg.

    Args:
        A, B: `Generator`s without `differences`, on one device.
        weights: 0 (A) to 1 (B), see `weights_of_layers`.
        mapping: "a" or "b".
    Returns:
        A `Generator` in eval mode, without gradients. Tensors of weight 0 and 1 are those of A and B: it shares their memory.
    Raises:
        ValueError: A and B differ in shape, or a value is impossible.
    """
    wrong = differences(A, B)
    if wrong or mapping not in MAPPINGS:
        raise ValueError("; ".join(wrong) or f"mapping must be one of {', '.join(MAPPINGS)}, not {mapping!r}")
    alphas = dict(zip(layers(A), weights_of_layers(A, weights), strict=True))
    source = A if mapping == "a" else B
    theirs = B.synthesis.state_dict()
    state = {f"mapping.{key}": tensor for key, tensor in source.mapping.state_dict().items()}
    for key, tensor in A.synthesis.state_dict().items():
        alpha = 0.0 if key.endswith("resample_filter") else _alpha(key, alphas)
        state[f"synthesis.{key}"] = _between(tensor, theirs[key], alpha)
    with torch.device("meta"):
        G = build_generator(**_init_kwargs(A, B, source, list(alphas.values())))
    G.load_state_dict(state, assign=True)
    return G.eval().requires_grad_(False)


def _alpha(key, alphas):
    """Return the weight of a tensor of the synthesis network from {layer: weight}."""
    block, layer = key.split(".")[:2]
    return alphas.get(f"{block}.{layer}", alphas[f"{block}.conv1"])


def _between(a, b, alpha):
    return a if alpha == 0 else b if alpha == 1 else torch.lerp(a, b, alpha)


def _init_kwargs(A, B, source, alphas):
    """Keywords of the blend: A's, z and labels with the mapping network; where both count, the limits that change neither."""
    kwargs = copy.deepcopy(A.init_kwargs)
    kwargs |= {"z_dim": source.z_dim, "c_dim": source.c_dim}
    kwargs["mapping_kwargs"] = copy.deepcopy(source.init_kwargs.get("mapping_kwargs") or {})
    if not any(alphas):
        return kwargs
    used = [G.init_kwargs.get("synthesis_kwargs") or {} for G in ((B,) if all(alpha == 1 for alpha in alphas) else (A, B))]
    clamps = [keywords.get("conv_clamp") for keywords in used]
    limits = {"conv_clamp": None if None in clamps else max(clamps)}
    limits["num_fp16_res"] = min(keywords.get("num_fp16_res", 0) for keywords in used)
    kwargs["synthesis_kwargs"] = {**(kwargs.get("synthesis_kwargs") or {}), **limits}
    return kwargs


def differences(A, B):
    """Say in what two generators differ so that they cannot be blended: a list of words, "pictures of 32x32 and 64x64".

    The mapping networks may differ (`z_dim`, depth, labels), since one of them is taken whole; so may clamp and precision.
    """
    rows = [(what, facts(A), facts(B)) for what, facts in _FACTS.items()]
    found = [f"{what} {a} and {b}" for what, a, b in rows if a != b]
    return found or _different_tensors(A.synthesis.state_dict(), B.synthesis.state_dict())


def _size(G):
    shape = PictureShape.of(G.img_resolution)
    return f"{shape.width}x{shape.height}"


def _architecture(G):
    return (G.init_kwargs.get("synthesis_kwargs") or {}).get("architecture", "skip")


def _widths(G):
    return " ".join(str(getattr(G.synthesis, name).conv1.weight.shape[0]) for name in G.synthesis.block_names)


def _filter(G):
    """Taps of the filter that resamples, rounded: one row if it is separable. None where nothing is resampled."""
    names = G.synthesis.block_names
    if len(names) == 1:
        return None
    taps = getattr(G.synthesis, names[-1]).resample_filter.cpu()
    row = taps if taps.ndim == 1 else taps.sum(dim=0)
    is_separable = taps.ndim == 1 or torch.allclose(torch.outer(row, row), taps, atol=1e-4)
    return [round(float(tap), 4) for tap in (row if is_separable else taps.flatten())]


_FACTS = {
    "pictures of": _size,
    "channels": lambda G: G.img_channels,
    "w_dim": lambda G: G.w_dim,
    "architecture": _architecture,
    "feature maps": _widths,
    "activation": lambda G: G.synthesis.b4.conv1.activation,
    "resample filter": _filter,
}


def _different_tensors(ours, theirs):
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = (list(state[key].shape) if key in state else "missing" for state in (ours, theirs))
        if a != b and not key.endswith("resample_filter"):
            return [f"synthesis layers: {key} is {a} and {b}"]
    return []


@dataclass(frozen=True)
class Relation:
    """How far the layers of two networks speak the same language: correlations of what they have learned, from -1 to 1.

    Networks that go back to the same trained one, by transfer or as two snapshots of a run, keep features in their places; in
    networks trained apart they are in any order, so that a layer of one makes nothing of the features of the other.
    """

    mean: float  # over layers
    lowest: float
    where: str  # the layer that has it

    @property
    def word(self):
        """Say it in words: related, distantly related or unrelated."""
        return "related" if self.mean >= RELATED else "distantly related" if self.mean >= DISTANT else "unrelated"


def relation(A, B):
    """Return the `Relation` of two generators without `differences`.

    For each convolution Pearson's correlation of its biases and of those of its style, averaged. Biases start from constants,
    so they hold nothing but what was learned. Weights keep most of their random start: those of networks trained apart, but
    from the same seed, correlate nearly as well as those of two snapshots of one run, and cannot be blended.
    """
    found = {}
    for name in layers(A)[:-1]:
        ours, theirs = (G.synthesis.get_submodule(name) for G in (A, B))
        pairs = (ours.bias, theirs.bias), (ours.affine.bias, theirs.affine.bias)
        found[name] = sum(_correlation(*pair) for pair in pairs) / len(pairs)
    lowest = min(found, key=found.get)
    return Relation(sum(found.values()) / len(found), found[lowest], lowest)


def _correlation(a, b):
    """Pearson's correlation of two vectors; 0 where one is constant."""
    a, b = (tensor.detach().cpu().double() for tensor in (a, b))
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 1e-12 else 0.0


def are_equal(A, B):
    """Tell whether two generators without `differences` have the same weights, mapping network included."""
    ours, theirs = A.state_dict(), B.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())

"""What files call the layers of Inception-v3, and how a convolution and its batch normalization become one convolution.

Two programs named the layers: the graph of 2015-12-05 ("mixed_9/tower_1/mixed/conv_1"), whose names NVIDIA's TorchScript file
keeps, and torchvision ("Mixed_7b.branch3x3dbl_3b"), which pytorch-fid and torch-fidelity follow. Dots, slashes and underscores
count alike, so that a graph's names are recognised however they were joined.
"""

import re
from typing import NamedTuple

import torch

from sgtool.detectors.inception import CLASSES, FEATURES
from sgtool.detectors.inception_blocks import Conv
from sgtool.detectors.reading import OtherNetwork, numbers_of
from sgtool.errors import UserError
from sgtool.snapshots.inert import shown

EPSILON = 1e-3  # of batch normalization, added to the variance
WANTED = "weights of Inception-v3, such as pt_inception-2015-12-05-6726825d.pth"


class Layout(NamedTuple):
    """Names of one program."""

    convs: tuple  # of the 94 convolutions, in the order of the modules of `InceptionV3`
    parts: dict  # what follows a convolution's name, for each part of it
    output: str


def _numbered(name, count):
    """name, name_1, name_2, ..."""
    return [name] + [f"{name}_{i}" for i in range(1, count)]


def _lettered(stem, count):
    """stem1, stem2, ... as torchvision numbers the steps of a branch."""
    return [f"{stem}_{i}" for i in range(1, count + 1)]


def _both(stem):
    return [f"{stem}a", f"{stem}b"]


_GRAPH = {  # the convolutions of a block, by its kind
    "35": ["conv", *_numbered("tower_conv", 2), *_numbered("tower_1_conv", 3), "tower_2_conv"],
    "to 17": ["conv", *_numbered("tower_conv", 3)],
    "17": ["conv", *_numbered("tower_conv", 3), *_numbered("tower_1_conv", 5), "tower_2_conv"],
    "to 8": [*_numbered("tower_conv", 2), *_numbered("tower_1_conv", 4)],
    "8": [
        "conv",
        "tower_conv",
        *_numbered("tower_mixed_conv", 2),
        *_numbered("tower_1_conv", 2),
        *_numbered("tower_1_mixed_conv", 2),
        "tower_2_conv",
    ],
}
_TORCHVISION = {
    "35": ["branch1x1", *_lettered("branch5x5", 2), *_lettered("branch3x3dbl", 3), "branch_pool"],
    "to 17": ["branch3x3", *_lettered("branch3x3dbl", 3)],
    "17": ["branch1x1", *_lettered("branch7x7", 3), *_lettered("branch7x7dbl", 5), "branch_pool"],
    "to 8": [*_lettered("branch3x3", 2), *_lettered("branch7x7x3", 4)],
    "8": [
        "branch1x1",
        "branch3x3_1",
        *_both("branch3x3_2"),
        *_lettered("branch3x3dbl", 2),
        *_both("branch3x3dbl_3"),
        "branch_pool",
    ],
}
_KINDS = ("35", "35", "35", "to 17", "17", "17", "17", "17", "to 8", "8", "8")
_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_MIXED = [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]


def _names(stem, blocks, table):
    """Return the names of the 94 convolutions."""
    inside = [f"{block}_{name}" for block, kind in zip(blocks, _KINDS, strict=True) for name in table[kind]]
    return (*stem, *inside)


LAYOUTS = {
    "the graph": Layout(
        _names(_numbered("conv", 5), _numbered("mixed", 11), _GRAPH),
        {"weight": "weight", "beta": "beta", "mean": "mean", "variance": "var"},
        "output",
    ),
    "torchvision": Layout(
        _names(_STEM, _MIXED, _TORCHVISION),
        {
            "weight": "conv_weight",
            "gamma": "bn_weight",
            "beta": "bn_bias",
            "mean": "bn_running_mean",
            "variance": "bn_running_var",
        },
        "fc",
    ),
}


def state_of(path, tensors, network):
    """Return the state of an `InceptionV3` from the tensors of a file.

    Args:
        path: the file, for messages.
        tensors: {name: Stored}, see `snapshots.tensor_files.opened_tensors`.
        network: an `InceptionV3`; only its shapes are looked at.
    Returns:
        {name: tensor float32}, for `load_state_dict`.
    Raises:
        UserError: it is another network, lacks something, or holds numbers that cannot be.
    """
    names = {_plain(name): name for name in tensors}
    layout = next((layout for layout in LAYOUTS.values() if f"{layout.convs[-1]}_{layout.parts['weight']}" in names), None)
    if layout is None:
        raise OtherNetwork(f"{path} does not hold Inception-v3. Give {WANTED}.")

    def read(name, shape):
        if name not in names:
            raise UserError(f"{path} does not hold all of Inception-v3: there is no {name}. Give {WANTED}.")
        stored = tensors[names[name]]
        if tuple(stored.shape) != tuple(shape):
            raise UserError(_of_another_shape(path, names[name], stored.shape, shape))
        return numbers_of(path, names[name], stored, WANTED)

    state = {"output.weight": read(f"{layout.output}_weight", (CLASSES, FEATURES))}
    state["output.bias"] = read(f"{layout.output}_bias", (CLASSES,))
    ours = [(name, module) for name, module in network.named_modules() if isinstance(module, Conv)]
    for (ours_name, module), theirs in zip(ours, layout.convs, strict=True):
        kernel = module.weight.shape
        parts = {
            part: read(f"{theirs}_{suffix}", kernel if part == "weight" else kernel[:1]) for part, suffix in layout.parts.items()
        }
        if (parts["variance"] < 0).any():
            raise UserError(f"{path}: the variance of {theirs} is negative, which cannot be. Copy or download the file again.")
        state[f"{ours_name}.weight"], state[f"{ours_name}.bias"] = fold(**parts)
    return state


def fold(weight, beta, mean, variance, gamma=None):
    """Put batch normalization into the convolution before it, computed in float64.

    y = gamma * (conv(x) - mean) / sqrt(variance + 0.001) + beta. Ioffe and Szegedy (2015), "Batch Normalization", section 3.1.

    Args:
        weight: `[after, before, h, w]`.
        beta, mean, variance, gamma: `[after]`; no gamma = 1, as in the graph.
    Returns:
        (weight, bias) of the convolution that gives y, float32.
    """
    weight, beta, mean, variance = (x.to("cpu", torch.float64) for x in (weight, beta, mean, variance))
    scale = (variance + EPSILON).rsqrt()
    if gamma is not None:
        scale = scale * gamma.to("cpu", torch.float64)
    return (weight * scale[:, None, None, None]).float(), (beta - mean * scale).float()


def _plain(name):
    """A tensor's name with underscores only, without the names of modules around the network."""
    return re.sub(r"^(?:(?:module|model|inception|layers)_)+", "", re.sub(r"[./]", "_", name))


def _of_another_shape(path, name, found, wanted):
    if tuple(found)[:1] == (1000,):
        return (
            f"{path} is another Inception-v3, with 1000 classes (as torchvision's), whose FID is another number. Give {WANTED}."
        )
    return (
        f"{path} does not hold Inception-v3 of 2015-12-05: {shown(name, 60)} is {list(found)}, not {list(wanted)}. Give {WANTED}."
    )

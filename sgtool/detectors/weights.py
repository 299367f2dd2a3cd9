"""Files with the weights of Inception-v3, VGG16 and LPIPS: where they are looked for, and how they are read.

VGG16's layers are told by their shapes, in the order of their names, so that it does not matter what a file calls them;
Inception-v3's by their names, since many of its layers have the same shape.
"""

import itertools
import os
import re
from pathlib import Path
from typing import NamedTuple

import torch

from sgtool.detectors import inception_layouts
from sgtool.detectors.inception import InceptionV3
from sgtool.detectors.known import KNOWN, fetched, known_as, weights_folder
from sgtool.detectors.reading import OtherNetwork, numbers_of
from sgtool.detectors.vgg import SHAPES, VGG16, WIDTHS
from sgtool.errors import UserError
from sgtool.snapshots.inert import shown
from sgtool.snapshots.tensor_files import opened_tensors

NAMES = ("vgg16.pt", "vgg16-397923af.pth", "vgg16.pkl", "vgg16.pth", "vgg16.safetensors")  # of the network, best first
LPIPS_NAMES = ("vgg_lpips.pth", "vgg.pth", "weights-vgg16-lpips.pth", "vgg_lpips.safetensors")  # of the weights of channels
INCEPTION_NAMES = (
    KNOWN["inception"].file,
    "weights-inception-2015-12-05-6726825d.pth",
    KNOWN["inception-nvidia"].file,
    "inception-2015-12-05.pkl",
    "inception.pth",
    "inception.safetensors",
)
WANTED = "a file of VGG16 weights, such as vgg16.pt"


class VGGFiles(NamedTuple):
    """Where the weights are."""

    network: Path
    lpips: Path | None  # weights of the channels in a file of their own


def find_inception(path=None):
    """Look for Inception-v3's weights. Nothing is downloaded.

    Args:
        path: the file; None = the cache's `weights` folder: what was fetched, or one of `INCEPTION_NAMES`.
    Returns:
        its path.
    Raises:
        UserError: there is none; says which command fetches it.
    """
    if path is not None:
        if not os.path.isfile(path):
            raise UserError(f"{path} is not a file. Give {inception_layouts.WANTED}, or run: sgtool weights --fetch inception")
        return Path(path)
    found = _first(INCEPTION_NAMES, weights_folder()) or next(iter(fetched("inception")), None)
    if found is None:
        raise UserError(
            f"The weights of Inception-v3 are not in {weights_folder()}. Run: sgtool weights --fetch inception (96 MB), or, "
            f"without a network, bring {KNOWN['inception'].file} and run: sgtool weights --import FILE"
        )
    return found


def load_inception(path, device="cpu"):
    """Read Inception-v3.

    Args:
        path: the file, see `find_inception`.
        device: where it is to be.
    Returns:
        (`InceptionV3` in eval mode, without gradients; a sentence on which file this is).
    Raises:
        UserError: the file is damaged, or is not what its name says, or holds another network.
    """
    note = known_as(path)
    with torch.device("meta"):
        network = InceptionV3()
    with opened_tensors(path, inception_layouts.WANTED) as tensors:
        network.load_state_dict(inception_layouts.state_of(path, tensors, network), assign=True)
    return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last), note


def find_vgg(path=None):
    """Look for VGG16's weights. Nothing is downloaded.

    Args:
        path: the file with the network; None = the cache's `weights` folder, under one of `NAMES`.
    Returns:
        `VGGFiles`, the second file (one of `LPIPS_NAMES`) from beside the first or from the cache; None if `path` is None and
        the cache has none.
    Raises:
        UserError: `path` is not there.
    """
    if path is None:
        network = _first(NAMES, weights_folder()) or next(iter(fetched("vgg16")), None)
        if network is None:
            return None
    else:
        network = Path(path)
        if not os.path.isfile(network):
            raise UserError(f"{network} is not a file. Give {WANTED}, or put one into {weights_folder()}.")
    names = [name for name in LPIPS_NAMES if name != network.name]
    return VGGFiles(network, _first(names, network.parent, weights_folder()) or next(iter(fetched("lpips")), None))


def load_vgg(files, device="cpu"):
    """Read VGG16 with the weights of LPIPS.

    Args:
        files: `VGGFiles`.
        device: where it is to be.
    Returns:
        (`VGG16` in eval mode, without gradients; whether it has LPIPS's weights, or 1 for each channel; list of sentences
        on which files these are).
    Raises:
        UserError: a file is damaged, or is not what its name says, or holds another network.
    """
    network, notes = VGG16(), [known_as(files.network)]
    with opened_tensors(files.network, WANTED) as tensors:
        pairs = _pairs(files.network, tensors)
        state = _convolutions(files.network, tensors, pairs)
        lins = _channel_weights(files.network, _rest(tensors, pairs))
    if lins is None and files.lpips is not None:
        notes.append(known_as(files.lpips))
        lins = load_lpips(files.lpips)
    state |= lins or {}
    network.load_state_dict({**network.state_dict(), **state})
    network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # which saves a copy in each use
    return network, lins is not None, notes


def has_channel_weights(files):
    """Whether LPIPS's weights of channels are at hand: beside the network, or in its file. No numbers are made of them.

    Args:
        files: `VGGFiles`.
    Raises:
        UserError: the network's file had to be looked into, and is damaged.
    """
    if files.lpips is not None:
        return True
    with opened_tensors(files.network, WANTED) as tensors:
        return _channel_names(_rest(tensors, _pairs(files.network, tensors))) is not None


def load_lpips(path):
    """Read LPIPS's weights of VGG16's channels.

    Args:
        path: a file with them.
    Returns:
        {"lin0": `[64]`, ... "lin4": `[512]`} float32, not negative.
    Raises:
        UserError: the file is damaged or holds something else.
    """
    with opened_tensors(path, "vgg.pth of LPIPS 0.1") as tensors:
        lins = _channel_weights(path, tensors)
    if lins is None:
        raise OtherNetwork(f"{path} holds no weights of LPIPS for VGG16. Delete it or put vgg.pth of LPIPS 0.1 there.")
    return lins


def _first(names, *folders):
    """Return the first file that is there, folder by folder; None if there is none."""
    return next((folder / name for folder in folders for name in names if os.path.isfile(folder / name)), None)


def _natural(name):
    """Sort key by which conv2 comes before conv10."""
    parts = re.split(r"([0-9]+)", name)  # digits are at the odd places; a number of more digits is larger
    return [(len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (0, part) for i, part in enumerate(parts)]


def _pairs(path, tensors):
    """Find the 13 convolutions of VGG16. Returns [(name of the kernel, name of the bias)].

    A kernel called X.weight has the bias X.bias; one of another name, the next tensor of the right length.
    """
    names = sorted(tensors, key=_natural)
    kernels = [name for name in names if len(tensors[name].shape) == 4 and tuple(tensors[name].shape[2:]) == (3, 3)]
    if tuple(tuple(tensors[name].shape[:2]) for name in kernels) != SHAPES or any("running_mean" in name for name in names):
        raise OtherNetwork(f"{path} does not hold the 13 convolutions of VGG16 (without batch normalization). Give {WANTED}.")
    pairs = [(name, _bias_of(name, names, tensors)) for name in kernels]
    for name, bias in pairs:
        if bias is None:
            raise UserError(f"{path} has no bias for its convolution {shown(name, 60)}. Give {WANTED}.")
    return pairs


def _convolutions(path, tensors, pairs):
    """Read the convolutions: their part of the state of `VGG16`."""
    keys = [f"convs.{i}.{part}" for i in range(len(pairs)) for part in ("weight", "bias")]
    return {key: numbers_of(path, name, tensors[name], WANTED) for key, name in zip(keys, itertools.chain(*pairs), strict=True)}


def _rest(tensors, pairs):
    """Return what is not of the convolutions."""
    used = set(itertools.chain(*pairs))
    return {name: stored for name, stored in tensors.items() if name not in used}


def _bias_of(name, names, tensors):
    shape = tuple(tensors[name].shape[:1])
    if name.endswith("weight"):
        candidates = [name.removesuffix("weight") + "bias"]
    else:
        candidates = names[names.index(name) + 1 :]
    return next((key for key in candidates if key in tensors and tuple(tensors[key].shape) == shape), None)


def _channel_weights(path, tensors):
    """Return LPIPS's weights of channels as part of the state of `VGG16`, None if there are none.

    They are the vectors `[C]`, however many axes of length 1 they have, in the order of their names; some files have them
    twice.
    """
    names = _channel_names(tensors)
    if names is None:
        return None
    state = {f"lin{i}": numbers_of(path, name, tensors[name], WANTED).flatten() for i, name in enumerate(names)}
    if any((weights < 0).any() for weights in state.values()):
        raise UserError(f"{path} has negative weights of channels, which LPIPS has not. Copy or download it again.")
    return state


def _channel_names(tensors):
    """Return the names of the five tensors with LPIPS's weights of channels, None if there are none."""
    numbers = {name: tensors[name].numel for name in sorted(tensors, key=_natural)}
    names = [name for name, n in numbers.items() if n in WIDTHS and max(tensors[name].shape) == n and not name.endswith("bias")]
    return names[: len(WIDTHS)] if tuple(numbers[name] for name in names) in (WIDTHS, WIDTHS * 2) else None

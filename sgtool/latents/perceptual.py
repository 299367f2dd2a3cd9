"""How alike two pictures look: the distances that projection makes small, behind one interface."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sgtool.detectors import find_vgg, load_vgg, unit_features
from sgtool.detectors.weights import weights_folder
from sgtool.errors import UserError
from sgtool.networks import set_precision

KINDS = ("auto", "lpips", "discriminator", "pixels")
LARGEST = 256  # pixels: LPIPS looks at larger pictures reduced to this
LARGEST_VALUE = 255  # of a file, where networks have 1
D_SHARE, PIXEL_SHARE = 0.5, 4.0  # of the mean over D's blocks, and of the mean squared pixel; measured, see docs/perceptual.md


@dataclass(frozen=True)
class Distance:
    """A distance of pictures: the squared Euclidean distance of their features."""

    name: str  # "lpips", "vgg16", "discriminator" or "pixels"
    note: str  # what it is, in one line
    features: Callable  # `[N, C, H, W]` float, nominally -1..1, to `[N, F]`; differentiable

    def between(self, a, b):
        """Return the distance `[N]` of each picture of `a` to that of `b`, both `[N, C, H, W]` (or one of them `[1, ...]`)."""
        return (self.features(a) - self.features(b)).square().sum(dim=1)


def choose(kind="auto", D=None, weights=None, img_channels=3, device="cpu"):
    """Make the distance that is asked for.

    Args:
        kind: "lpips"; "discriminator", of `D`'s features; "pixels"; or "auto": the first of these that can be had. LPIPS is
            for pictures of 1 to 4 channels.
        D: discriminator of the model's own snapshot, or None. It is left as it is.
        weights: file with VGG16's weights; None = looked for in the cache, see `detectors.find_vgg`.
        img_channels: of the pictures.
        device: where to compute.
    Returns:
        `Distance`. With VGG16 but without LPIPS's weights of channels its name is "vgg16", for it is not LPIPS.
    Raises:
        UserError: what is asked for is not there, or a file of weights is damaged.
        ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    reason = ""
    if kind in ("auto", "lpips"):
        files, reason = _usable_vgg(weights, img_channels)
        if files is not None:
            return _lpips(files, device)
        if kind == "lpips":
            raise UserError(f"--perceptual lpips: {reason}. {_remedy(img_channels)}")
    lacking = "the model's file holds no discriminator (D)" if D is None else "its discriminator is a single stage, at 4 pixels"
    if kind in ("auto", "discriminator") and D is not None and D.block_names:
        return _of_discriminator(D, reason, device)
    if kind == "discriminator":
        raise UserError(
            f"--perceptual discriminator: {lacking}. Give a snapshot that has another, or choose --perceptual pixels."
        )
    reasons = f" ({reason}, and {lacking})" if kind == "auto" else ""
    return Distance("pixels", f"Distance: mean squared difference of pixels{reasons}.", _pixels)


def _usable_vgg(weights, img_channels):
    """Return (`VGGFiles` or None, why there are none)."""
    if img_channels > 4:
        return None, f"LPIPS is for pictures of 1 to 4 channels, and these have {img_channels}"
    return find_vgg(weights), f"no weights of VGG16 in {weights_folder()}"


def _remedy(img_channels):
    if img_channels > 4:
        return "Choose --perceptual discriminator or pixels."
    return "Put vgg16.pt there (docs/perceptual.md says where it is published), or choose --perceptual discriminator or pixels."


# --- LPIPS ------------------------------------------------------------------------------------------------------------------


def _lpips(files, device):
    network, complete, notes = load_vgg(files, device)
    what = "LPIPS" if complete else "VGG16 features, all channels alike: LPIPS's own weights of channels are not there"

    def features(img):
        return torch.cat([network.features(part) for part in _as_colour(_reduced(img))], dim=1)

    return Distance("lpips" if complete else "vgg16", f"Distance: {what}. {' '.join(notes)}", features)


def _reduced(img):
    """Reduce pictures, by the mean over areas, to at most 256 pixels a side, sides in proportion."""
    longer = max(img.shape[2:])
    if longer <= LARGEST:
        return img
    size = [max(1, round(side * LARGEST / longer)) for side in img.shape[2:]]
    uneven = any(side % reduced for side, reduced in zip(img.shape[2:], size, strict=True))
    device = torch.device("cpu") if uneven and img.device.type == "mps" else img.device  # which MPS has no code for
    return F.interpolate(img.to(device), size=size, mode="area").to(img.device)


def _as_colour(img):
    """Return what VGG16 looks at, 0..255: the picture; if it has alpha, that over middle grey (0 of -1..1), and alpha as grey."""
    if img.shape[1] in (2, 4):
        colour, alpha = img[:, :-1], img[:, -1:]
        img = [colour * (alpha + 1) / 2, alpha]
    else:
        img = [img]
    return [(part + 1) * (LARGEST_VALUE / 2) for part in img]


# --- the model's own discriminator ------------------------------------------------------------------------------------------


class _Trunk(nn.Module):
    """A copy of the blocks of a discriminator, without its last stage, in full precision, without gradients of its own.

    The last stage compares the pictures of a batch (minibatch standard deviation), and a distance must not; labels come in
    there too, so the blocks need none.
    """

    def __init__(self, D):
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(getattr(D, name)) for name in D.block_names)
        self.requires_grad_(False)
        set_precision(self, "fp32")

    def forward(self, img):
        """Return the maps `[N, C, H', W']` after each block, finest first."""
        x, maps = None, []
        for block in self.blocks:
            x, img = block(x, img)
            maps.append(x)
        return maps


def _of_discriminator(D, reason, device):
    trunk = _Trunk(D).to(device)

    def features(img):
        maps = trunk(img)
        return torch.cat([unit_features(maps) * math.sqrt(D_SHARE / len(maps)), _pixels(img)], dim=1)

    because = f" ({reason})" if reason else ""
    return Distance("discriminator", f"Distance: features of the model's own discriminator, and pixels{because}.", features)


# --- pixels -----------------------------------------------------------------------------------------------------------------


def _pixels(img):
    """Flatten pictures such that their squared Euclidean distance is `PIXEL_SHARE` times the mean squared difference."""
    return img.flatten(start_dim=1) * math.sqrt(PIXEL_SHARE / img[0].numel())

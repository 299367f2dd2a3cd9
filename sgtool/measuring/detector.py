"""What looks at pictures for the metrics: published networks, found before anything is computed, or one of the user's own."""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from sgtool.detectors import find_inception, find_vgg, load_inception, load_vgg, load_vgg_features
from sgtool.detectors.inception import SIDE
from sgtool.detectors.known import weights_folder
from sgtool.detectors.weights import has_channel_weights
from sgtool.errors import UserError
from sgtool.files import sha256_of
from sgtool.metrics.rows import full_precision

CHANNELS = (1, 3)  # of the pictures that published detectors look at


@dataclass(frozen=True, eq=False)
class Detector:
    """From pictures to features."""

    name: str  # in results: "inception", "inception-clean", "vgg16", "lpips", "discriminator", "onnx"
    sha256: str  # of the file, or files, that its numbers come from
    note: str  # which file that is, a sentence
    features: Callable  # uint8 tensor `[N, C, H, W]` on the CPU, 0..255, to float tensor `[N, D]` on any device
    probabilities: Callable | None = None  # features `[N, D]` on the CPU to class probabilities, for the Inception score


def find(kind):
    """Return where a published detector's weights are, for `load`, without reading them.

    Args:
        kind: "inception", "inception-clean", "vgg16" or "lpips".
    Raises:
        UserError: they are not on this machine, which command fetches them; or a file is damaged.
    """
    if kind in ("inception", "inception-clean"):
        return find_inception()
    files = find_vgg()
    if files is None:
        raise UserError(
            f"The weights of VGG16 are not in {weights_folder()}. Run: sgtool weights --fetch vgg16 --fetch lpips (553 MB), or, "
            "without a network, bring the files and run: sgtool weights --import FILE"
        )
    if kind == "lpips" and not has_channel_weights(files):
        raise _without_channel_weights(files)
    return files


def load(kind, found, channels, device="cpu"):
    """Read a published detector.

    Args:
        kind: see `find`.
        found: what `find` returned.
        channels: of the pictures.
        device: where to compute.
    Returns:
        `Detector`. The features of "lpips" are for `path_length_distances`: float pictures on the device, not uint8.
    Raises:
        UserError: a file is damaged or holds something else, or pictures have channels that the network does not know.
    """
    if channels not in CHANNELS:
        network = "VGG16" if kind in ("vgg16", "lpips") else "Inception-v3"
        raise UserError(
            f"The pictures have {channels} channels, and {network} looks at grey and RGB ones only. "
            "Use metrics of the pictures themselves, swd16k or msssim10k, or --detector discriminator:MODEL."
        )
    if kind in ("inception", "inception-clean"):
        return _inception(kind, found, device)
    if kind == "vgg16":
        network, note = load_vgg_features(found, device)
        return Detector(kind, sha256_of(found.network), note, _guarded(lambda img: network(img.to(device).float())))
    return _lpips(found, device)


def _inception(kind, path, device):
    network, note = load_inception(path, device)

    def seen(img):
        return network((cleanly_resized(img) if kind == "inception-clean" else img).to(device))

    def probabilities(features):
        return network.probabilities(features.to(device), bias=False)

    return Detector(kind, sha256_of(path), note, _guarded(seen), _guarded(probabilities))


def _lpips(files, device):
    network, complete, notes = load_vgg(files, device)
    if not complete:
        raise _without_channel_weights(files)
    digests = [sha256_of(path) for path in dict.fromkeys(files) if path is not None]
    return Detector("lpips", "+".join(digests), " ".join(notes), _guarded(network.features))


def _without_channel_weights(files):
    return UserError(
        f"Path length is measured by LPIPS, and its weights of channels are neither in {files.network} nor beside it. "
        "Run: sgtool weights --fetch lpips"
    )


def _guarded(function):
    """Return a function that computes without gradients and, on a GPU, in full float32."""

    def computed(img):
        with torch.inference_mode(), exactly():
            return function(img)

    return computed


@contextlib.contextmanager
def exactly():
    """Have products and convolutions on a GPU computed in float32, not TF32, and the same in each run."""
    with full_precision(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def cleanly_resized(img, side=SIDE):
    """Resize pictures to a square with an antialiasing bicubic filter, each channel in float, without rounding to levels.

    Parmar, Zhang and Zhu (2022), "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", section 3.

    Args:
        img: uint8 tensor `[N, C, H, W]`.
        side: pixels.
    Returns:
        float32 tensor `[N, C, side, side]`, nominally 0..255.
    """
    resized = np.empty([*img.shape[:2], side, side], np.float32)
    planes = img.numpy().astype(np.float32)
    for n, c in itertools.product(*map(range, img.shape[:2])):
        resized[n, c] = Image.fromarray(planes[n, c]).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(resized)

"""Published files of weights: what they are called, where their authors put them, and how to tell that a file is one of them.

A SHA-256 stands here where its author gives it, or at least two people who published a pin of the file agree on it; a file name
like torch's, `-6726825d.pth`, has its first digits.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from sgtool.download import cached_path
from sgtool.errors import UserError
from sgtool.files import cache_folder, sha256_of

KIND = "weights"  # folder of the cache


class KnownFile(NamedTuple):
    """A published file."""

    network: str  # "inception", "vgg16" or "lpips" (weights of channels for VGG16)
    file: str  # its name in the cache's folder, if it was put there by hand
    addresses: tuple  # the same bytes at each
    sha256: str
    megabytes: float
    licence: str
    what: str  # who made it, and its name there


KNOWN = {
    "inception": KnownFile(
        "inception",
        "pt_inception-2015-12-05-6726825d.pth",
        (
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        ),
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95.6,
        "Apache 2.0",
        "inception-2015-12-05-6726825d.pth of pytorch-fid and torch-fidelity",
    ),
    "inception-nvidia": KnownFile(
        "inception",
        "inception-2015-12-05.pt",
        ("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",),
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        95.6,
        "NVIDIA, non-commercial",
        "NVIDIA's inception-2015-12-05.pt",
    ),
    "vgg16": KnownFile(
        "vgg16",
        "vgg16-397923af.pth",
        ("https://download.pytorch.org/models/vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553,
        "BSD 3-clause",
        "torchvision's vgg16-397923af.pth",
    ),
    "vgg16-nvidia": KnownFile(
        "vgg16",
        "vgg16.pt",
        ("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/vgg16.pt",),
        "b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
        553,
        "NVIDIA, non-commercial",
        "NVIDIA's vgg16.pt",
    ),
    "lpips": KnownFile(
        "lpips",
        "vgg_lpips.pth",
        ("https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",),
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        0.007,
        "BSD 2-clause",
        "vgg.pth of LPIPS 0.1",
    ),
}


def weights_folder():
    """Return the folder of the cache where weights are looked for."""
    return cache_folder(KIND)


def fetched(network):
    """Return the paths of files with a network's weights that were downloaded into the cache, in the order of `KNOWN`."""
    rows = [row for row in KNOWN.values() if row.network == network]
    return [path for row in rows for path in _downloads(row) if os.path.isfile(path)]


def known_as(path):
    """Say which published file a file is, after comparing its SHA-256 with what its name promises.

    A name promises something if it ends like torch's (-397923af.pth), or if the file was downloaded into the cache.

    Raises:
        UserError: it is another file than its name says; or it cannot be read.
    """
    digest = digest_of(path)
    named = re.search(r"-([0-9a-f]{8})\.pth$", Path(path).name)
    promised = named[1] if named else _promised(path)
    if not digest.startswith(promised):
        raise UserError(
            f"{path} is not what its name says: its SHA-256 begins with {digest[:8]}, not {promised[:8]}. "
            "Copy or download it again."
        )
    what = next((row.what for row in KNOWN.values() if row.sha256 == digest), "no file that sgtool knows")
    return f"{path} is {what} (SHA-256 {digest[:8]}...)."


def digest_of(path):
    """Return the SHA-256 of a file as hexadecimal digits. Raises UserError if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _downloads(row):
    return [cached_path(address, KIND) for address in row.addresses]


def _promised(path):
    """Return the SHA-256 of a file that was downloaded, "" for any other."""
    return next((row.sha256 for row in KNOWN.values() if Path(path) in _downloads(row)), "")

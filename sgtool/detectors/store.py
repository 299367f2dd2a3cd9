"""The cache of weights: what is there, and fetching, checking and importing files."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from sgtool.detectors.known import KIND, KNOWN, digest_of, fetched, known_as, weights_folder
from sgtool.detectors.reading import OtherNetwork
from sgtool.detectors.weights import (
    INCEPTION_NAMES,
    LPIPS_NAMES,
    NAMES,
    VGGFiles,
    load_inception,
    load_lpips,
    load_vgg,
)
from sgtool.download import cached_path, is_offline, shown
from sgtool.download import fetch as download
from sgtool.download.address import BY_HAND
from sgtool.errors import UserError
from sgtool.files import atomic_write, make_folder
from sgtool.snapshots.tensor_files import opened_tensors

PLACES = {"inception": INCEPTION_NAMES, "vgg16": NAMES, "lpips": LPIPS_NAMES}  # names in the cache's folder, for each network
IMPORTED = {"inception": "inception.pth", "vgg16": "vgg16.pth", "lpips": "weights-vgg16-lpips.pth"}  # a file nobody knows
WHAT = {
    "inception": "Inception-v3 of 2015-12-05: FID, KID, Inception score, memorization",
    "vgg16": "VGG16: precision, recall, density, coverage; with lpips path length and LPIPS",
    "lpips": "weights of VGG16's channels for LPIPS",
}
ANY = "weights of Inception-v3, VGG16 or LPIPS"


class Verdict(NamedTuple):
    """What became of checking a file."""

    good: bool
    text: str  # a sentence


def present(network):
    """Return the paths of a network's files in the cache, under whatever name."""
    folder = weights_folder()
    return [folder / name for name in PLACES[network] if os.path.isfile(folder / name)] + fetched(network)


def table():
    """Return what `sgtool weights` lists: a row (name, size, state, licence, what it is for) for each published file, and the
    paths of files in the cache that have another name. Nothing is read.
    """
    rows, others = [], [path for network in PLACES for path in present(network)]
    for name, row in KNOWN.items():
        paths = [path for path in present(row.network) if path.name in _names(row) or path in fetched_as(name)]
        others = [path for path in others if path not in paths]
        size = f"{row.megabytes:.0f} MB" if row.megabytes >= 1 else f"{row.megabytes * 1000:.0f} kB"
        rows.append((name, size, "here" if paths else "missing", row.licence, WHAT[row.network]))
    return rows, others


def _names(row):
    """Under which names a published file lies in the cache's folder if it was put there by hand."""
    return {row.file, *(address.rpartition("/")[2] for address in row.addresses)}


def fetched_as(name):
    """Return the paths of a published file that was downloaded."""
    return [path for address in KNOWN[name].addresses if os.path.isfile(path := cached_path(address, KIND))]


def fetch(name, offline=False, say=lambda text: None):
    """Return a published file from the cache, after checking its SHA-256, or else download it.

    Args:
        name: a key of `KNOWN`.
        offline: see `download.fetch`.
        say: called with lines on what happens.
    Raises:
        UserError: it cannot be had at any of its addresses, or is not what it should be; says what to do.
    """
    row = KNOWN[name]
    there = fetched_as(name)
    if not there and (path := _by_hand(row)):
        return path
    addresses = [address for address in row.addresses if not there or cached_path(address, KIND) in there]
    if not there and is_offline(offline):
        raise UserError(
            f"{name} is not in {weights_folder()}, and nothing is downloaded offline. On a machine with a network download "
            f"{row.addresses[0]}, bring the file here and run: sgtool weights --import FILE"
        )
    for i, address in enumerate(addresses):
        try:
            return download(address, KIND, sha256=row.sha256, label=f"{name} ({row.what})", offline=offline, say=say)
        except UserError as error:
            if i + 1 == len(addresses):
                raise UserError(_with_the_way_in(error.message)) from error
            say(f"{error.message} Trying {shown(addresses[i + 1])}")
    raise ValueError(f"{name} has no address")


def _by_hand(row):
    """Return the path of a published file that was put into the cache's folder whole, not fetched; None if none was."""
    paths = [path for path in present(row.network) if path.name in _names(row)]
    return next((path for path in paths if digest_of(path) == row.sha256), None)


def _with_the_way_in(text):
    """Say how a file that was downloaded by hand gets into the cache, where a message ends with downloading it by hand."""
    return f"{text.removesuffix('.')} to: sgtool weights --import FILE" if text.endswith(f"{BY_HAND}.") else text


def verify(name=None):
    """Check files in the cache: SHA-256, and that the network can be read from them.

    Args:
        name: a key of `KNOWN`: all files of its network; None = all files.
    Returns:
        list of `Verdict`, in the order of `KNOWN`.
    Raises:
        UserError: there is nothing to check.
    """
    networks = list(PLACES) if name is None else [KNOWN[name].network]
    verdicts = [_verdict(network, path) for network in networks for path in present(network)]
    if not verdicts:
        raise UserError(
            f"There is nothing to check in {weights_folder()}. To have something there, run: sgtool weights --fetch "
            f"{name or 'inception'}"
        )
    return verdicts


def _verdict(network, path):
    try:
        note = known_as(path)
        _read(network, path)
    except UserError as error:
        return Verdict(False, error.message)
    return Verdict(True, note)


def _read(network, path):
    """Read a file as one of a network. Raises UserError if it is another."""
    if network == "inception":
        load_inception(path)
    elif network == "vgg16":
        load_vgg(VGGFiles(path, None))
    else:
        load_lpips(path)


def network_of(path):
    """Return which network's weights a file holds: "inception", "vgg16" or "lpips".

    Raises:
        UserError: of none, or it is one of them with something wrong.
    """
    for network in PLACES:
        try:
            _read(network, path)
        except OtherNetwork:
            continue
        return network
    raise UserError(
        f"{path} holds no weights that sgtool uses: neither Inception-v3 of 2015-12-05, nor VGG16 (without batch normalization), "
        "nor LPIPS's weights for VGG16. Run: sgtool weights"
    )


def take_in(path):
    """Copy a file into the cache, under a name by which it is found there. Its content decides what it is.

    Args:
        path: weights of Inception-v3, VGG16 or LPIPS, in any layout that is read.
    Returns:
        (path in the cache, a sentence on which file it is).
    Raises:
        UserError: it is damaged or holds something else; or another file has its place.
    """
    path = Path(path)
    with opened_tensors(path, ANY):
        known_as(path)
    digest = digest_of(path)
    name = next((row.file for row in KNOWN.values() if row.sha256 == digest), None) or IMPORTED[network_of(path)]
    target = make_folder(weights_folder(), "SGTOOL_CACHE, the cache folder,") / name
    if target.exists() and not (target.is_file() and digest_of(target) == digest):
        raise UserError(f"{target} is another file, which is not replaced. Delete it, then run again.")
    if not target.exists():
        with open(path, "rb") as source, atomic_write(target) as file:
            shutil.copyfileobj(source, file, 1 << 20)
    return target, known_as(target)

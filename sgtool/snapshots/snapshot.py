"""Snapshots as networks: what `load` gives and `save` takes."""

import dataclasses

import torch

from sgtool.errors import UserError
from sgtool.files import sha256_of
from sgtool.snapshots.contents import assemble
from sgtool.snapshots.formats import opened
from sgtool.snapshots.native import write
from sgtool.snapshots.sources import find


@dataclasses.dataclass
class Snapshot:
    """Networks to use or to train on from, and what is known about them."""

    G_ema: torch.nn.Module  # averaged weights, the generator to make pictures with
    G: torch.nn.Module | None = None  # the generator as trained
    D: torch.nn.Module | None = None
    augment_p: float = 0.0  # probability of augmentations when it was written
    nimg: int = 0  # real images shown so far
    config: dict = dataclasses.field(default_factory=dict)  # training configuration
    dataset: dict = dataclasses.field(default_factory=dict)  # name, size, class names of the training data
    origin: str = "sgtool"  # format of the file, a name in `formats.FORMATS`
    notes: list = dataclasses.field(default_factory=list)  # sentences on what was assumed or left out when it was read


def save(snapshot, path):
    """Write a snapshot to a file in sgtool's own format, whole or not at all.

    Args:
        snapshot: a `Snapshot`; its networks have `init_kwargs`, the keywords that rebuild them.
        path: the file; an older one stays as it is until the new one is complete.
    Raises:
        UserError: the file cannot be written, for instance on a full disk.
    """
    networks = {name: getattr(snapshot, name) for name in ("G_ema", "G", "D")}
    rest = {name: getattr(snapshot, name) for name in ("augment_p", "nimg", "config", "dataset")}
    write(networks, rest, path)


def load(path_or_url, device="cpu", networks=("G_ema", "G", "D")):
    """Read a snapshot of any known format: its networks in eval mode, without gradients. No code runs, whatever the file holds.

    Args:
        path_or_url: a file, a run folder (its newest snapshot), a URL, or a known name; see `find`.
        device: where the networks are to be.
        networks: which to read, of those that are there; G_ema is always among them.
    Returns:
        `Snapshot`. Where a file has no G_ema but a G, that is G_ema, and a note says so.
    Raises:
        UserError: there is none, or it is damaged, of another kind, or does not fit the networks it describes.
    """
    path = find(path_or_url)
    with opened(path) as contents:
        packed, notes = dict(contents.networks), list(contents.notes)
        if "G_ema" not in packed and "G" in packed:
            packed["G_ema"] = packed.pop("G")
            notes.append("The file has no averaged generator (G_ema); its G is used.")
        if "G_ema" not in packed:
            raise UserError(f"{path} holds no generator. Give a file that has one, like the network-snapshot-*.pkl of a run.")
        wanted = [name for name in packed if name == "G_ema" or name in networks]
        built = {name: assemble(path, name, packed[name], contents.exact).to(device) for name in wanted}
        rest = {name: getattr(contents, name) for name in ("augment_p", "nimg", "config", "dataset")}
        return Snapshot(**built, **rest, origin=contents.format, notes=notes)


def network_hash(path):
    """Return the SHA-256 of a snapshot file, 64 hexadecimal digits: the network's name in recipes."""
    return sha256_of(find(path))

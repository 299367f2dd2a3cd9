"""Networks on disk: any StyleGAN2 file read as data, snapshots saved, and the container that checkpoints use too."""

from sgtool.snapshots.container import read_container, tensors_of, write_container
from sgtool.snapshots.formats import opened
from sgtool.snapshots.snapshot import Snapshot, load, network_hash, save
from sgtool.snapshots.sources import find

__all__ = [
    "Snapshot",
    "find",
    "load",
    "network_hash",
    "opened",
    "read_container",
    "save",
    "tensors_of",
    "write_container",
]

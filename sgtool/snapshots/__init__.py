"""Networks on disk: save and load snapshots, and the container that checkpoints use too."""

from sgtool.snapshots.container import read_container, tensors_of, write_container
from sgtool.snapshots.native import Snapshot, find, load, network_hash, save

__all__ = ["Snapshot", "find", "load", "network_hash", "read_container", "save", "tensors_of", "write_container"]

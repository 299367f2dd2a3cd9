"""A model that is ready to make pictures: found, read, on its device, in its precision."""

import dataclasses
import math
import warnings
from pathlib import Path

import torch

from sgtool import __version__, snapshots
from sgtool.errors import UserError
from sgtool.memory import keep_freed_memory
from sgtool.networks import describe_precision, set_precision
from sgtool.snapshots.inert import shown


@dataclasses.dataclass
class Model:
    """A generator to explore, with what its file says."""

    G: torch.nn.Module  # G_ema, on `device`, in eval mode, without gradients
    D: torch.nn.Module | None  # only if it was asked for and is there
    path: Path  # of the file
    sha256: str  # of the file: the network's name in recipes
    device: torch.device
    computed_in: str  # type of the numbers, in words
    dataset: dict  # what the file tells of the training data
    snapshot: snapshots.Snapshot

    def recipe(self):
        """Return what each output of this model says of it."""
        return {
            "version": __version__, "network": self.path.name, "network_sha256": self.sha256, "precision": self.computed_in,
        }  # fmt: skip

    def checked_classes(self, classes, warn=warnings.warn):
        """Return the classes to show, [None] for a network without labels, after checking them against the network.

        Args:
            classes: list of class numbers, or None.
            warn: called with a text if they have no effect.
        Raises:
            UserError: the network needs a class, or has none of that number.
        """
        if self.G.c_dim == 0:
            if classes is not None:
                warn(f"{self.path.name} was trained without classes: --class changes nothing.")
            return [None]
        if classes is None:
            raise UserError(f"--class is missing: {self._known()}. Give one of them, or --class 0-{self.G.c_dim - 1} for all.")
        for number in classes:
            if not 0 <= number < self.G.c_dim:
                raise UserError(f"--class {number} does not exist: {self._known()}. Give one of them.")
        return classes

    def _known(self):
        known, names = f"{self.path.name} knows the classes 0 to {self.G.c_dim - 1}", self.dataset.get("class_names")
        if (
            isinstance(names, list)
            and len(names) == self.G.c_dim
            and [str(i) for i in range(self.G.c_dim)] != list(map(str, names))
        ):
            listed = [f"{i} {shown(str(name), most=40)}" for i, name in enumerate(names[:20])]
            known += f" ({', '.join(listed)}{', ...' if self.G.c_dim > len(listed) else ''})"
        return known


def open_model(
    network, *, networks=(), device="cpu", precision="auto", offline=False, progress=False,
    warn=warnings.warn, say=lambda text: None,
):  # fmt: skip
    """Read a model to make pictures with.

    Args:
        network: model file, run folder, URL or known name, see `snapshots.find`.
        networks: what is needed besides G_ema: "D", "G".
        device: "cpu", "cuda" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16": type of the highest resolutions.
        offline: download nothing.
        progress: show a bar on stderr while downloading.
        warn: called with the text of each warning.
        say: called with lines on a download, and on what a foreign file left open.
    Raises:
        UserError: there is no such model, or it cannot be read.
    """
    path = snapshots.find(network, offline=offline, progress=progress, say=say)
    snapshot = snapshots.load(path, networks=networks)
    for note in snapshot.notes:
        say(note)
    device = torch.device(device)
    if device.type == "cpu":
        keep_freed_memory()
    G = snapshot.G_ema.to(device)
    set_precision(G, precision)
    computed_in, cautions = describe_precision(G, precision, device)
    for text in cautions:
        warn(text)
    D = snapshot.D.to(device) if "D" in networks and snapshot.D is not None else None
    return Model(G, D, path, snapshots.network_hash(path), device, computed_in, snapshot.dataset, snapshot)


def checked_truncation(G, truncation_psi, truncation_cutoff, option="--trunc"):
    """Refuse a truncation that the network cannot do. `option` named psi.

    Raises:
        UserError: psi is no finite number or so far out that no picture is left, or the cutoff is beyond the layers.
    """
    if not math.isfinite(truncation_psi) or abs(truncation_psi) > 10:
        raise UserError(f"{option} {truncation_psi:g} is not a number to work with. Give 1 for no truncation, or less, like 0.7.")
    if truncation_psi != 1 and not hasattr(G.mapping, "w_avg"):
        raise UserError(f"{option} {truncation_psi:g}: this model has no average to truncate to. Leave {option} out.")
    if truncation_cutoff is not None and not 0 <= truncation_cutoff <= G.num_ws:
        raise UserError(f"--trunc-cutoff {truncation_cutoff}: the network has {G.num_ws} layers. Give 0 to {G.num_ws}.")

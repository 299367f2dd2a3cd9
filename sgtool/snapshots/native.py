"""sgtool's own snapshots: G_ema, G and D with what rebuilds them, and where they come from."""

import dataclasses
import re
from pathlib import Path

import torch

from sgtool.errors import UserError
from sgtool.files import sha256_of
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots.container import read_container, write_container

NETWORKS = {"G_ema": build_generator, "G": build_generator, "D": build_discriminator}


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
    origin: str = "sgtool"  # whose file it was


def save(snapshot, path):
    """Write a snapshot to a file, whole or not at all.

    Args:
        snapshot: a `Snapshot`; its networks have `init_kwargs`, the keywords that rebuild them.
        path: the file; an older one stays as it is until the new one is complete.
    Raises:
        UserError: the file cannot be written, for instance on a full disk.
    """
    contents = {name: _pack(getattr(snapshot, name)) for name in NETWORKS}
    contents |= {name: getattr(snapshot, name) for name in ("augment_p", "nimg", "config", "dataset")}
    write_container(contents, path, "snapshot")


def load(path_or_url, device="cpu"):
    """Read a snapshot: its networks in eval mode, without gradients. No code runs, whatever the file holds.

    Args:
        path_or_url: a snapshot, or a run folder, meaning its newest snapshot.
        device: where the networks are to be.
    Returns:
        `Snapshot`.
    Raises:
        UserError: there is none, or it is damaged, of another kind, or does not fit the networks it describes.
    """
    path = find(path_or_url)
    contents = read_container(path, "snapshot")
    networks = {name: _unpack(path, name, contents.get(name)) for name in NETWORKS}
    if networks["G_ema"] is None:
        raise UserError(f"{path} holds no generator (G_ema). Give a network-snapshot-*.pkl of a run.")
    augment_p = _checked(path, contents, "augment_p", (int, float), 0.0)
    return Snapshot(
        **{name: network and network.to(device) for name, network in networks.items()},
        augment_p=float(augment_p),
        nimg=_checked(path, contents, "nimg", int, 0),
        config=_checked(path, contents, "config", dict, {}),
        dataset=_checked(path, contents, "dataset", dict, {}),
    )


def find(path_or_url):
    """Return the snapshot file meant by a path: the file itself, or the newest network-snapshot-*.pkl of a folder.

    Raises:
        UserError: it is a URL, does not exist, or is a folder without snapshots.
    """
    if re.match(r"[a-z][a-z0-9+.-]+://", str(path_or_url), re.IGNORECASE):
        raise UserError(f"{path_or_url} is a URL, and this version does not download. Download it and give the file.")
    path = Path(path_or_url)
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path} does not exist. Give a snapshot (network-snapshot-*.pkl) or a run folder.")
        return path
    matches = ((re.fullmatch(r"network-snapshot-([0-9]+)\.pkl", file.name), file) for file in path.iterdir())
    numbered = [(int(match[1]), file) for match, file in matches if match]
    if not numbered:
        raise UserError(f"{path} holds no network-snapshot-*.pkl. Give a run folder that has one, or the file itself.")
    return max(numbered)[1]


def network_hash(path):
    """Return the SHA-256 of a snapshot file, 64 hexadecimal digits: the network's name in recipes."""
    return sha256_of(find(path))


def _pack(network):
    return None if network is None else {"init": network.init_kwargs, "state": network.state_dict()}


def _checked(path, contents, key, kind, default):
    value = contents.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{path} is damaged: {key} is {value!r}. Copy or download it again.")
    return value


def _unpack(path, name, packed):
    """Rebuild one network from {"init", "state"}; None stays None."""
    if packed is None:
        return None
    init, state = (packed.get("init"), packed.get("state")) if isinstance(packed, dict) else (None, None)
    if not isinstance(init, dict) or not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path} is damaged: {name} is not a network. Copy or download it again.")
    _check_state(path, name, init, state)
    with torch.random.fork_rng(devices=[]):  # the random start values are not used and must not be noticed either
        network = NETWORKS[name](**init)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _check_state(path, name, init, state):
    """Raise UserError unless `state` has the tensors of the network that `init` describes.

    The network is first laid out without memory (device "meta"), so that absurd numbers in a file allocate nothing.
    """
    try:
        if _most_layers(init) > len(state):
            raise ValueError("more layers than tensors")
        with torch.device("meta"):
            expected = NETWORKS[name](**init).state_dict()
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError, UserError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path}: {name} cannot be built from its description ({reason}). If it is newer, upgrade.") from error
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys(), key=str)
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has an unknown {unknown[0]}"
        raise UserError(f"{path}: {name} does not fit its description: it {what}. Copy or download the file again.")
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape or state[key].dtype != tensor.dtype:
            found, wanted = (f"{list(t.shape)} {t.dtype}".replace("torch.", "") for t in (state[key], tensor))
            raise UserError(f"{path}: {name} does not fit its description: {key} is {found}, not {wanted}.")


def _most_layers(init):
    """Return the largest `num_layers` anywhere in nested constructor keywords."""
    found = [value for key, value in init.items() if key == "num_layers" and isinstance(value, (int, float))]
    return max([*found, *(_most_layers(value) for value in init.values() if isinstance(value, dict))], default=0)

"""Going on: exactly, from a checkpoint; or with trained networks, from a snapshot (transfer learning)."""

from pathlib import Path

import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import load
from sgtool.snapshots.container import read_container
from sgtool.training.config import TrainConfig
from sgtool.training.folders import read_options, run_folders

MAY_CHANGE = ("kimg", "tick", "snap", "metrics", "workers", "nobench", "dataset")  # they change no number of the training


def folder_of(resume):
    """Return the run folder that --resume means to go on with; None if it means something else (or nothing)."""
    if resume is None or resume in ("auto", "noresume"):
        return None
    path = Path(resume)
    if path.is_dir():
        return path
    return path.parent if path.name.startswith("checkpoint") and path.suffix == ".pkl" else None


def read_checkpoint(resume):
    """Read the checkpoint of a run folder, or the one named: {"config", "options", "data", "state"} and its file "name".

    Raises:
        UserError: there is none, or it is damaged; the text names the one before it, if that is there.
    """
    path = Path(resume)
    if path.is_dir():
        path = path / "checkpoint.pkl"
        if not path.exists():
            raise UserError(
                f"--resume {resume}: the folder holds no checkpoint.pkl. "
                "To start transfer learning from a snapshot in it, name the file network-snapshot-NNNNNN.pkl."
            )
    before = path.with_name("checkpoint-previous.pkl")
    try:
        contents = read_container(path, "checkpoint")
    except UserError as error:
        if path == before or not path.exists() or not before.exists():
            raise
        raise UserError(f"{error.message} The checkpoint before it is there: --resume {before}") from error
    if not all(isinstance(contents.get(key), dict) for key in ("config", "options", "state")):
        raise UserError(f"{path} is damaged: it lacks a part of the training state. Copy it again.")
    return contents | {"name": path.name}


def agree(folder, checkpoint, config):
    """Return `config` if it trains the same way as the checkpoint's.

    Raises:
        UserError: it does not; the text names the first difference.
    """
    if checkpoint["config"].keys() != config.as_dict().keys():
        raise UserError(
            f"--resume {folder}: the run was made by another version of sgtool, whose settings differ. "
            "Go on with that version, or start a new run with --resume network-snapshot-NNNNNN.pkl."
        )
    stored = TrainConfig.from_dict(checkpoint["config"])
    if stored.fingerprint != config.fingerprint:
        raise UserError(
            f"--resume {folder}: the data is not what the run was trained on (pictures, labels or choice differ). "
            "Give that dataset by --data, or start a new run, for instance from the run's newest snapshot."
        )
    name = first_difference(stored, config)
    if name is not None:
        raise UserError(
            f"--resume {folder}: the run has {name} {getattr(stored, name)}, not {getattr(config, name)}. "
            "Leave the option out to go on; for other settings, start a new run with --resume network-snapshot-NNNNNN.pkl."
        )
    return config


def first_difference(a, b):
    """Return the first field in which two configurations train differently, None if there is none."""
    one, two = a.as_dict(), b.as_dict()
    return next((name for name in one if name not in MAY_CHANGE and one[name] != two[name]), None)


def newest_agreeing(outdir, config, say):
    """Find the newest run in `outdir` that has a checkpoint and the same data and configuration.

    Returns:
        (folder, checkpoint contents), or (None, None).
    """
    for folder in run_folders(outdir):
        stored = (read_options(folder) or {}).get("config")
        if not isinstance(stored, dict) or not (folder / "checkpoint.pkl").exists():
            continue
        if stored.keys() != config.as_dict().keys():
            continue  # written by another version
        if first_difference(TrainConfig.from_dict(stored), config) is None:
            say(f"--resume auto: going on with {folder}")
            return folder, read_checkpoint(folder)
    say(f"--resume auto: no run in {outdir} has this data and configuration; a new one starts")
    return None, None


def check_source(source, config):
    """Raise UserError unless the snapshot's networks fit the configuration, so that no folder is made in vain."""
    snapshot = load(source)
    G, D = (build_generator, config.generator_kwargs()), (build_discriminator, config.discriminator_kwargs())
    for name, (build, expected) in {"G_ema": G, "G": G, "D": D}.items():
        network = getattr(snapshot, name)
        if network is not None:
            _check_fit(source, name, network.init_kwargs, expected)
            _check_tensors(source, name, network.state_dict(), build, expected)


def _check_fit(source, name, found, expected):
    found, expected = _flat(found), _flat(expected)
    ignored = ("w_avg_beta", "freeze_layers", "mbstd_group_size", "conv_clamp", "num_fp16_res")
    for key, value in expected.items():
        if key not in ignored and key in found and found[key] != value:
            words = {"img_resolution": "pictures of size", "img_channels": "picture channels", "c_dim": "label width"}.get(
                key, key
            )
            raise UserError(
                f"--resume {source}: its {name} has {words} {_text(found[key])}, but this run needs {_text(value)}. "
                "Choose data and options (--cfg, --cbase, --cmax, --map-depth, --z-dim, --w-dim, --cond) to match."
            )


def _check_tensors(source, name, found, build, kwargs):
    """What the keywords do not tell, because the snapshot's maker relied on other defaults, the tensors do."""
    with torch.device("meta"):
        expected = build(**kwargs).state_dict()
    for key in [*expected, *found]:
        if key not in expected or key not in found or expected[key].shape != found[key].shape:
            raise UserError(
                f"--resume {source}: its {name} does not fit this run: {key} differs. "
                "Choose data and options (--cfg, --cbase, --cmax, --map-depth, --z-dim, --w-dim, --cond) to match."
            )


def _flat(kwargs):
    """Constructor keywords without nesting."""
    flat = {}
    for key, value in kwargs.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    return flat


def _text(value):
    return "x".join(str(n) for n in reversed(value)) if isinstance(value, list) else str(value)


def transfer(source, state, say):
    """Start from the networks of a snapshot: weights and averages, not optimizers or counters."""
    snapshot = load(source)
    state.G_ema.load_state_dict(snapshot.G_ema.state_dict())
    state.G.load_state_dict((snapshot.G or snapshot.G_ema).state_dict())
    words = []
    if snapshot.G is None:
        words.append("it has no G, so G starts from G_ema")
    if snapshot.D is None:
        words.append("it has no D, so D starts from random weights")
    else:
        state.D.load_state_dict(snapshot.D.state_dict())
    say(f"Transfer learning from {source}" + "".join(f"; {w}" for w in words))

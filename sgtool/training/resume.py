"""Going on exactly, from a checkpoint. For starting with trained networks see `transfer`."""

import dataclasses
from pathlib import Path

import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots.container import read_container
from sgtool.training.config import TrainConfig
from sgtool.training.folders import read_options, run_folders
from sgtool.training.resolve import Options
from sgtool.training.retention import snapshots_in

# They change no number of the training.
MAY_CHANGE = ("kimg", "tick", "snap", "metrics", "metrics_share", "workers", "nobench", "dataset", "batch_gpu", "batch_gpu_auto")
MAY_CHANGE += ("on_nan", "on_collapse", "held_out", "keep", "keep_every", "disk_budget")
CHECKPOINTS = ("checkpoint.pkl", "checkpoint-previous.pkl")


def folder_of(resume):
    """Return the run folder that --resume means to go on with; None if it means something else (or nothing)."""
    if resume is None or resume in ("auto", "noresume") or "://" in str(resume):
        return None
    path = Path(resume)
    if path.is_dir():
        return path
    return path.parent if path.name.startswith("checkpoint") and path.suffix == ".pkl" else None


def read_checkpoint(resume, say=lambda text: None):
    """Read the checkpoint of a run folder, or the one named: {"config", "options", "data", "state"} and its file "name".

    If checkpoint.pkl is damaged or has gone, the one before it is read, and `say` is called with a line that tells so.

    Raises:
        UserError: there is none that can be read; the text names the newest snapshot, if there is one.
    """
    path = Path(resume)
    if path.is_dir():
        path = path / "checkpoint.pkl"
    before = path.with_name("checkpoint-previous.pkl")
    is_named = path.name != "checkpoint.pkl" or not (path.exists() or before.exists())
    if is_named and Path(resume).is_dir():
        raise UserError(
            f"--resume {resume}: the folder holds no checkpoint.pkl. "
            "To start transfer learning from a snapshot in it, name the file network-snapshot-NNNNNN.pkl."
        )
    try:
        return _contents(path)
    except UserError as error:
        if is_named or not before.exists():
            raise UserError(error.message + _newest_snapshot(path.parent)) from error
        first = error
    try:
        contents = _contents(before)
    except UserError as error:
        text = f"{first.message} {before.name}, the one before it, cannot be read either."
        raise UserError(text + _newest_snapshot(path.parent)) from error
    say(f"Warning: {first.message} Going on from the one before it, {before.name}.")
    return contents


def _contents(path):
    contents = read_container(path, "checkpoint")
    if not all(isinstance(contents.get(key), dict) for key in ("config", "options", "state")):
        raise UserError(f"{path} is damaged: it lacks a part of the training state. Copy it again.")
    return contents | {"name": path.name}


def _newest_snapshot(folder):
    """A sentence on what else a run could be gone on from."""
    found = snapshots_in(folder) if folder.is_dir() else []
    if not found:
        return " There is no snapshot either: start a new run."
    return f" To start a new run from the newest snapshot: --resume {found[-1][1]}"


def stored_config(folder, checkpoint):
    """Return the `TrainConfig` of a checkpoint.

    Raises:
        UserError: another version of sgtool has written it, with settings that this one does not know, or it is damaged.
    """
    options = {field.name for field in dataclasses.fields(Options)}
    if not TrainConfig.knows(checkpoint["config"]) or not checkpoint["options"].keys() <= options:
        raise UserError(
            f"--resume {folder}: the run was made by another version of sgtool, whose settings differ. "
            "Go on with that version, or start a new run with --resume network-snapshot-NNNNNN.pkl."
        )
    config = TrainConfig.from_dict(checkpoint["config"])
    try:
        with torch.device("meta"):
            build_generator(**config.generator_kwargs())
            build_discriminator(**config.discriminator_kwargs())
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        raise UserError(f"{folder}: the checkpoint is damaged: its networks cannot be built ({error}). Copy it again.") from error
    return config


def agree(folder, stored, config):
    """Return `config` if it trains the same way as the checkpoint's, `stored`.

    Raises:
        UserError: it does not; the text names the first difference.
    """
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


def newest_agreeing(outdir, config, say, job=None):
    """Find the newest run in `outdir` that has a checkpoint and the same data and configuration.

    Args:
        outdir: folder of run folders.
        config: `TrainConfig`.
        say: prints a line.
        job: name of a job of torchrun, whose run it must be; None = anybody's.
    Returns:
        (folder, checkpoint contents), or (None, None).
    """
    for folder in run_folders(outdir):
        options = read_options(folder) or {}
        stored = options.get("config")
        if job is not None and options.get("job") != job:
            continue
        if not isinstance(stored, dict) or not any((folder / name).exists() for name in CHECKPOINTS):
            continue
        if not TrainConfig.knows(stored):
            continue  # written by another version
        if first_difference(TrainConfig.from_dict(stored), config) is None:
            say(f"--resume auto: going on with {folder}")
            return folder, read_checkpoint(folder, say)
    say(f"--resume auto: no run in {outdir} has this data and configuration; a new one starts")
    return None, None

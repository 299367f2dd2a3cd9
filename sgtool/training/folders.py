"""Run folders: numbered, never overwritten, trained by one process at a time."""

import contextlib
import json
import os
import re
from pathlib import Path

from sgtool.errors import UserError
from sgtool.files import make_folder, try_lock

try:
    import fcntl
except ImportError:  # Windows has no flock, and locks no folders
    fcntl = None


def describe(options, given, dataset):
    """Name a run after its data and what was asked for, as NVIDIA's train.py does: `punks-mirror-tiny1-gamma0.1`."""
    parts = [dataset.name]
    parts += ["cond"] if options.cond else []
    parts += [f"subset{options.subset}"] if options.subset else []
    parts += ["mirror"] if options.mirror else []
    parts += [f"{options.cfg}{options.gpus}"]
    for name in ("gamma", "kimg", "batch"):
        if given.get(name) is not None:
            parts.append(f"{name}{given[name]:g}")
    parts += [options.aug] if options.aug != "ada" else []
    for name in ("p", "target"):
        if given.get(name) is not None:
            parts.append(f"{name}{given[name]:g}")
    parts += [options.augpipe] if options.augpipe != "bgc" else []
    parts += ["transfer"] if options.transfer else []
    parts += ["grow"] if options.grow else []
    parts += [f"freezed{options.freezed}"] if options.freezed else []
    return "-".join(parts)


def run_folders(outdir):
    """Return the run folders in `outdir`, newest first."""
    if not Path(outdir).is_dir():
        return []
    matches = [(re.match(r"(\d{5,})-", path.name), path) for path in Path(outdir).iterdir() if path.is_dir()]
    numbered = [(int(match[1]), path) for match, path in matches if match]
    return [path for _, path in sorted(numbered, reverse=True)]


def make_run_folder(outdir, description):
    """Create the next numbered folder `NNNNN-description` in `outdir` and return it. Safe among processes that start at once."""
    outdir = make_folder(outdir, "--outdir")
    with numbering(outdir):
        folder = outdir / f"{next_number(outdir):05d}-{description}"
        try:
            folder.mkdir()
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error.strerror or error}). Choose another --outdir or --desc.") from error
    return folder


def next_number(outdir):
    """Return the number of the next run: one more than that of anything numbered in `outdir`."""
    matches = [re.match(r"(\d{5,})-", path.name) for path in Path(outdir).iterdir()]
    return max((int(match[1]) + 1 for match in matches if match), default=0)


@contextlib.contextmanager
def numbering(outdir):
    """Wait until no other process gives a number in `outdir`. The folder itself is locked, so that nothing is left in it.

    Where a file system cannot lock a folder, two runs that start in the same instant may get the same number.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(outdir, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder):
    """Hold a run folder for this process; the system lets go of it when the process ends, however it ends.

    Raises:
        UserError: another process trains in it, or nothing can be written there.
    """
    try:
        file = open(Path(folder) / ".lock", "w", encoding="utf-8")  # noqa: SIM115 (closed below, by the lock)
    except OSError as error:
        raise UserError(f"{folder}: nothing can be written there ({error.strerror or error}). Check the disk.") from error
    with file:
        free = True
        with contextlib.suppress(OSError):  # where a disk cannot lock, two processes in one folder go unnoticed
            free = try_lock(file)
        if not free:
            raise UserError(f"{folder} is being trained by another process. Wait for it, or stop it first.")
        yield


def clear_leftovers(folder):
    """Remove unfinished files that a killed process left in a run folder. Call it while the folder is locked."""
    for path in [*Path(folder).glob(".*.part"), *Path(folder).glob("*.part"), Path(folder) / "checkpoint-new.pkl"]:
        path.unlink(missing_ok=True)


def read_options(folder):
    """Return a run's training_options.json, or None if it has none that can be read."""
    try:
        values = json.loads((Path(folder) / "training_options.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None

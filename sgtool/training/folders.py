"""Run folders: numbered, never overwritten, trained by one process at a time."""

import contextlib
import json
import re
import time
from pathlib import Path

from sgtool.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock: two processes in one folder go unnoticed there
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
    outdir = Path(outdir)
    while True:
        number = next_number(outdir)
        folder = outdir / f"{number:05d}-{description}"
        claim = outdir / f".{number:05d}.claim"  # for the number itself, whatever the description
        try:
            outdir.mkdir(parents=True, exist_ok=True)
            claim.touch(exist_ok=False)
            try:
                if next_number(outdir) == number:
                    folder.mkdir()
                    return folder
            finally:
                claim.unlink()
        except FileExistsError:
            if not outdir.is_dir():
                raise UserError(f"--outdir {outdir} is a file. Choose a folder.") from None
            if time.time() - _modified(claim) > 60:  # left by a process that was killed between two lines
                claim.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"--outdir {outdir}: no folder can be made there ({error.strerror or error}). Choose another."
            ) from error


def next_number(outdir):
    """Return the number of the next run folder."""
    existing = run_folders(outdir)
    return int(existing[0].name.split("-")[0]) + 1 if existing else 0


def _modified(path):
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


@contextlib.contextmanager
def locked(folder):
    """Hold a run folder for this process.

    Raises:
        UserError: another process trains in it.
    """
    with open(Path(folder) / ".lock", "w", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"{folder} is being trained by another process. Wait for it, or stop it first.") from error
        yield


def read_options(folder):
    """Return a run's training_options.json, or None if it has none that can be read."""
    try:
        values = json.loads((Path(folder) / "training_options.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None

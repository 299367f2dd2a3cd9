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
    parts += ["freezemapping"] if options.freeze_mapping else []
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


class Held:
    """A run folder that this process holds; the system lets go of it when the process ends, however it ends.

    Raises:
        UserError: another process trains in it, or nothing can be written there.
    """

    def __init__(self, folder):
        self.folder, self._path = Path(folder), Path(folder) / ".lock"
        self._file = self._take()

    def _take(self):
        try:
            file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise UserError(
                f"{self.folder}: nothing can be written there ({error.strerror or error}). Check the disk."
            ) from error
        free = True
        with contextlib.suppress(OSError):  # where a disk cannot lock, two processes in one folder go unnoticed
            free = try_lock(file)
        if not free:
            file.close()
            raise UserError(f"{self.folder} is being trained by another process. Wait for it, or stop it first.")
        return file

    def is_there(self):
        """Whether the folder is still the one that is held, not removed, nor another in its place."""
        try:
            found = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        held = os.fstat(self._file.fileno())
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def renew(self):
        """Make the folder again after it was removed, and hold it.

        Raises:
            UserError: it cannot be made, or another run has taken its place.
        """
        make_folder(self.folder, "The run folder")
        file = self._take()
        self._file.close()
        self._file = file

    def close(self):
        """Let go of the folder."""
        self._file.close()


@contextlib.contextmanager
def locked(folder):
    """Hold a run folder inside the block, as `Held`."""
    held = Held(folder)
    try:
        yield held
    finally:
        held.close()


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

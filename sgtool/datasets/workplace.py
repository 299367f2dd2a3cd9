"""The work folder beside DEST: what is done so far, by one process at a time, until the dataset is complete.

.data.zip.work/lock              held while a process works; the system lets go of it when the process ends
.data.zip.work/fingerprint       of the options and the pictures: what is here belongs to them alone
.data.zip.work/0000012.data ...  shards, see `shards`
.data.zip.work/plan.json, merge.json, publish.json ...  where the work stands
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from sgtool.datasets.archive import check_name
from sgtool.datasets.jobs import VERSIONS
from sgtool.datasets.shards import Resumable
from sgtool.errors import UserError
from sgtool.files import make_folder, try_lock, write_text

LOCK, FINGERPRINT = "lock", "fingerprint"
REPORTS, PUBLISH = "reports.json", "publish.json"  # written when all is done but the names
TRIES = 100  # to lock a folder that others remove


def work_folder(dest):
    """Return the work folder of a DEST, absolute.

    Raises:
        UserError: DEST has no name of its own, or too long a one.
    """
    check_name(dest)
    dest = Path(dest).absolute()
    return dest.with_name(f".{dest.name}.work")


class Workplace:
    """A work folder, locked.

    As a context manager: on success the folder goes; so it does after a `UserError` that the same command would only
    meet again, with the folders above it that were made for it. Whatever else ends the work (Ctrl-C, a full disk, a dead
    worker) leaves it for the next time, and so does a `UserError` before `begin`: what is there is another command's.

    Args:
        dest: where the dataset is to be, as the user gave it.
    Raises:
        UserError: another process works on the same DEST, or the folder cannot be made.
    """

    def __init__(self, dest):
        self.dest = dest
        self.folder = work_folder(dest)
        self._lock, self._begun, self._made = None, False, []

    def __enter__(self):
        self._made = [folder for folder in self.folder.parents if not folder.exists()]  # the innermost first
        make_folder(self.folder.parent, "DEST")
        for _ in range(TRIES):
            self._lock = self._try()
            if self._lock is not None:
                return self
        raise UserError(f"DEST {self.dest} cannot be written: {self.folder} comes and goes. Choose another folder.")

    def _try(self):
        """Lock the folder. Returns None if another process has just finished and removed it."""
        try:
            self.folder.mkdir(exist_ok=True)
            file = open(self.folder / LOCK, "a+b")  # noqa: SIM115 (closed on leaving)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"DEST {self.dest} cannot be written: {self.folder}: {reason}. Choose another folder.") from error
        if not _locked(file):
            file.close()
            raise UserError(f"Another run of sgtool prepare writes {self.dest} just now. Wait for it, or choose another DEST.")
        try:
            mine = os.path.samestat(os.fstat(file.fileno()), os.stat(self.folder / LOCK))
        except FileNotFoundError:
            mine = False
        if not mine:
            file.close()
            return None
        return file

    def __exit__(self, kind, *error):
        if kind is None:
            self._clear(but=(FINGERPRINT, REPORTS, PUBLISH))  # until the end they tell the next run that all is done
        if kind is None or (issubclass(kind, UserError) and not issubclass(kind, Resumable) and self._is_own()):
            self._clear()
            with contextlib.suppress(OSError):
                shutil.rmtree(self.folder)
                for folder in self._made:
                    folder.rmdir()  # fails where there is something in it
        self._lock.close()

    def _is_own(self):
        """Whether the work in the folder, if there is any, is that of this command."""
        return self._begun or not (self.folder / FINGERPRINT).exists()

    def _clear(self, but=()):
        """Remove all but the lock and some; the fingerprint first, so that a kill half-way leaves nothing that looks whole."""
        if FINGERPRINT not in but:
            (self.folder / FINGERPRINT).unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name in (LOCK, *but):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def begin(self, fingerprint):
        """Take up earlier work if it has the same fingerprint, otherwise start anew.

        Returns:
            "resumed", "anew" (there was other work, which is removed) or "fresh".
        """
        known, self._begun = self._read(FINGERPRINT), True
        if known == fingerprint:
            for path in self.folder.glob("*.part"):  # of jobs that were killed
                path.unlink(missing_ok=True)
            return "resumed"
        others = [path for path in self.folder.iterdir() if path.name != LOCK]
        self._clear()
        write_text(self.folder / FINGERPRINT, fingerprint)
        return "anew" if others else "fresh"

    def note(self, name, value):
        """Write a small JSON file, whole or not at all."""
        write_text(self.folder / name, json.dumps(value))

    def noted(self, name):
        """Return what `note` has written, or None if there is nothing that can be read."""
        try:
            return json.loads(self._read(name) or "null")
        except ValueError:
            return None

    def _read(self, name):
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None


def remove_leftover(dest):
    """Remove a work folder in which there is no work, as a run leaves it that was killed while it removed it."""
    folder = work_folder(dest)
    if folder.is_dir() and not (folder / FINGERPRINT).exists():
        with contextlib.suppress(UserError), Workplace(dest):  # unless another run has just begun
            pass


def disregard(folder, source, path):
    """Take the files of the work folder out of the counts of a source (a folder at `path`) that it lies in."""
    if not os.path.isdir(path) or Path(path).resolve() not in folder.resolve().parents:
        return
    own = sum(len(names) for _, _, names in os.walk(folder))
    source.ignored_files -= own
    source.counts = {
        reason: left for reason, number in source.counts.items() if (left := number - own * (reason == "not pictures"))
    }


def _locked(file):
    """Lock an open file; returns False if another process has it."""
    try:
        return try_lock(file)
    except OSError as error:
        raise UserError(f"{file.name} cannot be locked ({error.strerror or error}). Choose a DEST on another disk.") from error


def fingerprint_of(path, options, source, number, labels):
    """Return a SHA-256 of all that the result depends on, hexadecimal.

    Args:
        path: of the source, as the user gave it.
        options: what was asked for: plain values.
        source: `sources.Source`: names, and sizes and times of the files.
        number: of the pictures that are looked at.
        labels: `labels.Labels` or None.
    """
    facts = [VERSIONS, str(path), _size_and_time(path) if os.path.isfile(path) else None, options, source.stamps]
    digest = hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode())
    for i in range(number):
        name = source.names[i]
        label = labels.by_name.get(name) if labels else None
        digest.update(f"{name}\n{label}\n{_stamp(source.picture(i))}\n".encode("utf-8", "surrogateescape"))
    if labels:
        digest.update(json.dumps([labels.class_names, labels.origin]).encode())
    return digest.hexdigest()


def _stamp(picture):
    """Size and time of a picture's own file; None where it has none."""
    path = getattr(picture, "path", None) or getattr(getattr(picture, "file", None), "path", None)
    return None if path is None or hasattr(picture, "stamp") else _size_and_time(path)


def _size_and_time(path):
    try:
        found = os.stat(path)
    except OSError:
        return "gone"
    return found.st_size, found.st_mtime_ns

"""What a run looks after at each tick: that its folder is there, and that its data are those it began with."""

import os
from itertools import islice
from pathlib import Path

from sgtool.errors import UserError

FILES_A_TICK = 500  # of a dataset in a folder, whose pictures are looked at by turns


class DataReplaced(UserError):
    """The dataset is no longer the one that was trained on: no checkpoint must be written any more."""


class FolderWatch:
    """Makes the run folder again if somebody has removed it, or what is in it.

    Args:
        held: `folders.Held`.
        log: prints a line.
        refill: callables that write again what belongs there, or see to it.
        tell: called with ("fault", text), to note it among the run's events.
    """

    def __init__(self, held, log, refill=(), tell=None):
        self._held, self._log, self._refill, self._tell = held, log, refill, tell

    def __call__(self, state, tick):
        self.restore()

    def restore(self):
        """Make the folder again if it has gone, or fill it again; returns whether that was to be done.

        Raises:
            UserError: it cannot be made, or another run has taken its place.
        """
        is_held = self._held.is_there()
        if is_held and (self._held.folder / "training_options.json").exists():
            return False
        if not is_held:
            self._held.renew()
        for refill in self._refill:
            refill()
        text = (
            f"Warning: {self._held.folder}, or what is in it, was removed while the run was trained there. Training goes on in "
            "it and writes a checkpoint at once; what was removed is lost."
        )
        self._log(text)
        if self._tell is not None:
            self._tell("fault", text)
        return True


class DataWatch:
    """Ends the run when its dataset is replaced by another one.

    Looked at are size, time and inode: of a zip; of a folder and those in it, of dataset.json and prepare.json, and by turns of
    500 pictures at each tick. Where they have changed, the dataset is opened again: with the same fingerprint, training goes on.

    Args:
        path: the dataset.
        names: picture files in it.
        fingerprint: of the pictures and labels that the run is trained on.
        reopen: gives the fingerprint of what lies at `path` now.
        log: prints a line.
        folder: the run folder, for the text of the error.
    """

    def __init__(self, path, names, fingerprint, reopen, log, folder):
        self.path, self._log, self._folder = Path(path), log, folder
        self._fingerprint, self._reopen = fingerprint, reopen
        self._names = sorted(names) if self.path.is_dir() else []
        self._turn, self._is_there = 0, True
        self._known = {}
        self._renew()

    def __call__(self, state, tick):
        self.check()

    def check(self):
        """Compare the data with what they were.

        Raises:
            DataReplaced: the pictures or labels are others now.
        """
        if not os.path.exists(self.path):
            if self._is_there:
                self._log(f"Warning: {self.path} has gone. Training goes on as far as it can; to resume, the data must be back.")
            self._is_there = False
            return
        self._is_there = True
        if not self._has_changed():
            return
        try:
            fingerprint = self._reopen()
        except UserError as error:
            raise self._replaced(f"it cannot be read any more: {error.message}") from error
        if fingerprint != self._fingerprint:
            raise self._replaced("its pictures or labels are others now.")
        self._log(f"{self.path} was written again, with the same pictures and labels: training goes on.")
        self._renew()

    def _replaced(self, reason):
        return DataReplaced(
            f"--data {self.path} was replaced while the run was trained on it; {reason} The checkpoint is from before: "
            f"put the old data back, then go on with: sgtool train --resume {self._folder}"
        )

    def _renew(self):
        self._known = {}
        self._has_changed()

    def _has_changed(self):
        """Whether something differs from when it was first looked at."""
        changed = False
        for path in self._paths():
            now = identity(path)
            changed |= self._known.setdefault(path, now) != now
        return changed

    def _paths(self):
        """The files and folders whose turn it is."""
        if not self.path.is_dir():
            return [self.path]
        turn = [*islice(self._names, self._turn, self._turn + FILES_A_TICK)]
        self._turn = self._turn + FILES_A_TICK if len(turn) == FILES_A_TICK else 0
        folders = {str(Path(name).parent) for name in self._names}
        return [self.path / name for name in ("dataset.json", "prepare.json", *sorted(folders), *turn)]


def identity(path):
    """Size, time of the last change and inode of a file or folder; None if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino

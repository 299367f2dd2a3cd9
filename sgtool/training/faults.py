"""What may befall a run's files: a full disk, where training waits, and a folder that has gone, which is made again."""

import errno
import shutil
import time

from sgtool.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
GONE = (errno.ENOENT, errno.ESTALE)
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between two tries; each wait is twice the one before
BEAT = 0.2  # seconds between two looks at whether the run is to stop


def system_error(error):
    """Return the OSError that an error is, or was made from; None if there is none."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


def is_full(error):
    """Whether an error says that there is no space left, on the disk or of a quota."""
    found = system_error(error)
    return found is not None and found.errno in FULL


def is_gone(error):
    """Whether an error says that a file or folder is not there."""
    found = system_error(error)
    return found is not None and found.errno in GONE


class Patience:
    """Calls what writes a run's files until it succeeds.

    On a full disk training waits for space, trying again after 2, 4, 8 ... at most 60 seconds; that it waits is told once, and
    that it goes on. A run folder that has gone is made again first. Any other error is raised.

    Args:
        folder: the run folder.
        log: prints a line.
        stop: has `signal`, not None once the run is to stop.
        restore: makes a run folder again if it has gone and returns whether it had; None = it cannot be.
        tell: called with ("fault", text), to note it among the run's events.
        beat: called some times a minute while waiting.
    """

    def __init__(self, folder, log, stop, restore=None, tell=None, beat=None):
        self.folder, self.log, self._stop = folder, log, stop
        self.restore, self.tell, self.beat = restore, tell, beat

    def __call__(self, write, need=0):
        """Call `write` until it succeeds; it must be one that can be called again.

        Args:
            write: callable without arguments.
            need: bytes that it takes, to be told; 0 = not known.
        Returns:
            False if the run was asked to stop while it waited: then nothing was written.
        """
        began, wait, was_restored = None, FIRST_WAIT, False
        while True:
            try:
                write()
            except (UserError, OSError) as error:
                if is_gone(error) and not was_restored and self.restore is not None and self.restore():
                    was_restored = True
                    continue
                if not is_full(error):
                    raise
                if self._stop.signal is not None:
                    return False
                if began is None:
                    began = time.monotonic()
                    self._say(self._waiting(error, need))
                if not self._wait(wait):
                    return False
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if began is not None:
                    self._say(f"There is space again: training goes on after {time.monotonic() - began:.0f} s.")
                return True

    def _waiting(self, error, need):
        takes = f" It takes {need / 1e9:.2g} GB." if need else ""
        reason = f"{system_error(error).strerror}: {system_error(error).filename or self.folder}"
        return (
            f"Warning: the disk of {self.folder} is full ({free_space(self.folder)} free; {reason}).{takes} "
            "Training waits and tries again; free some space, or stop it with Ctrl-C. What was written before is intact."
        )

    def _say(self, text):
        self.log(text)
        if self.tell is not None:
            self.tell("fault", text)

    def _wait(self, seconds):
        """Wait; returns False as soon as the run is to stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stop.signal is not None:
                return False
            if self.beat is not None:
                self.beat()
            time.sleep(min(left, BEAT))
        return self._stop.signal is None


def free_space(folder):
    """Free space on a folder's disk, in words."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "nothing"
    return f"{free / 1e6:.1f} MB" if free < 1e9 else f"{free / 1e9:.1f} GB"


class Patient:
    """A report of which a full disk makes a pause: it is called again until it has written what it writes."""

    def __init__(self, report, patience):
        self.report, self._patience = report, patience
        self.name = getattr(report, "name", type(report).__name__)  # for the table of times
        self.everywhere = getattr(report, "everywhere", False)

    def __call__(self, state, tick):
        if self.everywhere and state.world.size > 1:  # all processes call it as often as each other
            self.report(state, tick)
        else:
            self._patience(lambda: self.report(state, tick))

"""How far a whole ladder is, told while its rungs are trained."""

import contextlib
import sys
import threading

from tqdm import tqdm

from sgtool.training.reports import duration
from sgtool.tuning.record import lines_of

EVERY = 1.0  # seconds between looks


class Watch:
    """Tells on standard error, tick by tick, how long the rungs that are left will take.

    Args:
        rungs: how many.
        kimg: length of each.
        say: callable that tells a line; None = on standard error.
    """

    def __init__(self, rungs, kimg, say=None):
        self.rungs, self.kimg = rungs, kimg
        self.say = say or (lambda text: tqdm.write(text, file=sys.stderr))
        self.done, self.rate = 0, None  # rungs; seconds a kimg of the last tick seen

    def line(self, kimg=0.0):
        """The line for a rung that is at `kimg`: "ladder: 1 of 3 rungs done, 42%, about 7m 12s left"."""
        total = self.rungs * self.kimg
        reached = min(self.done * self.kimg + kimg, total)
        left = "" if self.rate is None else f", about {duration((total - reached) * self.rate)} left"
        return f"ladder: {self.done} of {self.rungs} rungs done, {reached / total:.0%}{left}"

    @contextlib.contextmanager
    def watching(self, newest):
        """Tell while the block trains a rung.

        Args:
            newest: callable that returns the rung's run folder, or None as long as there is none.
        """
        end = threading.Event()
        folder = newest()
        told = None if folder is None else self._last(folder)
        thread = threading.Thread(target=self._look, args=(newest, end, told), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _look(self, newest, end, told):
        while not end.wait(EVERY):
            folder = newest()
            last = None if folder is None else self._last(folder)
            if last is not None and last != told and last[0] > 0:
                told, self.rate = last, last[1]
                self.say(self.line(last[0]))

    @staticmethod
    def _last(folder):
        """(kimg, seconds a kimg) of the last tick in stats.jsonl, or None."""
        lines = lines_of(folder / "stats.jsonl")
        with contextlib.suppress(KeyError, TypeError, IndexError):
            return lines[-1]["nimg"] / 1000, lines[-1]["Timing/sec_per_kimg"]["mean"]
        return None

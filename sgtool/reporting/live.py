"""The page of a run that is being trained, kept up to date for next to nothing."""

import time

from sgtool.errors import UserError
from sgtool.reporting.folder import RunFolder
from sgtool.reporting.page import run_page
from sgtool.reporting.restore import restore
from sgtool.reporting.write import NAME, checked, write

SHARE = 100  # the page takes at most one part in so many of a run's time
LEAST = 30.0  # seconds between two pages
MOST_NEW = 4  # sheets encoded for one page: of a run that had no page before, the older ones follow one by one


class Report:
    """Writes report.html of a run folder at ticks, but so seldom that it costs less than 1 % of the time.

    It is called as report(state, tick), on the first process only, after the reports that write what it reads.

    Args:
        folder: the run folder.
        every_seconds: least time between two pages; more where writing one takes more than a hundredth of it.
        say: prints a line, or None.
    """

    def __init__(self, folder, every_seconds=LEAST, say=None):
        self.run, self.every_seconds, self.say = RunFolder(folder), every_seconds, say
        self._next, self._is_restored, self._told = 0.0, False, None

    def __call__(self, state, tick):
        if tick.done or time.monotonic() >= self._next:
            self.write()

    def write(self):
        """Write the page now: at the end of a run, and when it is stopped.

        A page that cannot be written (a full disk, another file of that name) ends no run: it is said, once for each reason.
        """
        start = time.monotonic()
        try:
            path = checked(self.run.folder / NAME)
            if not self._is_restored:
                restore(self.run.gallery, self.run.folder, NAME)
                self._is_restored = True
            write(path, run_page(self.run.refresh(MOST_NEW)))
        except UserError as error:
            if self.say is not None and error.message != self._told:
                self.say(f"Warning: {error.message}")
            self._told = error.message
        end = time.monotonic()
        self._next = end + max(self.every_seconds, (end - start) * SHARE)

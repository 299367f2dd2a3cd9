"""Several processes at a tick: while the first one waits for space on the disk, the others know that it is alive."""

import time

WAIT, GO = "wait", "go"
BEAT_SECONDS = 5.0  # between two signs of life, far below the time after which a process is given up


class Apart:
    """A report of the first process alone: while it runs, the others wait at the next `Together`."""

    def __init__(self, report, meeting):
        self.report, self._meeting = report, meeting
        self.name = getattr(report, "name", type(report).__name__)

    def __call__(self, state, tick):
        self._meeting.is_on = True
        try:
            self.report(state, tick)
        finally:
            self._meeting.is_on = False


class Together:
    """Where processes wait for each other, before something in which all take part, and at the end of a tick.

    Args:
        world: `World`.

    Attributes:
        is_on: whether the others are waiting here, or soon will be.
    """

    everywhere = True

    def __init__(self, world):
        self._world, self._last, self.is_on = world, time.monotonic(), False

    def __call__(self, state, tick):
        if self._world.is_first:
            self._world.broadcast(GO)
        else:
            while self._world.broadcast(None) == WAIT:
                pass

    def beat(self):
        """In the first process: tell the others that it is still busy."""
        if self.is_on and time.monotonic() - self._last > BEAT_SECONDS:
            self._last = time.monotonic()
            self._world.broadcast(WAIT)


def kept_together(reports, world, patience=None):
    """Return the reports of a process with waits between those of the first process alone and those in which all take part.

    Args:
        reports: in all processes, those with `everywhere = True` in the same order.
        world: `World`; in a world of one nothing is added.
        patience: `Patience` of the first process, of which the others are to know that it waits.
    """
    if world.size == 1:
        return list(reports)
    meeting, arranged = Together(world), []
    if patience is not None:
        patience.beat = meeting.beat
    for report in reports:
        if getattr(report, "everywhere", False):
            arranged += [meeting, report]
        else:
            arranged.append(Apart(report, meeting))
    return [*arranged, meeting]

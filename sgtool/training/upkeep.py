"""The files of a run: who writes them, who waits when they cannot be written, who looks after them. In the first process only."""

import contextlib
import weakref
from functools import partial
from pathlib import Path

from sgtool.errors import UserError
from sgtool.training.faults import Patience, Patient
from sgtool.training.plan import open_data
from sgtool.training.resolve import Options
from sgtool.training.retention import Retention
from sgtool.training.saving import Checkpoints, Snapshots
from sgtool.training.watch import DataWatch, FolderWatch
from sgtool.training.writer import Writer


def fingerprint_of(plan):
    """Return the fingerprint of a run's data as they are on the disk now."""
    return open_data(plan.data, Options(**plan.given)).fingerprint


class Upkeep:
    """What writes the snapshots and checkpoints of a run, and what befalls them.

    Args:
        plan: `Plan`, with `held`.
        state: `TrainState`.
        log: prints a line.
        stop: `Stop`.
        events: `Events`.
        is_sound: for `Checkpoints`.
        refill: callables that write again what belongs into a run folder that was removed.

    Attributes:
        patience, writer, snapshots, checkpoints, retention, data_watch, folder_watch.
        out_of_turn: reports that are called when a snapshot is asked for between ticks.
    """

    def __init__(self, plan, state, log, stop, events, is_sound, refill):
        folder, current = plan.folder, weakref.ref(state)  # held by nobody here: where a run goes back, its memory is needed

        def tell(kind, text):
            events(kind, text, current().nimg)

        self.folder_watch = FolderWatch(plan.held, log, [*refill, self._want_checkpoint], tell)
        self.patience = Patience(folder, log, stop, self.folder_watch.restore, tell)
        self.writer = Writer(self.patience)
        dataset = plan.dataset
        self.data_watch = DataWatch(plan.data, dataset.names, dataset.fingerprint, partial(fingerprint_of, plan), log, folder)
        self.retention = Retention(folder, self.writer, log, tell)
        self.snapshots = Snapshots(folder, dataset, self.writer)
        extra = {"options": plan.given, "data": str(Path(plan.data).absolute())}
        self.out_of_turn = []
        self.checkpoints = Checkpoints(folder, extra, is_sound, self.writer, self.snapshots, log)

    @property
    def before_all(self):
        """Reports that come first: whether the data and the folder are there, and everything from the tick before is written."""
        return [self.data_watch, self.folder_watch, self.writer]

    def patient(self, report):
        """The same report, for which a full disk is a pause. Those that pause by themselves are left as they are."""
        own = (self.retention, self.snapshots, self.checkpoints)
        return report if any(report is one for one in own) else Patient(report, self.patience)

    def _want_checkpoint(self):
        self.checkpoints.is_wanted = True

    def rescue(self, state):
        """Write a checkpoint after an error between two steps, if the data are still those that were trained on.

        Raises:
            DataReplaced: they are not; that is what the error came from.
        """
        self.data_watch.check()
        with contextlib.suppress(UserError):
            self.checkpoints.save(state)

    def finish(self, state):
        """Write what is still to be written at the end: of a run that is not done, its last checkpoint.

        Returns:
            Whether it is written; not so where the disk is full and the run was asked to stop, or numbers are not finite now.
        Raises:
            DataReplaced: the data are others now.
        """
        self.data_watch.check()
        self.writer.wait()
        if not state.done or self.writer.has_dropped:
            return self.patience(lambda: self.checkpoints.save(state)) and state.health.is_sound(state)
        self.retention.apply(state)
        return True

    def close(self):
        """Wait for the thread that writes."""
        self.writer.join()

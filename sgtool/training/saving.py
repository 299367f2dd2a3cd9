"""Snapshots, to use or to transfer from, and checkpoints, to go on from."""

import os
import shutil
import time

from sgtool.errors import UserError
from sgtool.files import sync_folder
from sgtool.snapshots import Snapshot, save

CHECKPOINT_SECONDS = 600  # a checkpoint is at most this old, and a tick


class Snapshots:
    """network-snapshot-NNNNNN.pkl."""

    def __init__(self, folder, dataset):
        self.folder = folder
        self.about = {"name": dataset.name, "fingerprint": dataset.fingerprint, "num_images": len(dataset)}
        self.about |= {"class_names": dataset.class_names, "resolution": list(dataset.resolution), "channels": dataset.channels}

    def __call__(self, state, tick):
        if tick.is_snapshot:
            networks = {"G_ema": state.G_ema, "G": state.G, "D": state.D}
            facts = {"augment_p": state.ada.p, "nimg": state.nimg, "config": state.config.as_dict(), "dataset": self.about}
            save(Snapshot(**networks, **facts), self.folder / snapshot_name(state))


def snapshot_name(state):
    """Name of the snapshot of this moment: thousands of pictures in six digits."""
    return f"network-snapshot-{state.nimg // 1000:06d}.pkl"


class Checkpoints:
    """checkpoint.pkl, with each snapshot and at least every ten minutes; the one before is kept beside it.

    Args:
        folder: the run folder.
        extra: plain values that go into each checkpoint.
        is_sound: whether a checkpoint.pkl that is there already is one to keep. It is not where the run goes on from
            another, for instance checkpoint-previous.pkl after damage: then the first new one takes its place.
    """

    def __init__(self, folder, extra, is_sound=True):
        self.path, self.extra, self._is_sound = folder / "checkpoint.pkl", extra, is_sound
        self._last = time.monotonic()

    def __call__(self, state, tick):
        if tick.is_snapshot or time.monotonic() - self._last > CHECKPOINT_SECONDS:
            self.save(state)

    def save(self, state):
        """Write the new checkpoint beside the old one, give that a second name, then take its first: one is always there."""
        fresh = self.path.with_name("checkpoint-new.pkl")
        state.save(fresh, self.extra)
        try:
            if self.path.exists() and self._is_sound:
                keep_as(self.path, self.path.with_name("checkpoint-previous.pkl"))
            fresh.replace(self.path)
        except OSError as error:
            raise UserError(
                f"{self.path} could not be written: {error.strerror or error}. The one before is untouched; free some space, "
                f"then go on with: sgtool train --resume {self.path.parent}"
            ) from error
        sync_folder(self.path.parent)
        self._is_sound = True
        self._last = time.monotonic()


def keep_as(path, other):
    """Give the file `path` the second name `other`, replacing what has it: by a link, or a copy where there are no links."""
    temporary = other.with_name(other.name + ".part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    temporary.replace(other)

"""Snapshots, to use or to transfer from, and checkpoints, to go on from. Both are written beside the training, from one copy."""

import os
import shutil
import time
from functools import partial

from sgtool.errors import UserError
from sgtool.files import sync_folder
from sgtool.snapshots import Snapshot, save
from sgtool.snapshots.container import write_container
from sgtool.training.writer import bytes_of, copied

CHECKPOINT_SECONDS = 600  # a checkpoint is at most this old, and a tick
NETWORKS = ("G", "D", "G_ema")


class FrozenNetwork:
    """A network as it was at one moment: all that a snapshot wants of it."""

    def __init__(self, network, tensors):
        self.init_kwargs, self._tensors = network.init_kwargs, tensors

    def state_dict(self):
        """The tensors by name, on the CPU."""
        return self._tensors


class Snapshots:
    """network-snapshot-NNNNNN.pkl.

    Args:
        folder: the run folder.
        dataset: `ImageDataset`; each snapshot tells of it.
        writer: `Writer`, or None to write at once.
    """

    def __init__(self, folder, dataset, writer=None):
        self.folder, self.writer = folder, writer
        self.about = {"name": dataset.name, "fingerprint": dataset.fingerprint, "num_images": len(dataset)}
        self.about |= {"class_names": dataset.class_names, "resolution": list(dataset.resolution), "channels": dataset.channels}
        self._copy = None, None

    def __call__(self, state, tick):
        if not tick.is_snapshot:
            return
        tensors = {name: copied(getattr(state, name).state_dict()) for name in NETWORKS}
        self._copy = tick, tensors
        frozen = {name: FrozenNetwork(getattr(state, name), tensors[name]) for name in NETWORKS}
        facts = {"augment_p": state.ada.p, "nimg": state.nimg, "config": state.config.as_dict(), "dataset": self.about}
        write = partial(save, Snapshot(**frozen, **facts), self.folder / snapshot_name(state))
        write() if self.writer is None else self.writer.submit(state.step, write, bytes_of(tensors))

    def take_copy(self, tick):
        """Hand over the copy of the networks made at this tick: {"G" | "D" | "G_ema": tensors}, or None if there is none."""
        (of, tensors), self._copy = self._copy, (None, None)
        return tensors if of is tick else None


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
        writer: `Writer`, or None to write at once.
        snapshots: `Snapshots`, whose copy of the networks serves the checkpoint of the same tick too.
        log: prints a line, once: what the copies take.
    """

    def __init__(self, folder, extra, is_sound=True, writer=None, snapshots=None, log=None):
        self.path, self.extra, self._is_sound = folder / "checkpoint.pkl", extra, is_sound
        self._writer, self._snapshots, self._log = writer, snapshots, log
        self._last = time.monotonic()
        self.is_wanted = False  # at the next tick, whatever the time

    def __call__(self, state, tick):
        networks = None if self._snapshots is None else self._snapshots.take_copy(tick)
        if not (tick.is_snapshot or self.is_wanted or time.monotonic() - self._last > CHECKPOINT_SECONDS):
            return
        if self._writer is None or not state.health.is_sound(state):
            self.save(state)
            return
        contents = state.contents(self.extra)
        if networks is not None:
            contents["state"] |= {"networks": networks}
        contents["state"] = {name: part if part is networks else copied(part) for name, part in contents["state"].items()}
        need = bytes_of(contents)
        if self._log is not None:
            self._log(f"Checkpoints are written beside the training, from a copy of {need / 1e6:.1f} MB in main memory.")
            self._log = None
        self._writer.submit(state.step, partial(self._write, contents), need)
        self._note()

    def save(self, state):
        """Write the new checkpoint now, after what is being written. Of a moment that is none to go back to there is none."""
        if self._writer is not None:
            self._writer.wait()
        if not state.health.is_sound(state):
            self.is_wanted = True
            return
        self._write(state.contents(self.extra))
        self._note()

    def _note(self):
        self._last, self.is_wanted = time.monotonic(), False

    def _write(self, contents):
        """Write the new checkpoint beside the old one, give that a second name, then take its first: one is always there."""
        fresh = self.path.with_name("checkpoint-new.pkl")
        write_container(contents, fresh, "checkpoint")
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


def keep_as(path, other):
    """Give the file `path` the second name `other`, replacing what has it: by a link, or a copy where there are no links."""
    temporary = other.with_name(other.name + ".part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    temporary.replace(other)

"""The work folder of a projection: what is done so far, by one process at a time, until all pictures are projected.

OUT/.project/lock            held while a process works; the system lets go of it when the process ends
OUT/.project/plan.json       fingerprint of options, model and targets, and which pictures are projected together
OUT/.project/work.pkl        where the search or the tuning of the pictures in work stands
OUT/.project/frames          latents after each step, for the video
"""

import contextlib
import json
import os
import shutil
import signal
import time

import numpy as np

from sgtool.errors import UserError
from sgtool.files import make_folder, try_lock, write_text
from sgtool.snapshots import read_container, write_container

FOLDER, LOCK, PLAN, WORK, FRAMES = ".project", "lock", "plan.json", "work.pkl", "frames"
SAVE_SECONDS = 10  # between two saves


class Workplace:
    """The work folder in `outdir`, locked as long as the context lasts. It goes when the work is done.

    Args:
        outdir: `Path` of the results.
    Raises:
        UserError: another process works there, or nothing can be written there.
    """

    def __init__(self, outdir):
        self.outdir, self.folder, self._lock = outdir, outdir / FOLDER, None

    def __enter__(self):
        make_folder(self.folder, "--outdir")
        try:
            self._lock = open(self.folder / LOCK, "a+b")  # noqa: SIM115 (closed on leaving)
            free = try_lock(self._lock)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"--outdir {self.outdir} cannot be written ({reason}). Choose another folder.") from error
        if not free:
            self._lock.close()
            raise UserError(f"Another sgtool project writes to {self.outdir} just now. Wait for it, or choose another --outdir.")
        for path in self.folder.glob(".*.part"):
            path.unlink(missing_ok=True)
        return self

    def sweep(self, names):
        """Remove what a killed process left beside files of these names in the folder of the results, see `atomic_write`."""
        beginnings = tuple(f".{name}." for name in names)
        for path in self.outdir.glob(".*.part"):
            if path.name.startswith(beginnings):
                path.unlink(missing_ok=True)

    def __exit__(self, kind, *error):
        if kind is None:
            self.clear()
        idle = not any((self.folder / name).exists() for name in (PLAN, WORK, FRAMES))
        self._lock.close()
        if idle:
            shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self):
        """Remove all but the lock; the plan first, so that a kill half-way leaves nothing that looks whole."""
        for name in (PLAN, WORK, FRAMES):
            (self.folder / name).unlink(missing_ok=True)

    def begin(self, fingerprint, pending, size):
        """Take up earlier work if it has the same fingerprint, otherwise plan anew.

        Args:
            fingerprint: of all that the results depend on.
            pending: names of the pictures to project.
            size: how many to project together.
        Returns:
            (list of lists of names: what is projected together; whether other work was there, which is removed).
        """
        plan = self._plan()
        if plan is not None and plan["fingerprint"] == fingerprint:
            return plan["batches"], False
        other = plan is not None and self.work() is not None
        self.clear()
        batches = [pending[i : i + size] for i in range(0, len(pending), size)]
        write_text(self.folder / PLAN, json.dumps({"fingerprint": fingerprint, "batches": batches}))
        return batches, other

    def _plan(self):
        try:
            plan = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        return (
            plan if isinstance(plan, dict) and {"fingerprint", "batches"} <= set(plan) and _are_lists(plan["batches"]) else None
        )

    def work(self):
        """Return what `save` wrote, None if there is nothing or it is damaged (then the pictures in work begin anew)."""
        path = self.folder / WORK
        if not path.exists():
            return None
        try:
            work = read_container(path, "checkpoint").get("project")
        except UserError:
            return None
        return work if isinstance(work, dict) else None

    def save(self, work):
        """Write where the pictures in work stand: a dict of tensors and plain values."""
        write_container({"project": work}, self.folder / WORK, "checkpoint")

    def drop(self):
        """Forget the pictures in work, which are done."""
        for name in (WORK, FRAMES):
            (self.folder / name).unlink(missing_ok=True)

    def frames(self, shape):
        """Open the record of latents, see `Frames`."""
        return Frames(self.folder / FRAMES, shape)


class Frames:
    """Latents after each step, in a file that is only added to.

    Args:
        path: of the file.
        shape: of the latents of a step, `[N, num_ws, w_dim]`.
    """

    def __init__(self, path, shape):
        self.path, self.shape = path, tuple(shape)
        self._bytes = int(np.prod(self.shape)) * 4
        self._file = self._opened()

    def _opened(self):
        try:
            return open(self.path, "a+b")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror or error}). Choose another --outdir.") from error

    def cut(self, number):
        """Keep the first `number` steps; False if there are fewer."""
        if os.path.getsize(self.path) < number * self._bytes:
            return False
        self._file.truncate(number * self._bytes)
        return True

    def put(self, ws):
        """Add the latents of a step: float32 array."""
        try:
            self._file.write(np.ascontiguousarray(ws, np.float32).tobytes())
        except OSError as error:
            raise _full(self.path, error) from error

    def flush(self):
        """Bring all to the disk, before a state is saved that counts on it."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _full(self.path, error) from error

    def of(self, picture):
        """Yield the latents `[num_ws, w_dim]` of one picture, step by step."""
        self.flush()
        steps = os.path.getsize(self.path) // self._bytes
        if not steps:
            return
        record = np.memmap(self.path, np.float32, "r", shape=(steps, *self.shape))
        for step in range(steps):
            yield np.array(record[step, picture])

    def close(self):
        with contextlib.suppress(OSError):  # what could not be written is made again
            self._file.close()


def _are_lists(batches):
    """Tell whether a plan's batches are lists of names."""
    return isinstance(batches, list) and all(
        isinstance(batch, list) and batch and all(isinstance(name, str) for name in batch) for batch in batches
    )


def _full(path, error):
    reason = error.strerror or error
    return UserError(
        f"{path} could not be written: {reason}. Free some space, then give the same command: it goes on from there."
    )


class Clock:
    """Tells when `seconds` have passed since it last did."""

    def __init__(self, seconds):
        self.seconds, self._last = seconds, time.monotonic()

    def due(self):
        if self.seconds is None or time.monotonic() - self._last < self.seconds:
            return False
        self._last = time.monotonic()
        return True


class Stop:
    """Catches Ctrl-C, SIGTERM and a closed terminal: the step is finished first. A second Ctrl-C interrupts at once.

    Outside the main thread, where signals cannot be caught, it catches none.
    """

    def __init__(self):
        self.signal = None

    @contextlib.contextmanager
    def listening(self):
        """Catch the signals inside the block."""
        wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {}
        try:
            for number in wanted:
                before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number, frame):
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

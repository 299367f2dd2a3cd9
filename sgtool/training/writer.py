"""Files written beside the training, by a thread, from copies of the state."""

import threading
from collections import deque

import torch

from sgtool.snapshots.container import tensors_of
from sgtool.training.faults import is_full, is_gone


def copied(value):
    """Copy nested containers, with every tensor on the CPU and contiguous: what is written of them is the same bytes."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def bytes_of(value):
    """Bytes of the tensors in nested containers."""
    return sum(tensor.numel() * tensor.element_size() for _, tensor in tensors_of(value))


class Writer:
    """Writes the files of one moment in a thread, in order, while training goes on.

    Files of the next moment wait until these are written, so that there is never more than one copy of the state. What fails in
    the thread is raised by the next call of a method here; on a full disk the run pauses there (`Patience`) and writes it itself.

    Args:
        patience: `Patience`.
    """

    def __init__(self, patience):
        self._patience = patience
        self._jobs, self._moment, self._error = deque(), None, None
        self.has_dropped = False  # whether something was not written, because the run was to stop while the disk was full
        self._lock, self._thread = threading.Lock(), None

    def __call__(self, state, tick):
        """As a report: raise what has failed since the last tick."""
        self.check()

    @property
    def is_idle(self):
        """Whether everything is written."""
        with self._lock:
            return not self._jobs

    def submit(self, moment, write, need=0):
        """Have `write` called in the thread, after what was given before.

        Args:
            moment: number of the step that it belongs to; files of another step are waited for.
            write: callable without arguments, which may be called again after an error.
            need: bytes that it takes, to be told when the disk is full.
        """
        if moment != self._moment:
            self.wait()
        self.check()
        with self._lock:
            self._moment = moment
            self._jobs.append((write, need))
            if self._thread is None and self._error is None:
                thread = threading.Thread(target=self._work, name="writer", daemon=True)
                thread.start()  # it waits for the lock
                self._thread = thread

    def check(self):
        """Raise what failed in the thread; wait here where the disk is full."""
        with self._lock:
            error, self._error = self._error, None
        if error is None:
            return
        if not (is_full(error) or is_gone(error)):
            self._jobs.clear()
            raise error
        while self._jobs:
            write, need = self._jobs[0]
            if not self._patience(write, need):
                self._jobs.clear()  # the run goes on, one day, from the checkpoint before
                self.has_dropped = True
                return
            self._jobs.popleft()

    def wait(self):
        """Wait until everything is written, then as `check`."""
        self.join()
        self.check()

    def join(self):
        """Wait for the thread; raises nothing of its own."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self):
        while True:
            with self._lock:
                if not self._jobs:
                    self._thread = self._moment = None
                    return
                write, _ = self._jobs[0]
            try:
                write()
            except BaseException as error:  # of whatever kind, it is raised in the run's own thread
                with self._lock:
                    self._error, self._thread = error, None
                return
            with self._lock:
                self._jobs.popleft()
            del write  # its copy of the state is not needed while the next one is written

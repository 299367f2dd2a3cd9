"""Worker processes for a stream of jobs, results in order, memory bounded."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from sgtool.errors import UserError

IN_FLIGHT = 3  # jobs per worker that are waiting, worked on or done and not yet taken


def cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`workers` processes, or this process alone if there is but one.

    Processes are spawned, not forked: whatever threads the caller has, they start clean. A script that calls this
    needs the usual `if __name__ == "__main__":`.
    """

    def __init__(self, workers):
        self.workers = workers
        self._executor = None

    def __enter__(self):
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.workers, context, initializer=_start_worker)
        return self

    def __exit__(self, *error):
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(self, function, jobs):
        """Yield `function(job)` for each job, in order. `function` is a module's, jobs and results can be pickled."""
        if self._executor is None:
            yield from map(function, jobs)
            return
        waiting = deque()
        try:
            for job in jobs:
                waiting.append(self._executor.submit(function, job))
                if len(waiting) >= IN_FLIGHT * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "A worker process ended unexpectedly (out of memory?). Run again with fewer, for example --workers 1. "
                'A Python script that calls this needs if __name__ == "__main__":'
            ) from error


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)

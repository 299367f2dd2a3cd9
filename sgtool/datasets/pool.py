"""Workers for a stream of jobs: results in order, memory bounded, dead processes replaced.

`Pool` is processes of this machine, `cluster.Cluster` those of many; both run on the interface of concurrent.futures.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from sgtool.datasets.shards import Resumable
from sgtool.memory import keep_freed_memory

METHOD = "forkserver" if sys.platform == "linux" else "spawn"
IN_FLIGHT = 3  # jobs per worker that are waiting, worked on or done and not yet taken
ALONE = 32  # so few pictures are done before worker processes have started
ENDING = {signal.SIGINT, signal.SIGTERM}
TRIES = 2  # of a job by itself, after a worker has died


def cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(number, wanted=None):
    """Choose a number of processes for `number` pictures; `wanted` is what the user asked for, or None."""
    return min(wanted or (cores() if number > ALONE else 1), number)


def in_order(submit, jobs, most, result):
    """Yield results of jobs in their order, with at most `most` of them submitted and not yet taken.

    Args:
        submit: function from a job to a `Future`.
        jobs: iterable; it is read only as far as it is needed.
        most: number of jobs.
        result: function from the deque of (job, future), of which it takes the first, to a result.
    """
    waiting = deque()
    for job in jobs:
        waiting.append((job, submit(job)))
        if len(waiting) >= most:
            yield result(waiting)
    while waiting:
        yield result(waiting)


class Pool:
    """`workers` processes, or this process alone if there is but one.

    Whatever threads the caller has, processes start clean: they are spawned, or on Linux forked from a server process that
    has imported what they need (`commands.prepare` starts it early). A script that calls this needs the usual
    `if __name__ == "__main__":`.
    """

    def __init__(self, workers):
        self.workers = workers
        self._executor = self._alive = None

    def __enter__(self):
        if self.workers > 1:
            self._alive = multiprocessing.Pipe(duplex=False)
            self._executor = self._start()
        return self

    def __exit__(self, kind, *error):
        if self._executor is not None:
            if kind is not None:
                self._alive[1].close()  # the workers notice, and stop in the middle of what they do
            self._executor.shutdown(cancel_futures=True)
            for end in self._alive:
                end.close()

    def _start(self):
        context = multiprocessing.get_context(METHOD)
        return ProcessPoolExecutor(self.workers, context, initializer=_start_worker, initargs=(self._alive[0],))

    def map(self, function, jobs):
        """Yield `function(job)` for each job, in order. `function` is a module's, jobs and results can be pickled.

        Where a worker dies (killed, out of memory), the jobs that were under way are done again, one at a time.

        Raises:
            Resumable: the same job has ended its worker again and again.
        """
        if self._executor is None:
            return map(function, jobs)
        most = IN_FLIGHT * self.workers
        return in_order(lambda job: self._submit(function, job), jobs, most, lambda waiting: self._result(function, waiting))

    def _submit(self, function, job):
        try:
            with signals_waiting():
                return self._executor.submit(function, job)
        except BrokenProcessPool as error:  # noticed before its turn has come: as if it had failed
            future = Future()
            future.set_exception(error)
            return future

    def _result(self, function, waiting):
        try:
            result = waiting[0][1].result()
        except BrokenProcessPool:
            self._restart()
            again = [(job, future if _is_done(future) else self._alone(function, job)) for job, future in waiting]
            waiting.clear()
            waiting.extend(again)
            result = waiting[0][1].result()
        waiting.popleft()
        return result

    def _alone(self, function, job):
        """Do a job while no other is under way, so that it is known which one ends its worker."""
        for _ in range(TRIES):
            future = self._submit(function, job)
            if _is_done(future):
                return future
            self._restart()
        raise Resumable(
            f"The worker process on {job} ended unexpectedly, {TRIES} times (out of memory?). Leave these out, or run again with "
            '--workers 1. A Python script that calls this must be a file with if __name__ == "__main__":'
        )

    def _restart(self):
        self._executor.shutdown()
        self._executor = self._start()


@contextlib.contextmanager
def signals_waiting():
    """Let Ctrl-C and SIGTERM wait. A worker whose start they interrupt would be known to nobody, and complain to the screen."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_done(future):
    """Wait for a job; tell whether its worker lived to see the end."""
    return not isinstance(future.exception(), BrokenProcessPool)


def _start_worker(alive):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # as it came from the start
    keep_freed_memory()  # a picture after the other asks for blocks of one size: a tenth of the time
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive):
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel, alive])
    os._exit(1)

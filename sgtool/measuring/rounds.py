"""Work split over processes so that its result does not depend on how many there are."""

import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from sgtool.distributed import ALONE, PeerLost
from sgtool.errors import UserError

PULSE = 1.0  # seconds between two signs of life
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(BaseException):
    """The measurement was asked to stop, and did; nothing of it is kept."""


def in_rounds(tasks, compute, take, *, read=None, ahead=0, world=ALONE, stop=None):
    """Compute each task in one of the processes, and take all results in the first one, in the order of the tasks.

    Args:
        tasks: list, the same in all processes.
        compute: function of a task, or of what `read` makes of it; its result can be pickled where there are several processes.
        take: function of a task and its result.
        read: function of a task, called in threads up to `ahead` tasks before its turn; None = nothing is read.
        ahead: how many tasks are read in advance.
        world: `World`.
        stop: function without arguments that says whether to stop; asked once a round. None = never.
    Raises:
        Interrupted: in all processes, if one of them is to stop.
        UserError: in all processes, if it is raised in one, or a GPU's memory does not suffice.
    """
    error = None
    with contextlib.closing(_prepared(tasks[world.rank :: world.size], read, ahead)) as own:
        for first in range(0, len(tasks), world.size):
            result, part = None, tasks[first : first + world.size]
            if error is None and world.rank < len(part):
                result, error = _tried(_next, compute, own)
            results = _agreed(world, stop, error, result)
            if world.is_first:
                _, error = _tried(_take_all, take, part, results[: len(part)])
        _agreed(world, None, error, None)


def by_the_first(function, *, world=ALONE, stop=None):
    """Call `function()` in the first process, with the threads of all on its machine, while the others wait.

    They tell one another every second that they are there, so that it may take longer than a process waits for another.

    Args:
        function: takes nothing.
        world, stop: as for `in_rounds`; with `stop`, a signal ends the function too, between two of its lines.
    Returns:
        what it returned; None in the other processes.
    Raises:
        Interrupted, UserError: as `in_rounds`.
    """
    result, error = None, None
    with _pulse(world):
        if world.is_first:
            with _threads_of_all(world), contextlib.nullcontext() if stop is None else _ended_by_signals():
                result, error = _tried(function)
    _agreed(world, stop, error, None)
    return result


def by_all(function, *, world=ALONE, stop=None):
    """Call `function()` in each process and return what it gives there.

    Raises:
        Interrupted, UserError: as `in_rounds`.
    """
    result, error = _tried(function)
    _agreed(world, stop, error, None)
    return result


def _next(compute, own):
    return compute(next(own))


def _take_all(take, tasks, results):
    for task, result in zip(tasks, results, strict=True):
        take(task, result)


def _tried(function, *args):
    """Return (what a function returns, None), or (None, what it met that all processes are to raise)."""
    try:
        return function(*args), None
    except (UserError, Interrupted) as error:
        return None, error
    except torch.cuda.OutOfMemoryError:
        return None, UserError(
            "The GPU's memory does not suffice to measure beside what else is on it. Free some, or use --device cpu."
        )


def _agreed(world, stop, error, result):
    """Exchange results; raise in all processes what one of them met."""
    wants = isinstance(error, Interrupted) or (stop is not None and bool(stop()))
    rows = world.gather((wants, error.message if isinstance(error, UserError) else None, result))
    if any(row[0] for row in rows):
        raise Interrupted
    message = next((row[1] for row in rows if row[1] is not None), None)
    if message is not None:
        raise error if isinstance(error, UserError) else UserError(message)
    return [row[2] for row in rows]


def _prepared(tasks, read, ahead):
    """Yield what `read` makes of each task, some of them read before they are asked for."""
    if read is None or not ahead:
        yield from tasks if read is None else map(read, tasks)
        return
    with ThreadPoolExecutor(ahead) as pool:
        waiting = [pool.submit(read, task) for task in tasks[:ahead]]
        try:
            for number in range(len(tasks)):
                found = waiting.pop(0).result()
                if number + ahead < len(tasks):
                    waiting.append(pool.submit(read, tasks[number + ahead]))
                yield found
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _pulse(world):
    """Have all processes wait until the first one leaves the block, with a sign of life every second."""
    if world.size == 1:
        yield
        return
    if not world.is_first:
        yield
        while not world.any(False):
            pass
        return
    over = threading.Event()

    def beat():
        with contextlib.suppress(PeerLost):  # the first exchange in the main thread meets it again
            while not over.wait(PULSE):
                world.any(False)
            world.any(True)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _threads_of_all(world):
    """Use the threads of the processes that wait, too: as many as a process alone has, so that sums are rounded alike.

    OMP_NUM_THREADS holds for each process, whatever the others do.
    """
    own = torch.get_num_threads()
    if world.size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(own)


@contextlib.contextmanager
def _ended_by_signals():
    """Raise `Interrupted` when a signal comes, after whoever listens to it has heard it. In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (getattr(signal, name, None) for name in SIGNALS) if number}
    heard = [number for number, handler in before.items() if callable(handler)]

    def end(number, frame):
        before[number](number, frame)
        raise Interrupted

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])

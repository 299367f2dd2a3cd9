"""Starting processes on this machine, with torch.distributed's own elastic launcher."""

import contextlib
import dataclasses
import json
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
import uuid
from multiprocessing import resource_tracker
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sgtool.distributed.world import PeerLost
from sgtool.errors import UserError

DAY = 86400.0  # seconds for the last step and its checkpoint after a signal; a second Ctrl-C is what shortens it


def launched(size, function, *args):
    """Run `function(*args)` in `size` processes on this machine and return what the first one returns.

    The processes find one another by `joined`. If one of them fails, the others are stopped.

    Args:
        size: how many processes.
        function: of a module; it and its arguments must be what pickle can write.
    Raises:
        UserError: as raised in a process, or a process was killed.
        SystemExit: as raised in the first process; 128 + signal where this process got one.
        RuntimeError: anything else that went wrong in a process, with its trace.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # a new process imports the script that started it
        raise UserError(
            'A script that starts several processes is imported by each: put its calls under if __name__ == "__main__":'
        )
    known = {"shutdown_timeout": int(DAY)} if "shutdown_timeout" in _fields(LaunchConfig) else {}
    with tempfile.TemporaryDirectory(prefix="sgtool-") as folder, _quiet(), _own_signals(), _held_interrupts(folder, size):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=size,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            start_method="spawn",
            monitor_interval=0.1,
            **known,
        )
        try:
            return elastic_launch(config, _guarded)(folder, size, function, args)[0]
        except ChildFailedError as error:
            raise _first_failure(folder, error) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None


def _fields(kind):
    return {field.name for field in dataclasses.fields(kind)}


@contextlib.contextmanager
def _held_interrupts(folder, size):
    """Keep Ctrl-C from processes that still begin, which would print traces: it waits for them until `_guarded` takes it.

    They inherit what is blocked in this thread; another one takes Ctrl-C for this process until all have begun.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # as it begins it would let Ctrl-C through again
    interrupts = _Interrupts(folder, size)
    before = signal.signal(signal.SIGCHLD, interrupts.let_through)
    over, main = threading.Event(), threading.get_ident()
    receiver = threading.Thread(target=interrupts.watch, args=(over, main), name="signals", daemon=True)
    receiver.start()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        over.set()
        receiver.join()
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class _Interrupts:
    """Ctrl-C once all processes have begun: the first is the launcher's, a second one interrupts them, a third one kills them."""

    def __init__(self, folder, size):
        self._folder, self._size = folder, size
        self._launcher, self._count = None, 0

    def watch(self, over, main):
        """In a thread: wake the thread `main` when all have begun."""
        while not over.wait(0.1):
            if len(_begun(self._folder)) == self._size:
                signal.pthread_kill(main, signal.SIGCHLD)
                return

    def let_through(self, number, frame):
        """Take Ctrl-C in the main thread from now on, if all have begun."""
        if self._launcher is None and len(_begun(self._folder)) == self._size:
            self._launcher = signal.signal(signal.SIGINT, self._interrupt)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _interrupt(self, number, frame):
        self._count += 1
        if self._count == 1:
            self._launcher(number, frame)
        for pid in _begun(self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if self._count == 2 else signal.SIGKILL)


def _begun(folder):
    """The numbers of the processes that have begun."""
    return [int(path.stem) for path in Path(folder).glob("*.pid")]


@contextlib.contextmanager
def _quiet():
    """Keep the launcher, and what counts its semaphores, from telling in their own words what is told in ours."""
    told, os.environ["PYTHONWARNINGS"] = os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning"
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("torch.distributed", "torch.multiprocessing"))]
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
        if told is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = told


@contextlib.contextmanager
def _own_signals():
    """Give signals back to whoever handled them before the launcher did; it does not do so itself."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _guarded(folder, size, function, args):
    """Run in a process: return what the function does, or note what went wrong, or how it ended, and fail.

    (A process that returns waits until the launcher has taken the value, which one that was told to stop no longer does.)
    """
    if hasattr(os, "setsid"):  # Ctrl-C in the terminal then comes from the launcher alone, once
        with contextlib.suppress(OSError):
            os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max((os.cpu_count() or 1) // size, 1))
    try:
        (Path(folder) / f"{os.getpid()}.pid").touch()
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return function(*args)
    except BaseException as error:
        _note(Path(folder), error)
        raise SystemExit(1) from None


def _note(folder, error):
    """Leave word of an error for the process that started this one."""
    kind = next((kind for kind in (PeerLost, UserError, SystemExit) if isinstance(error, kind)), None)
    values = {
        "kind": "trace" if kind is None else kind.__name__,
        "text": error.message if kind is UserError else "".join(traceback.format_exception(error)),
        "code": error.code if kind is SystemExit else None,
        "time": time.time(),
        "rank": int(os.environ.get("RANK", "0")),
    }
    with contextlib.suppress(OSError):  # the folder has gone with the process that made it: nobody reads any more
        (folder / f"{values['rank']}.json").write_text(json.dumps(values), encoding="utf-8")


def _first_failure(folder, error):
    """Return the exception to raise: the first error of a process itself, before those of processes that then lost it."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    own = [note for note in notes if note["kind"] != "PeerLost"]
    own.sort(key=lambda note: (note["kind"] == "SystemExit", note["time"]))
    if own and own[0]["kind"] == "UserError":
        return UserError(own[0]["text"])
    if own and own[0]["kind"] == "SystemExit":
        return SystemExit(own[0]["code"])
    if own:
        return RuntimeError(f"Process {own[0]['rank']} failed:\n{own[0]['text']}")
    for rank, failure in sorted(error.failures.items()):
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            hint = " Often there was not enough memory: compute fewer pictures at a time (in training: --batch-gpu)."
            hint = hint if name == "SIGKILL" else ""
            return UserError(f"Process {rank} was ended by {name}, and the others stopped.{hint}")
    if notes:
        return UserError(
            f"Process {notes[0]['rank']} waited in vain for another one, and all were stopped. If one may really take so long, "
            "give it more time (in training: --timeout)."
        )
    return UserError(
        "A process ended without a word; see what it printed above. "
        '(A Python script that starts several is a file, with its calls under if __name__ == "__main__":)'
    )

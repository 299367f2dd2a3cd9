"""Starting processes on this machine, with torch.distributed's own elastic launcher."""

import contextlib
import json
import logging
import os
import signal
import tempfile
import threading
import time
import traceback
import uuid
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sgtool.distributed.world import PeerLost
from sgtool.errors import UserError


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
    with tempfile.TemporaryDirectory(prefix="sgtool-") as folder, _quiet(), _own_signals():
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
        )
        try:
            return elastic_launch(config, _guarded)(folder, size, function, args)[0]
        except ChildFailedError as error:
            raise _first_failure(folder, error) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None


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
    return UserError(f"A process ended without a word: {str(error).splitlines()[0]}. See what it printed above.")

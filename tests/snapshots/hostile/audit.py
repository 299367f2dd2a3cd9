"""What a process does while it opens a file: every event of Python's audit hook, time, memory, files made.

A hook cannot be removed, so this runs in a process of its own:

    python audit.py cases < names        opens those hostile files, prints a line of JSON for each
    python audit.py files < paths        opens those files
    python audit.py careless < names     the same files through Python's own pickle, to see that the hook sees
"""

import ctypes
import faulthandler
import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

LIMIT_BYTES = 1 << 30  # a request for more memory than this is an error (MemoryError)
LIMIT_SECONDS = 30  # after which opening counts as hanging
READING = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
READING |= getattr(os, "O_BINARY", 0)
HARMLESS = {  # events that only look; everything else that Python reports is a finding
    "builtins.id",
    "mmap.__new__",
    "pathlib.Path.iterdir",  # of pathlib in Python 3.10
    "sys._getframe",
}


class Forbidden(BaseException):
    """Raised in the place of an event, so that it does not happen. No `except Exception` holds it."""


class TookTooLong(BaseException):
    """Opening a file does not end."""


class Watch:
    """Records what happens between `start` and `stop`.

    Args:
        spared: events that are recorded and may happen; in the place of all others `Forbidden` is raised.
    """

    def __init__(self, spared=()):
        self.on, self.events, self.path, self.spared = False, [], "", spared
        sys.addaudithook(self._hook)

    def start(self, path):
        self.events, self.path, self.on = [], str(path), True

    def stop(self):
        self.on = False
        return self.events

    def _hook(self, event, args):
        if not self.on or event in HARMLESS or event == "open" and self._reads(*args):
            return
        if event == "os.listdir" and str(args[0]) == self.path:  # a folder was asked for
            return
        self.on = False
        self.events.append(f"{event} {args!r}"[:300])
        self.on = True
        if event not in self.spared:
            raise Forbidden(event)

    def _reads(self, path, mode, flags):
        """Whether the file that was asked for is opened, and for reading only."""
        return str(path) == self.path and mode in ("r", "rb", None) and not flags & ~READING


def memory(what):
    """Bytes of memory now ("VmRSS") or at most since `forget_peak` ("VmHWM"); 0 where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(what))
    except (FileNotFoundError, StopIteration):
        return 0


def give_back():
    """Return freed memory to the system, so that what is taken next is seen as growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def forget_peak():
    """From now on, "VmHWM" counts anew."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def limit_memory():
    """Make a request for absurd amounts of memory fail, as it may on a user's machine."""
    if sys.platform == "linux":
        import resource

        size = memory("VmSize") + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def hang_up(seconds):
    """Raise `TookTooLong` after so many seconds, and end the process soon after if that does not help; 0 = do not."""
    faulthandler.cancel_dump_traceback_later()
    if seconds:
        faulthandler.dump_traceback_later(seconds + 5, exit=True)
    if hasattr(signal, "SIGALRM"):

        def handler(number, frame):
            raise TookTooLong

        signal.signal(signal.SIGALRM, handler)
        signal.alarm(seconds)


def examine(open_file, path, watch):
    """Open a file under the watch.

    Args:
        open_file: function of a path.
        path: the file.
        watch: `Watch`.
    Returns:
        dict: outcome ("opened", "refused", "error"), message, events, seconds (of the CPU), peak and kept (bytes of memory).
    """
    from sgtool.errors import UserError

    gc.collect()
    give_back()
    forget_peak()
    before, begin, outcome, message = memory("VmRSS"), time.process_time(), "opened", ""
    try:
        hang_up(LIMIT_SECONDS)
        watch.start(path)
        try:
            open_file(path)
        finally:
            watch.stop()
            hang_up(0)
    except UserError as error:
        outcome, message = "refused", error.format_message()
    except BaseException as error:  # a finding, whatever it is
        outcome, message = (
            "error",
            f"{type(error).__name__}: {error}"[:500] + "\n" + "".join(traceback.format_tb(error.__traceback__)[-6:]),
        )
    seconds, peak = time.process_time() - begin, memory("VmHWM") - before
    return {"outcome": outcome, "message": message, "events": watch.events, "seconds": seconds, "peak": peak}


def careless(path):
    """What a program does that trusts its files."""
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


def load(path):
    from sgtool import snapshots

    return snapshots.load(path)


def inspect(path):
    from sgtool.snapshots.inspect import inspect

    return json.dumps(inspect(path), allow_nan=False)


def warm_up():
    """Import and open everything once that honest files need, so that what is new later is told."""
    for package in ("sgtool.snapshots", "sgtool.networks", "sgtool.ops"):
        _import_all(package)
    with tempfile.TemporaryDirectory() as folder:
        for path in honest_files(Path(folder)):
            load(path)
            inspect(path)


def honest_files(folder):
    """Write honest files of several layouts into a folder. Returns their paths."""
    import corpus_descriptions
    import models

    files = {
        "nvidia.pkl": models.nvidia(),
        "tensorflow.pkl": models.tensorflow(),
        "own.pkl": corpus_descriptions.saved(models.own()),
        "state-dict.pt": corpus_descriptions.saved(models.generator().state_dict()),
        "described.safetensors": corpus_descriptions.in_safetensors({}),
        "bare.safetensors": corpus_descriptions.bare_safetensors(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def _import_all(package):
    import importlib
    import pkgutil

    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)


def examine_case(case, watch, open_file):
    """Build a hostile file in a folder of its own and open it from there."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        os.chdir(folder)
        try:
            path = case.path(folder)
            ordinary = isinstance(path, Path) and os.path.isfile(path) and not os.path.islink(path)
            size = path.stat().st_size if ordinary else 0
            before = sorted(os.listdir(folder))
            record = examine(open_file, path, watch)
            made = sorted(set(os.listdir(folder)) - set(before))
        finally:
            os.chdir(here)
    return record | {"path": str(path), "size": size, "made": made}


def main():
    import corpus

    mode, wanted = sys.argv[1], json.load(sys.stdin)
    warm_up()
    watch = Watch(spared=("pickle.find_class",) if mode == "careless" else ())
    open_file = careless if mode == "careless" else load
    cases = corpus.collect()
    gc.freeze()  # what is there stays, and need not be looked through when something is collected
    if mode != "careless":
        limit_memory()
    for name in wanted:
        print(json.dumps({"begins": name}), flush=True)
        if mode == "files":
            record = examine(load, Path(name), watch) | {"path": name, "size": os.path.getsize(name), "made": []}
        else:
            record = examine_case(cases[name], watch, open_file)
        print(json.dumps({"name": name} | record), flush=True)


# Under Python's own pickle a name is looked up first; what counts is what is done with it.
CARELESS = {
    "os.system",
    "os.mkdir",
    "exec",
    "compile",
    "subprocess.Popen",
    "os.remove",
    "os.rmdir",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
}
CARELESS |= {"socket.connect", "socket.getaddrinfo", "ctypes.dlopen", "marshal.loads", "code.__new__", "shutil.rmtree", "open"}

if __name__ == "__main__":
    main()

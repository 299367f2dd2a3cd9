"""Archives that a process keeps open between two pictures: a few, each closed when another takes its place."""

import threading
from collections import OrderedDict

MOST = 4  # kept open at once

_lock = threading.RLock()
_open = OrderedDict()  # {key: handle}, the one used last at the end


def kept(key, opener):
    """Return the handle of `key`, which `opener()` opens if it is not open.

    Args:
        key: anything hashable that changes when the file does.
        opener: function without arguments; what it returns has `close()`.
    """
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
        while len(_open) >= MOST:
            _open.popitem(last=False)[1].close()
        handle = _open[key] = opener()
        return handle


def drop(key):
    """Close one handle, if it is open."""
    with _lock:
        handle = _open.pop(key, None)
        if handle is not None:
            handle.close()


def read_at(key, opener, offset, size):
    """Read bytes from the place `offset` of a kept file; fewer than `size` only where it ends. Threads may share it."""
    with _lock:
        file = kept(key, opener)
        file.seek(offset)
        return file.read(size)


def close_files():
    """Close the archives that this process keeps open."""
    with _lock:
        while _open:
            _open.popitem()[1].close()

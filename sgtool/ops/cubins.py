"""Compiled kernels on disk: one small file for each kernel, architecture and compiler version."""

import functools
import hashlib
import os
import stat
import sys

from sgtool import files
from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.ops import nvrtc

FORMAT = b"sgtool kernel 1 "
ROOT = 0  # user number


def load_or_compile(source, kernel, arch):
    """Return the machine code of one kernel, from the cache or freshly compiled.

    The key is a SHA-256 of everything that decides the code, so a stale file is never read, and the file carries a checksum,
    so a damaged one is never used: it is compiled and written again. Many processes may do this at once: each writes a
    file of its own, and renames it.

    Args:
        source: name of a .cu file in ops/kernels.
        kernel: name expression.
        arch: "sm_90".
    Returns:
        The cubin as bytes, and the kernel's name inside it.
    Raises:
        RuntimeError: it is not in the cache and cannot be compiled.
    """
    key = _key(source, kernel, arch)
    path = cache_folder() / f"{key}.cubin"
    found = _read(path, key)
    if found is None:
        cubin, names = nvrtc.compile_cubin(nvrtc.source_text(source), [kernel], arch)
        found = cubin, names[kernel]
        _write(path, key, *found)
    return found


def cache_folder():
    """Return the folder of compiled kernels, which need not exist yet."""
    return files.cache_folder("kernels")


def _key(source, kernel, arch):
    parts = (FORMAT, nvrtc.source_digest(source), source, kernel, arch, nvrtc.STANDARD, nvrtc.version())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _read(path, key):
    """(cubin, name) of a file that is whole and of this version; else None."""
    try:
        with open(path, "rb") as file:
            if not _is_ours(os.fstat(file.fileno())):
                say_once(
                    f"the compiled kernel {path} belongs to another user, or others can change it, so it is not used; "
                    "name a folder of your own: SGTOOL_CACHE=/path"
                )
                return None
            content = file.read()
    except OSError:
        return None  # not there, or not to be read: then it is compiled, and writing says what is wrong
    head, _, body = content.partition(b"\n")
    if head != FORMAT + hashlib.sha256(body).hexdigest().encode():
        say_once(f"the compiled kernel {path} is damaged or of another version; it is compiled again")
        return None
    stored_key, _, rest = body.partition(b"\n")
    name, _, cubin = rest.partition(b"\n")
    return (cubin, name.decode()) if stored_key == key.encode() else None


def _is_ours(status):
    """True if nobody but this user and root can have written a file: what is in it runs on the GPU."""
    if not hasattr(os, "geteuid"):  # Windows, where the folder of a user is closed to others
        return True
    return status.st_uid in (ROOT, os.geteuid()) and not status.st_mode & stat.S_IWOTH


def _write(path, key, cubin, name):
    body = b"\n".join([key.encode(), name.encode(), cubin])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        path.chmod(0o644)
    except (OSError, UserError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no room or no permission"
        say_once(
            f"compiled kernels cannot be kept in {path.parent} ({reason}), so each start compiles them again; "
            "name a folder that can be written: SGTOOL_CACHE=/path"
        )


@functools.cache
def say_once(text):
    """Print a line on stderr, once in a process."""
    print(f"sgtool: {text}", file=sys.stderr, flush=True)

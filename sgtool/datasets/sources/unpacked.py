"""Compressed archives, unpacked once to a temporary file that goes away with the source."""

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import tempfile
import weakref
import zipfile
import zlib
from pathlib import Path

from sgtool.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be deleted by others anyway
    fcntl = None

PREFIX = "sgtool-unpacked-"
STEP = 1 << 22  # bytes
RESERVE = 1 << 30  # bytes that are left free on the disk
MAGIC = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": bz2.open}
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, ValueError)


def opener_of(head):
    """Return what opens a compressed file that begins with the bytes `head`; None if it is not compressed."""
    return next((opener for magic, opener in MAGIC.items() if head.startswith(magic)), None)


def peek(path, size=1024):
    """Return the first bytes of a file, unpacked if it is compressed; fewer where it is damaged."""
    with open(path, "rb") as file:
        head = file.read(size)
    opener = opener_of(head)
    if opener is None:
        return head
    try:
        with opener(path, "rb") as file:
            return file.read(size)
    except DAMAGED:
        return b""


class Unpacked:
    """The bytes of a compressed file, in a temporary file that is deleted with this object, or when the program ends.

    A program that was killed leaves its temporary file behind; the next one deletes it.

    Attributes:
        path: the temporary file, as text.
        damage: what was wrong with the end of the compressed file (then only the part before it is there), or None.
    """

    def __init__(self, path, opener=None):
        """Unpack `path`, which `opener(path, "rb")` opens; None = gzip, xz or bzip2, by its first bytes."""
        folder = tempfile.gettempdir()
        _delete_left_behind(folder)
        opener = opener or opener_of(_head(path))
        self.damage = None
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it stays open, and locked, as long as it is used
            dir=folder, prefix=PREFIX, suffix=".tar", delete=False
        )
        self.path = self._file.name
        self._end = weakref.finalize(self, _delete, self._file, os.getpid())
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._fill(path, opener)
        except BaseException:
            self.close()
            raise

    def _fill(self, path, opener):
        with opener(path, "rb") as packed:
            while True:
                try:
                    block = packed.read1(STEP)  # `read` would drop what it has when the end is missing
                except DAMAGED as error:
                    self.damage = str(error) or type(error).__name__
                    break
                if not block:
                    break
                if shutil.disk_usage(os.path.dirname(self.path)).free < RESERVE:
                    raise _no_room(path, f"less than {RESERVE >> 20} MB are left")
                try:
                    self._file.write(block)
                    self._file.flush()
                except OSError as error:
                    raise _no_room(path, error.strerror or error) from error

    def close(self):
        """Delete the temporary file now."""
        self._end()


def _head(path):
    with open(path, "rb") as file:
        return file.read(8)


def _no_room(path, reason):
    return UserError(
        f"{path} is compressed, and there is no room to unpack it in {tempfile.gettempdir()} ({reason}). "
        "Set TMPDIR to a folder on a larger disk, or unpack it yourself and give the folder."
    )


def _delete(file, owner):
    if os.getpid() != owner:  # in a process that was forked from it
        return
    file.close()
    with contextlib.suppress(OSError):
        os.unlink(file.name)


def _delete_left_behind(folder):
    """Delete temporary files that no running program holds a lock on."""
    for path in Path(folder).glob(f"{PREFIX}*.tar"):
        with contextlib.suppress(OSError):  # it is in use, another user's, or gone
            if path.stat().st_size:  # an empty one has just been made
                _delete_unlocked(path)


def _delete_unlocked(path):
    with open(path, "rb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    path.unlink()

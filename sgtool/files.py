"""Files on disk: writing them whole or not at all, telling them apart, and where those lie that can be made again."""

import contextlib
import hashlib
import json
import math
import os
import tempfile
from pathlib import Path

from sgtool.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None


@contextlib.contextmanager
def atomic_write(path, mode="wb"):
    """Open a file that appears under its name only when it is complete.

    The bytes go to a temporary file beside `path`, are flushed and fsynced, and the file is then renamed, so that a
    reader (or the next start after a kill) finds the old file or the new one, never a part.

    Args:
        path: where the file is to be. Its folder must exist.
        mode: "wb" for bytes or "w" for UTF-8 text.
    Yields:
        The open file object.
    Raises:
        UserError: the file cannot be written (disk full, no permission). What was at `path` before is still there.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}. "
            "What was there before is untouched; free some space or choose another folder, then run again."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder):
    """Make renames in `folder` durable. Does nothing where the system cannot sync a folder (Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def try_lock(file):
    """Lock an open file for this process, which keeps it until the file is closed or the process ends, however it ends.

    Returns:
        False if another process has it.
    Raises:
        OSError: nothing can be locked there, for instance on some network disks.
    """
    try:
        if fcntl is None:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def write_text(path, text):
    """Write `text` to `path` as UTF-8, atomically (see `atomic_write`)."""
    with atomic_write(path, "w") as file:
        file.write(text)


def json_line(values):
    """Return plain values as one line of JSON, with null for numbers that it does not know."""
    return json.dumps(_finite(values))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256_of(path):
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def make_folder(path, option):
    """Create the folder `path` (and its parents) and return it as a `Path`.

    Raises:
        UserError: something else has that name, or it cannot be created; `option` names the culprit.
    """
    if not str(path).strip():
        raise UserError(f"{option} is empty. Name a folder, like out.")
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{option} {path}: the folder cannot be created ({reason}). Choose another one.") from error
    return path


def cache_folder(kind):
    """Return the folder for files that can be made or fetched again.

    Args:
        kind: a word, "kernels" or "models".
    Returns:
        $SGTOOL_CACHE/kind; without SGTOOL_CACHE, sgtool/kind in $XDG_CACHE_HOME or ~/.cache. It need not exist yet.
    """
    if os.environ.get("SGTOOL_CACHE"):
        return Path(os.environ["SGTOOL_CACHE"]) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "sgtool" / kind

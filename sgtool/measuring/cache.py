"""What was measured of a dataset is kept, so that the next model is compared without looking at all real pictures again."""

import contextlib
import hashlib
import json
import os
import re
import time

import numpy as np

from sgtool.errors import UserError
from sgtool.files import atomic_write, cache_folder, make_folder
from sgtool.latents.npz import read_arrays

KIND = "features"  # folder of the cache
VERSION = 1  # of what a file holds; another one is not looked at
LARGEST = 1 << 30  # bytes: larger arrays are computed again each time
MOST = 5 << 30  # bytes of all: beyond it what was not used for the longest time goes
STALE = 24 * 3600  # seconds after which what a killed process began to write is removed
OURS, BEGUN = re.compile(r"[0-9a-f]{64}\.npz"), re.compile(r"\.[0-9a-f]{64}\.npz\..+\.part")


def path_of(about):
    """Return the file for what `about`, a dict of plain values, describes: other contents, another name."""
    text = json.dumps({"version": VERSION, **about}, sort_keys=True)
    return cache_folder(KIND) / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"


def read(about, shapes):
    """Return the arrays that were kept, as a dict; None if there are none, or if they are not what they should be.

    Args:
        about: dict of plain values: pictures, detector, selection.
        shapes: {name: shape}, None in it for any length.
    """
    try:
        arrays = read_arrays(path_of(about), tuple(shapes), "features", LARGEST, "It is made again.")
    except UserError:  # not there, or damaged: it is made again
        return None
    if set(arrays) != set(shapes):
        return None
    with contextlib.suppress(OSError):
        os.utime(path_of(about))  # it was used now
    return arrays if all(_fits(arrays[name], shape) for name, shape in shapes.items()) else None


def keep(about, arrays):
    """Keep arrays, unless they are very large; older ones make room for them.

    Returns:
        whether they are kept.
    Raises:
        UserError: the folder cannot be written to.
    """
    if sum(array.nbytes for array in arrays.values()) > LARGEST:
        return False
    path = path_of(about)
    make_folder(path.parent, "SGTOOL_CACHE")
    with atomic_write(path) as file:
        np.savez(file, **arrays)
    _prune(path.parent)
    return True


def _prune(folder):
    """Remove what was not used for the longest time, until no more than `MOST` is kept. Files of other names are not touched."""
    kept = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process has removed it
            about = entry.stat(follow_symlinks=False)
            if OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                kept.append((about.st_mtime, about.st_size, entry.path))
            elif BEGUN.fullmatch(entry.name) and about.st_mtime < time.time() - STALE:
                os.unlink(entry.path)
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept)[:-1]:  # the newest stays
        if total <= MOST:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size


def _fits(array, shape):
    same = array.ndim == len(shape) and all(wanted in (None, n) for n, wanted in zip(array.shape, shape, strict=True))
    return same and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())

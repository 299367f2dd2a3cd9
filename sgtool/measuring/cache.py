"""What was measured of a dataset is kept, so that the next model is compared without looking at all real pictures again."""

import hashlib
import json

import numpy as np

from sgtool.errors import UserError
from sgtool.files import atomic_write, cache_folder, make_folder
from sgtool.latents.npz import read_arrays

KIND = "features"  # folder of the cache
VERSION = 1  # of what a file holds; another one is not looked at
LARGEST = 1 << 30  # bytes: larger arrays are computed again each time


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
    return arrays if all(_fits(arrays[name], shape) for name, shape in shapes.items()) else None


def keep(about, arrays):
    """Keep arrays, unless they are very large.

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
    return True


def _fits(array, shape):
    same = array.ndim == len(shape) and all(wanted in (None, n) for n, wanted in zip(array.shape, shape, strict=True))
    return same and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())

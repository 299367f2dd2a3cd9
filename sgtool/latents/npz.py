"""Arrays and a recipe out of an `.npz`, as data: nothing in it can run, nothing is allocated that the file does not hold."""

import io
import json
import lzma
import os
import zipfile
import zlib

import numpy as np

from sgtool.datasets.sources.arrays import NoArray, array_header
from sgtool.errors import UserError

MOST_WORDS = 1 << 28  # bytes of a recipe, which takes more memory when it is understood
DEEPEST = 200  # dicts and lists inside one another in a recipe: it is written again, inside others
DAMAGED = (
    OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def read_arrays(path, names, kind, most_bytes, remedy):
    """Read some arrays of a file.

    Args:
        path: an `.npz`.
        names: of the arrays that are wanted; those that are not there are left out.
        kind: what the file should hold, for messages: "latents".
        most_bytes: of one array.
        remedy: last sentence of messages.
    Returns:
        {name: array}.
    Raises:
        UserError: there is no such file, or it is none, or damaged, or an array is larger than `most_bytes`.
    """
    if not os.path.isfile(path):  # opening a pipe would wait
        raise UserError(f"{path} does not exist. Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            wanted = {name: members[f"{name}.npy"] for name in names if f"{name}.npy" in members}
            return {name: _array(archive, info, kind, most_bytes) for name, info in wanted.items()}
    except DAMAGED as error:
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read as a file of {kind} ({reason}). {remedy}") from error


def _array(archive, info, kind, most_bytes):
    if info.file_size > (min(MOST_WORDS, most_bytes) if info.filename == "recipe.npy" else most_bytes):
        raise NoArray(f"{info.filename} is {info.file_size / 1e9:.1f} GB, more than {kind} take")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    try:
        dtype, shape, by_columns, start = array_header(io.BytesIO(data), len(data))
    except NoArray as error:
        raise NoArray(f"{info.filename}: {error}") from error
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if by_columns else "C")


def parsed_recipe(path, array):
    """Return the recipe of a file, a dict.

    Args:
        path: the file, for messages.
        array: its array `recipe`.
    Raises:
        UserError: it is no recipe.
    """
    try:
        about = json.loads(str(array[()])) if array.dtype.kind == "U" and array.ndim == 0 else None
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or _is_deep(about):
        raise UserError(f"{path}: its recipe is damaged. Copy the file again, or write it anew.")
    return about


def _is_deep(about):
    """Tell whether more than `DEEPEST` dicts and lists lie inside one another."""
    level = [about]
    for _ in range(DEEPEST):
        inside = [thing.values() if isinstance(thing, dict) else thing for thing in level]
        level = [thing for things in inside for thing in things if isinstance(thing, dict | list)]
        if not level:
            return False
    return True

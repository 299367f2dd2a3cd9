"""Several NumPy arrays in a zip, `.npz`: one of pictures, perhaps one of labels."""

import math
import struct
import zipfile
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.arrays import array_source, find_array
from sgtool.datasets.sources.pictures import open_regular, stamp_of
from sgtool.datasets.sources.unpacked import Unpacked
from sgtool.datasets.sources.zipped import DAMAGED
from sgtool.errors import UserError

PICTURES = ("images", "x_train", "train_images", "x", "arr_0", "data", "pictures")  # arrays, in this order
LABELS = ("labels", "y", "label", "targets")
LARGEST_LABELS = 1 << 30  # bytes
LOCAL_HEAD = 30  # bytes of a zip's header before a file's name


def is_npz(path):
    """Tell whether a zip holds arrays only."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def npz_source(path):
    """The pictures of an .npz: the array `images` (or another of `PICTURES`, or the only one of pictures' shape), with `labels`.

    Raises:
        UserError: it is not clear which array holds the pictures, or it is damaged.
    """
    path = Path(path)
    stamp = stamp_of(path)
    try:
        with zipfile.ZipFile(path) as archive, open_regular(path) as file:
            found = {info.filename.removesuffix(".npy"): _member(path, archive, file, info) for info in archive.infolist()}
            name = _choose(path, found)
            labels = _labels_for(path, archive, name, found)
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read ({error}). Write it again with numpy.savez.") from error
    info, dtype, place = found[name]
    if info.compress_type == zipfile.ZIP_STORED:
        source = array_source(f"{path}: {name}", path, stamp, dtype, place, labels)
    else:
        source = _from_copy(path, name, info, labels)
        source.stamps = [(str(path), *stamp)]
    others = sorted(set(found) - {name, *labels})
    if others:
        source.warnings.append(f"The array {name} was used; {', '.join(others)} were left out.")
    if not labels:
        source.warnings.append(f"{path.name} holds no array of labels for {name}.")
    return source


def _from_copy(path, name, info, labels):
    """The pictures of a compressed array, which is unpacked to a temporary file."""
    with zipfile.ZipFile(path) as archive:
        copy = Unpacked(path, lambda path, mode: archive.open(info))
    if copy.damage:
        raise UserError(f"{path}: {name} is damaged ({copy.damage}). Download or write it again.")
    stamp = stamp_of(copy.path)
    with open_regular(copy.path) as file:
        dtype, place = find_array(f"{path}: {name}", file, stamp[0])
    source = array_source(f"{path}: {name}", copy.path, stamp, dtype, place, labels)
    source.keep = copy
    return source


def _member(path, archive, file, info):
    """Return the `ZipInfo`, dtype and place of one array; the place counts only if it is stored, not compressed."""
    if info.compress_type == zipfile.ZIP_STORED:
        file.seek(info.header_offset)
        head = file.read(LOCAL_HEAD)
        if len(head) < LOCAL_HEAD or head[:4] != b"PK\3\4":
            raise zipfile.BadZipFile("a file in it is not where its list says")
        start = info.header_offset + LOCAL_HEAD + sum(struct.unpack("<HH", head[26:30]))
        if start + info.file_size > path.stat().st_size:
            raise zipfile.BadZipFile("a file in it is cut off")
        file.seek(start)
        return (info, *find_array(f"{path}: {info.filename}", file, info.file_size))
    with archive.open(info) as packed:
        return (info, *find_array(f"{path}: {info.filename}", packed, info.file_size))


def _choose(path, found):
    shaped = [name for name, (_, dtype, place) in found.items() if len(place.shape) in (3, 4) and dtype == np.uint8]
    named = [name for name in PICTURES if name in (shaped or found)]
    if named or len(shaped) == 1:
        return (named or shaped)[0]
    raise UserError(f"{path} holds the arrays {', '.join(found)}. Call the one of pictures (uint8 [N, H, W, C]) images.")


def _labels_for(path, archive, pictures, found):
    """Return `{name: array}` of the labels that belong to the array `pictures`: none or one."""
    wanted = {"x_train": ["y_train"], "train_images": ["train_labels"]}.get(pictures, LABELS)
    name = next((name for name in wanted if name in found), None)
    if name is None:
        return {}
    info, dtype, place = found[name]
    if info.file_size > LARGEST_LABELS:
        raise UserError(f"{path}: {name} is larger than {LARGEST_LABELS >> 20} MB, too much for labels. Make it smaller.")
    with archive.open(info) as file:
        data = file.read(info.file_size)[-math.prod(place.shape) * dtype.itemsize :] if math.prod(place.shape) else b""
    return {name: np.frombuffer(data, dtype).reshape(place.shape, order="F" if place.by_columns else "C")}

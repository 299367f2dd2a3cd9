"""Files of `torch.save`: a stored zip since torch 1.6, a row of pickles before. Their tensors come out as `Stored`."""

import sys

from sgtool.snapshots.inert import Storage, Unlisted, shown
from sgtool.snapshots.legacy import StorageType, is_legacy, read_legacy
from sgtool.snapshots.spans import Refused, damaged
from sgtool.snapshots.stored_zip import members_of, part_named
from sgtool.snapshots.stream import Budget
from sgtool.snapshots.unpickler import unpickle
from sgtool.snapshots.vocabulary import VOCABULARY

PROGRAMS = sys.stdlib_module_names | {"torch", "numpy", "__builtin__", "copy_reg"}  # not where a model's classes are


def is_torch_file(start):
    """Tell from the first 32 bytes of a file whether it is a zip or the older layout."""
    return start[:4] == b"PK\x03\x04" or is_legacy(start)


def read(span, vocabulary=VOCABULARY):
    """Read a file of `torch.save`.

    Args:
        span: the whole file.
        vocabulary: what it may ask for.
    Returns:
        The value (see `unpickler.unpickle`), with `Stored` for tensors and parameters. Devices do not matter.
    Raises:
        Refused: it is damaged, is no such file, or asks for a name that is not in the vocabulary.
    """
    try:
        start = span.read(0, min(32, len(span)))
        return read_legacy(span, vocabulary, Budget(len(span))) if is_legacy(start) else _read_zip(span, vocabulary)
    except Unlisted as refused:
        if refused.name.partition(".")[0] in PROGRAMS:
            raise
        text = "an object of a program, and is not opened: it could run code. Where it was made, save the model's state_dict()."
        raise Unlisted(refused.name, text) from refused


def _read_zip(span, vocabulary):
    members = members_of(span)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise Refused("is a zip file but not one of torch.save. If a model is in it, unpack it and give that.")
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "constants.pkl" in members or any(name.startswith(folder + "code/") for name in members):
        raise Refused("is a TorchScript program (torch.jit.save), not a model alone, and is not opened: it could run code.")
    return unpickle(members[pickles[0]], vocabulary, storages_in(members, folder, folder + "data/"), Budget(len(span)))[0]


def storages_in(members, folder, parts):
    """Return the function that finds the storages of an archive of torch.

    Args:
        members: {name: Span}, see `stored_zip.members_of`.
        folder: of the archive, which says the order of its bytes: "archive/".
        parts: how the names of the storages begin: "archive/data/".
    Returns:
        Function of a persistent id, ("storage", type, key, device, number of elements) -> `Storage`.
    """
    order = members[folder + "byteorder"].read(0, 3) if folder + "byteorder" in members else b"lit"
    if order not in (b"lit", b"big"):
        raise damaged("the order of its bytes is neither little nor big")
    storages = {}

    def find(name):
        if type(name) is not tuple or len(name) != 5 or name[0] != "storage" or not isinstance(name[1], StorageType):
            raise damaged("it refers to something that is no storage")
        _, kind, key, _, count = name
        if type(key) is not str or type(count) is not int:
            raise damaged("it refers to something that is no storage")
        if (key, kind.dtype) not in storages:
            storages[key, kind.dtype] = Storage(part_named(members, parts + key), kind.dtype, order == b"big")
        storage = storages[key, kind.dtype]
        if storage.span.size // kind.dtype.itemsize != count:
            part = parts.removeprefix(folder) + shown(key)
            raise damaged(f"its part {part} has {storage.span.size} bytes and not {count} numbers")
        return storage

    return find

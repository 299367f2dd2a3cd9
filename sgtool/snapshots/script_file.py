"""TorchScript archives (`torch.jit.save`): the tensors in them, by name. The program beside them is not read, so it cannot run.

An archive is a zip with `data.pkl`, a pickle of the module whose classes are named after the program (`__torch__.Net`),
`constants.pkl`, where a frozen module keeps its tensors, the numbers in `data/` and `constants/`, and the program in `code/`.
"""

import re

from sgtool.snapshots.inert import Inert, Maker, children_of
from sgtool.snapshots.spans import Stored, damaged
from sgtool.snapshots.stored_zip import members_of
from sgtool.snapshots.stream import Budget
from sgtool.snapshots.torchfile import storages_in
from sgtool.snapshots.unpickler import unpickle
from sgtool.snapshots.vocabulary import PLAIN

PARTS = ("data.pkl", "constants.pkl", "data", "constants", "byteorder")  # what is read; code and extra files are not
CLASS = re.compile(r"__torch__(?:\.[A-Za-z_][A-Za-z0-9_]*)* [A-Za-z_][A-Za-z0-9_]*", re.ASCII)
LONGEST_CLASS = 500  # characters
CONSTANTS = "constants"  # how the names of tensors without a name begin


def recognise(span):
    """Whether a file is a TorchScript archive: a zip with one constants.pkl, in the folder of all its parts.

    Raises:
        Refused: it is a damaged zip.
    """
    return span.read(0, min(4, len(span))) == b"PK\x03\x04" and len(_folders(span)) == 1


def read(span):
    """Return the tensors of a TorchScript archive.

    Args:
        span: the whole file, which was recognised.
    Returns:
        {name: Stored}: "layers.conv1.weight", attribute by attribute as in the module; "constants.0", in the order of the
        file, for those of a frozen module, which have no name.
    Raises:
        Refused: it is damaged, or asks for a name that no such archive has.
    """
    (folder,) = _folders(span)
    members = members_of(span, lambda name: name.startswith(folder) and name[len(folder) :].split("/")[0] in PARTS)
    budget, found = Budget(len(span)), {}
    for pickle, parts in (("data.pkl", "data/"), ("constants.pkl", "constants/")):
        if folder + pickle not in members:
            raise damaged(f"its part {pickle} is missing")
        find = storages_in(members, folder, folder + parts)
        value, _ = unpickle(members[folder + pickle], _VOCABULARY, find, budget)
        found |= tensors_in(value, "" if pickle == "data.pkl" else CONSTANTS)
    return found


def tensors_in(value, name=""):
    """Return {name: Stored} of the tensors in nested dicts, lists and objects. One that is met twice has its first name.

    Args:
        value: of a pickle, see `unpickler.unpickle`: of limited depth, so that a recursion is safe.
        name: of the whole.
    """
    found, seen = {}, set()

    def walk(value, name):
        if isinstance(value, Stored):
            found.setdefault(name, value)
        elif id(value) not in seen and children_of(value):
            seen.add(id(value))
            keys = value.state if isinstance(value, Inert) else value if isinstance(value, dict) else range(len(value))
            for key, child in zip(keys, children_of(value), strict=True):
                walk(child, f"{name}.{key}" if name else str(key))

    walk(value, name)
    return found


def _folders(span):
    """Return the folders "archive/" that have a constants.pkl; of nothing else the checksum is compared here."""
    return [name.removesuffix("constants.pkl") for name in members_of(span, re.compile(r"[^/]+/constants\.pkl").fullmatch)]


def _of_module(name):
    def make(machine, *arguments):
        return Inert("object", name)

    return Maker(name, make, 0, 0)


def _typed_list(machine, values):
    """torch.jit._pickle.build_intlist and the like."""
    if type(values) is not list:
        raise damaged("it makes a list of something that is none")
    return values


def _tagged(machine, value, kind):
    """torch.jit._pickle.restore_type_tag: the value; its type in words does not matter."""
    if type(kind) is not str:
        raise damaged("it gives a type that is no text")
    return value


class _Vocabulary(dict):
    """What the pickles may ask for: tensors, lists, and any class of the program, which comes out as an `Inert`."""

    def get(self, name, default=None):
        """Return what stands for "module name"."""
        found = super().get(name, default)
        if found is None and len(name) <= LONGEST_CLASS and CLASS.fullmatch(name):
            return _of_module(name.replace(" ", "."))
        return found


_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
_VOCABULARY = _Vocabulary(PLAIN)
_VOCABULARY |= {f"torch.jit._pickle {name}": Maker(f"torch.jit._pickle.{name}", _typed_list, 1, 1) for name in _LISTS}
_VOCABULARY["torch.jit._pickle restore_type_tag"] = Maker("torch.jit._pickle.restore_type_tag", _tagged, 2, 2)

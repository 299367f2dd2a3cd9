"""What a pickle's names stand for, and what its objects come out as: values that can be looked at and do nothing."""

from dataclasses import dataclass, field

from sgtool.snapshots.spans import Refused, damaged

MOST_LEVELS = 100  # of containers in containers; networks of networks need about 30
MOST_VALUES = 3_000_000  # when what is shared is counted as often as it is met


@dataclass(eq=False, repr=False)
class Inert:
    """An object of a program, without the program: what it was called and its attributes."""

    kind: str  # "persistent": torch_utils.persistence; "tf": dnnlib.tflib.network.Network; "object": anything else
    name: str  # of its class, such as "training.networks.Generator"
    state: dict = field(default_factory=dict)  # its attributes; "args" = what it was made with, if that was anything

    def __repr__(self):
        return f"<{self.kind} {shown(self.name)}>"

    def built(self, machine, state):
        """Take over attributes (the pickle's BUILD): a dict, or a pair of dicts or None. Returns itself."""
        parts = [part for part in (state if type(state) is tuple and len(state) == 2 else (state,)) if part is not None]
        for part in parts:
            check_attributes(machine, self.name, part)
        if len(parts) == 1 and not self.state:
            self.state = parts[0]  # not copied: the same dict a thousand times costs nothing
        else:
            machine.budget.spend(len(self.state))
            self.state = {key: value for part in (self.state, *parts) for key, value in part.items()}
        return self


@dataclass(frozen=True, eq=False)
class Storage:
    """Bytes that tensors are views of (torch.FloatStorage and the like)."""

    span: object = field(repr=False)
    dtype: object  # torch.dtype
    swapped: bool = False


class Unfinished:
    """What a pickle announces first and describes later. It is replaced when it is; `places` are its numbers in the memo."""

    def __init__(self):
        self.places = []


class Unlisted(Refused):
    """A file asks for a name that is not in the vocabulary."""

    def __init__(self, name, text="which is not part of a model, and is not opened: it could run code."):
        super().__init__(f"asks for {shown(name)}, {text}")
        self.name = name


@dataclass(eq=False)
class Maker:
    """What a name in the vocabulary stands for: a function of ours, or a bare name that cannot be called."""

    name: str  # "collections.OrderedDict"
    make: object = None  # make(machine, *arguments) -> value; None = a bare name
    least: int = 0  # number of arguments
    most: int = 0

    def call(self, machine, arguments):
        """Make the value. Raises `Refused` if it is a bare name or the number of arguments is wrong."""
        if self.make is None:
            raise Refused(f"asks to call {self.name}, which is not part of a model, and is not opened: it could run code.")
        if not self.least <= len(arguments) <= self.most:
            raise damaged(f"it gives {len(arguments)} values to {self.name}")
        return self.make(machine, *arguments)


def check_attributes(machine, name, state):
    """Raise `Refused` unless `state` is a dict that an object can have as attributes."""
    if type(state) is not dict:
        raise damaged(f"the attributes of {shown(name)} are no dict")
    machine.budget.spend(len(state) >> 2)
    for key in state:
        if type(key) is str and key.startswith("__") and key.endswith("__"):
            what = f"{shown(key)} of {shown(name)}"
            raise Refused(f"asks to set {what}, which no model needs, and is not opened: it could run code.")


def shown(text, most=80):
    """Return a text from a file as it may stand in a message: short, and without control characters."""
    text = text if len(text) <= most else text[:most] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]


def children_of(value):
    """Return the values directly in a container or an `Inert`; nothing for anything else. Keys are not among them."""
    kind = type(value)
    if kind is dict:
        return value.values()
    if kind is list or kind is tuple:
        return value
    return value.state.values() if kind is Inert else ()


def check_finite(value):
    """Raise `Refused` unless a value can be walked by a plain recursive function, in reasonable time.

    That is: it does not hold itself, is at most `MOST_LEVELS` deep, and has at most `MOST_VALUES` values when those that are
    shared count as often as they are met (ten lists of ten references each to the next are few objects but endless work).
    """
    known = {}  # id -> (levels, values) of containers that are done, None while they are open
    open_ones = []  # [(container, iterator of its children, [levels, values])], from the outermost
    if _counted(value, known) is None:
        _enter(value, known, open_ones)
    while open_ones:
        container, children, total = open_ones[-1]
        for child in children:
            counted = _counted(child, known)
            if counted is None:
                _enter(child, known, open_ones)
                break
            total[0] = max(total[0], counted[0] + 1)
            total[1] += counted[1]
        else:
            open_ones.pop()
            known[id(container)] = total
            if total[0] > MOST_LEVELS or total[1] > MOST_VALUES:
                raise damaged("it is nested without end")
            if open_ones:
                outer = open_ones[-1][2]
                outer[0], outer[1] = max(outer[0], total[0] + 1), outer[1] + total[1]


def _counted(value, known):
    """Return (levels, values) of what is not a container or done; None for a container that was not met before."""
    if type(value) not in (dict, list, tuple, Inert):
        if isinstance(value, Unfinished):
            raise damaged("it announces an array and does not describe it")
        return (0, 1)
    counted = known.get(id(value), 0)
    if counted is None:
        raise damaged("a part of it contains itself")
    return counted or None


def _enter(value, known, open_ones):
    known[id(value)] = None
    if len(open_ones) > MOST_LEVELS:
        raise damaged("it is nested without end")
    open_ones.append((value, iter(children_of(value)), [1, 1]))


def kind_of(value):
    """Return what a value is, for messages: "an int"."""
    name = shown(value.name) if isinstance(value, (Maker, Inert)) else type(value).__name__
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"

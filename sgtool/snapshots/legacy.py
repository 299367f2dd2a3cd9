"""What `torch.save` wrote before torch 1.6, and still writes for a storage inside of a pickle.

Five pickles (a magic number, the version 1001, facts on the machine, the object, a list of the keys of its storages), then
for each key the number of its elements (8 bytes) and the elements; both little-endian, whatever machine wrote them.
"""

from io import BytesIO

from sgtool.snapshots.inert import Storage, shown
from sgtool.snapshots.spans import Refused, Span, damaged
from sgtool.snapshots.stream import Stream
from sgtool.snapshots.unpickler import Machine

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
START = b"\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."  # near its start, behind the protocol and the length of a frame
TEXT_START = b"L%dL\n." % MAGIC  # in protocols 0 and 1


class StorageType:
    """The class of a storage (torch.FloatStorage): the type of its elements."""

    def __init__(self, name, dtype):
        self.name, self.dtype = name, dtype


def is_legacy(start):
    """Tell from the first 32 bytes of a file."""
    return (start[:1] == b"\x80" and START in start[:32]) or start.startswith(TEXT_START)


def read_legacy(span, vocabulary, budget, nested=False):
    """Read such a stream, from the start of a span to its end.

    Returns:
        The object; its tensors are `Stored` and its storages `Storage`, in the span.
    Raises:
        Refused: it asks for a name that is not in the vocabulary, or is damaged.
    """
    stream, storages = Stream(span), _Storages(span)

    def pickle(persistent=None):
        return Machine(stream, vocabulary, budget, persistent, nested).run()

    if pickle() != MAGIC:
        raise damaged("it does not begin like a file of torch.save")
    if pickle() != VERSION:
        raise Refused("is of a version of torch.save that this version of sgtool does not know. Save it again with torch >= 1.6.")
    pickle()  # facts on the machine, which do not matter
    value = pickle(storages.find)
    storages.place(pickle(), stream)
    return value


class _Storages:
    """Storages that a pickle refers to by key, in a span: first described, and given their places when those are known."""

    def __init__(self, span):
        self.file, self.whole = span.file, span
        self.known = {}  # key -> Storage
        self.views = {}  # (key, offset, size) -> (Storage, Storage that it is a part of, offset in bytes)

    def find(self, name):
        """Return the storage of a persistent id: ("storage", type, key, device, number of elements, view or None)."""
        if type(name) is tuple and len(name) == 4 and name[0] == "module":
            return name[1]  # a class, with its source text
        if type(name) is not tuple or len(name) not in (5, 6) or name[0] != "storage":
            raise damaged("it refers to something that is no storage")
        kind, key, count = name[1], name[2], name[4]
        if not isinstance(kind, StorageType) or type(key) is not str or type(count) is not int or not 0 <= count < 2**48:
            raise damaged("it refers to something that is no storage")
        root = self.known.get(key)
        if root is None:
            root = self.known[key] = Storage(Span(self.file, 0, count * kind.dtype.itemsize), kind.dtype)
        if root.dtype != kind.dtype or root.span.size != count * kind.dtype.itemsize:
            raise damaged(f"it describes its storage {shown(key)} in two ways")
        view = name[5] if len(name) == 6 else None
        return root if view is None else self._view(root, view)

    def _view(self, root, view):
        """Return the storage of (key of the view, offset, number of elements) in another."""
        if type(view) is not tuple or len(view) != 3 or not all(type(n) is int and n >= 0 for n in view[1:]):
            raise damaged("it refers to something that is no storage")
        _, offset, count = view
        size = root.dtype.itemsize
        if offset + count > root.span.size // size:
            raise damaged("a storage of it reaches beyond the one that it is a part of")
        if (root, offset, count) not in self.views:
            self.views[root, offset, count] = Storage(Span(self.file, 0, count * size), root.dtype)
        return self.views[root, offset, count]

    def place(self, keys, stream):
        """Find the places of all storages. The stream stands behind the list of their keys."""
        if (
            type(keys) is not list
            or not all(type(key) is str for key in keys)
            or len(keys) != len(self.known)
            or set(keys) != self.known.keys()
        ):
            raise damaged("its list of storages is not that of its tensors")
        for key in keys:
            span = self.known[key].span
            count = stream.number("<q", 8)
            if count * self.known[key].dtype.itemsize != span.size:
                raise damaged(f"its storage {shown(key)} has {count} elements and not as many as its tensors need")
            span.start = stream.skip(span.size).start
        for (root, offset, _), view in self.views.items():
            view.span.start = root.span.start + offset * root.dtype.itemsize


def storage_in(machine, data):
    """Return the storage in a stream of `torch.save` that is inside of a pickle (torch.storage._load_from_bytes).

    Args:
        machine: the interpreter of that pickle.
        data: `Span`, or bytes if it is short.
    """
    if machine.nested:
        raise Refused("nests torch.load in torch.load, which no model does, and is not opened.")
    if not isinstance(data, (Span, bytes)):
        raise damaged("a storage of it is not bytes")
    place = (id(data.file), data.start) if isinstance(data, Span) else data  # the file lives as long as the storage
    if place not in machine.storages:
        span = data if isinstance(data, Span) else Span(BytesIO(data), 0, len(data))
        start = span.read(0, min(32, len(span)))
        storage = read_legacy(span, machine.vocabulary, machine.budget, nested=True) if is_legacy(start) else None
        if not isinstance(storage, Storage):
            raise Refused("has something other than numbers where a storage should be, and is not opened.")
        machine.storages[place] = storage
    return machine.storages[place]


def storage_types(types):
    """Return vocabulary entries for the classes of storages: {"torch FloatStorage": StorageType} and those of torch.cuda.

    Args:
        types: {"Float": torch.float32, ...}.
    """
    modules = ("torch", "torch.cuda")
    return {f"{m} {name}Storage": StorageType(f"{m}.{name}Storage", dtype) for m in modules for name, dtype in types.items()}

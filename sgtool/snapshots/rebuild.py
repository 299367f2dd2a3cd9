"""How tensors, arrays and numbers of numpy are put together from what pickles say about them. Functions of the vocabulary."""

import codecs
import struct
from io import BytesIO

import torch

from sgtool.snapshots.inert import Inert, Storage, Unfinished, shown
from sgtool.snapshots.literals import LONG
from sgtool.snapshots.spans import MOST_AXES, Refused, Span, Stored, damaged

TYPES = {  # letter and size of numpy's types: torch's, and struct's letter
    "b1": (torch.bool, "?"),
    "i1": (torch.int8, "b"),
    "i2": (torch.int16, "h"),
    "i4": (torch.int32, "i"),
    "i8": (torch.int64, "q"),
    "u1": (torch.uint8, "B"),
    "u2": (torch.uint16, "H"),
    "u4": (torch.uint32, "I"),
    "u8": (torch.uint64, "Q"),
    "f2": (torch.float16, "e"),
    "f4": (torch.float32, "f"),
    "f8": (torch.float64, "d"),
    "c8": (torch.complex64, "ff"),
    "c16": (torch.complex128, "dd"),
}


# --- torch ------------------------------------------------------------------------------------------------------------------


def tensor(machine, storage, offset, shape, strides, *rest):
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2. The rest (gradients, hooks) does not matter."""
    return typed_tensor(machine, storage, offset, shape, strides, None, None, None)


def typed_tensor(machine, storage, offset, shape, strides, gradient, hooks, dtype, *rest):
    """torch._utils._rebuild_tensor_v3: of another type than the storage."""
    dtype = dtype or getattr(storage, "dtype", None)
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise damaged("it describes a tensor without its numbers")
    shape, strides = _sizes(shape), _sizes(strides)
    return machine.budget.spend_tensor(Stored(storage.span, dtype, shape, strides, offset, storage.swapped))


def parameter(machine, data, *rest):
    """torch._utils._rebuild_parameter and _rebuild_parameter_with_state: its tensor."""
    if not isinstance(data, Stored):
        raise damaged("it describes a parameter that is no tensor")
    return data


def device_tensor(machine, data, *rest):
    """torch._utils._rebuild_device_tensor_from_numpy: of a device whose memory is saved as an array."""
    return parameter(machine, data)


def tensor_with_attributes(machine, maker, kind, arguments, state):
    """torch._tensor._rebuild_from_type_v2: a tensor and attributes, which do not matter."""
    rebuild = getattr(maker, "make", None)
    if rebuild not in (tensor, typed_tensor, parameter) or getattr(kind, "name", "") not in ("torch.Tensor", PARAMETER):
        raise Refused("holds a tensor of a special kind (_rebuild_from_type_v2), which sgtool does not read.")
    return maker.call(machine, arguments if type(arguments) is tuple else ())


PARAMETER = "torch.nn.parameter.Parameter"


def size(machine, sizes=()):
    """torch.Size: a tuple."""
    return _sizes(sizes)


def _sizes(values):
    if type(values) not in (tuple, list):
        raise damaged("a shape of it is no list of sizes")
    if len(values) > MOST_AXES:
        raise damaged(f"it describes a tensor with {len(values)} axes")
    return tuple(values)


# --- numpy ------------------------------------------------------------------------------------------------------------------


class Type(Inert):
    """A numpy.dtype."""

    def __init__(self, code):
        super().__init__("object", "numpy.dtype", {"code": code, "swapped": False})

    def built(self, machine, state):
        """Take over the order of bytes and make sure that nothing is hidden below."""
        if type(state) is not tuple or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or state[2:5] != (None,) * 3:
            raise Refused("holds an array of records, which no model does, and is not opened.")
        self.state["swapped"] = state[1] == ">"
        return self

    @property
    def torch(self):
        """The same type in torch. Raises `Refused` if there is none: text, dates, Python objects."""
        if self.state["code"] not in TYPES:
            what = "Python objects" if self.state["code"][:1] == "O" else f"type {shown(self.state['code'])}"
            raise Refused(f"holds an array of {what}, not of numbers, and is not opened.")
        return TYPES[self.state["code"]][0]


def dtype(machine, code, *rest):
    """numpy.dtype("f4", False, True)."""
    if type(code) is not str or len(code) > 20:
        raise damaged("a type of numpy in it has no name")
    swapped = code[:1] == ">"
    found = Type(code.lstrip("<>=|"))
    found.state["swapped"] = swapped
    return found


class Array(Unfinished):
    """A numpy array, of which nothing is known yet."""

    def built(self, machine, state):
        """Return the `Stored` for (version, shape, type, Fortran order, bytes); the oldest had no version."""
        if type(state) is not tuple or len(state) not in (4, 5):
            raise damaged("it describes an array in an unknown way")
        shape, kind, fortran, data = state[-4:]
        return stored_array(shape, kind, "F" if fortran is True or fortran == 1 else "C", data)


def array(machine, kind, shape, letter):
    """numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b"): an array that is described next."""
    if getattr(kind, "name", "") != "numpy.ndarray":
        raise Refused("holds an array of a special kind, which no model does, and is not opened.")
    return Array()


def array_of_buffer(machine, data, kind, shape, order):
    """numpy.core.numeric._frombuffer: an array, in protocol 5."""
    return machine.budget.spend_tensor(stored_array(shape, kind, order, data))


def stored_array(shape, kind, order, data):
    """Return the `Stored` of an array: shape, `Type`, "C" or "F", and its bytes, of exactly that number."""
    shape, data = _sizes(shape), _bytes(data)
    if not isinstance(kind, Type) or order not in ("C", "F"):
        raise damaged("it describes an array without a type")
    strides = None
    if order == "F":
        steps = [1]
        for n in shape[:-1]:
            steps.append(steps[-1] * n if type(n) is int and 0 < n < 2**48 else 1)
        strides = tuple(steps[: len(shape)])
    span = data if isinstance(data, Span) else Span(BytesIO(data), 0, len(data))
    stored = Stored(span, kind.torch, shape, strides, 0, kind.state["swapped"])
    if stored.numel * stored.dtype.itemsize != span.size:
        raise damaged(f"an array of it needs {stored.numel * stored.dtype.itemsize} bytes and has {span.size}")
    return stored


def number(machine, kind, data):
    """numpy.core.multiarray.scalar: a Python number, text or bytes."""
    data = _bytes(data)
    if not isinstance(kind, Type) or isinstance(data, Span) or len(data) > LONG:
        raise damaged("it describes a number without a type")
    code, order = kind.state["code"], ">" if kind.state["swapped"] else "<"
    if code[:1] == "S" and code[1:] == str(len(data)):
        return data.rstrip(b"\0")
    if code[:1] == "U" and code[1:] == str(len(data) // 4) and len(data) % 4 == 0:
        return machine.text(data, codecs.utf_32_be_decode if order == ">" else codecs.utf_32_le_decode).rstrip("\0")
    if code not in TYPES:
        kind.torch  # noqa: B018 - raises, with the reason
    form = order + TYPES[code][1]
    if struct.calcsize(form) != len(data):
        raise damaged(f"a number of it has {len(data)} bytes and not {struct.calcsize(form)}")
    values = struct.unpack(form, data)
    return values[0] if len(values) == 1 else complex(*values)


def _bytes(data):
    """Return the bytes of what stands for bytes in a pickle: bytes, bytearray, `Span`, or Python 2's text."""
    if type(data) is str:
        try:
            return data.encode("latin-1")
        except UnicodeEncodeError as error:
            raise damaged("it has text where bytes should be") from error
    if isinstance(data, (bytes, bytearray, Span)):
        return data
    if isinstance(data, list):
        raise Refused("holds an array of Python objects, not of numbers, and is not opened.")
    raise damaged("it has something else where bytes should be")

"""Files whose opcodes do what no honest file does."""

import struct

import models
from archives import legacy, nested_storage, tensor, torch_zip
from corpus import MARKER, add
from opcodes import (
    APPEND,
    BINPERSID,
    BUILD,
    DUP,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_SET,
    EMPTY_TUPLE,
    MARK,
    NEWOBJ,
    NEWOBJ_EX,
    NONE,
    OBJ,
    POP,
    REDUCE,
    SET_ITEMS,
    SETITEM,
    STACK_GLOBAL,
    TRUE,
    again,
    built,
    call,
    items,
    keep,
    listed,
    long,
    mapping,
    named,
    number,
    real,
    text,
    whole,
)

SYSTEM, ORDERED, EASY = named("os.system"), named("collections.OrderedDict"), named("dnnlib.util.EasyDict")
COMMAND = text(f"mkdir {MARKER}")


def inside(value):
    """A pickle of NVIDIA's with the value among its training options, so that nothing else is wrong with the file."""
    return models.nvidia(training_set_kwargs=mapping(path=value))


# Every opcode that makes a call, with a name that could run.
add("INST of os.system", whole(MARK + COMMAND + b"ios\nsystem\n", 0), "INST")
add("INST of an allowed name", whole(MARK + b"icollections\nOrderedDict\n", 0))
add("INST without a mark", whole(b"ios\nsystem\n", 0))
add("OBJ of os.system", whole(MARK + SYSTEM + COMMAND + OBJ), "os.system")
add("OBJ of an allowed name", whole(MARK + ORDERED + OBJ))
add("OBJ of a text", whole(MARK + text("os.system") + COMMAND + OBJ))
add("NEWOBJ of os.system", whole(SYSTEM + items(COMMAND) + NEWOBJ), "os.system")
add("NEWOBJ of a text", inside(text("os.system") + items(COMMAND) + NEWOBJ))
add("NEWOBJ of a dict", inside(EMPTY_DICT + EMPTY_TUPLE + NEWOBJ))
add("NEWOBJ of an object", inside(EASY + EMPTY_TUPLE + NEWOBJ + EMPTY_TUPLE + NEWOBJ))
add("NEWOBJ with arguments in a list", inside(EASY + EMPTY_LIST + NEWOBJ))
add("NEWOBJ_EX of os.system", whole(SYSTEM + items(COMMAND) + EMPTY_DICT + NEWOBJ_EX), "os.system")
add("NEWOBJ_EX with keywords", inside(EASY + EMPTY_TUPLE + mapping(cls=SYSTEM) + NEWOBJ_EX), "os.system")
add("NEWOBJ_EX with keywords that are none", inside(EASY + EMPTY_TUPLE + NONE + NEWOBJ_EX))
add("EXT1", whole(b"\x82\x01"), "EXT1")
add("EXT2", whole(b"\x83\x01\x00"), "EXT2")
add("EXT4", whole(b"\x84\x01\x00\x00\x00"), "EXT4")
add("EXT1 of zero", whole(b"\x82\x00"))
add("EXT4 of a negative code", whole(b"\x84\xff\xff\xff\xff"))
add("PERSID of os.system", whole(b"Pos.system\n", 0))
add("PERSID in a torch file", torch_zip(b"Pos.system\n"))
add("BINPERSID in a plain pickle", whole(COMMAND + BINPERSID))
for name, place in {
    "a text": text("os.system"),
    "nothing": NONE,
    "an empty tuple": EMPTY_TUPLE,
    "a list": listed(text("storage"), named("torch.FloatStorage"), text("0"), text("cpu"), number(4)),
    "a module": items(text("module"), named("collections.OrderedDict"), text("net.py"), text("import os")),
    "another kind": items(text("package"), named("torch.FloatStorage"), text("0"), text("cpu"), number(4)),
    "a storage type in words": items(text("storage"), text("os.system"), text("0"), text("cpu"), number(4)),
    "a storage type that is a function": items(
        text("storage"), named("torch._utils._rebuild_tensor_v2"), text("0"), text("cpu"), number(4)
    ),
    "a key that climbs": items(text("storage"), named("torch.FloatStorage"), text("../../0"), text("cpu"), number(4)),
    "a key that is none": items(text("storage"), named("torch.FloatStorage"), NONE, text("cpu"), number(4)),
    "a key that is not there": items(text("storage"), named("torch.FloatStorage"), text("1"), text("cpu"), number(4)),
    "a key with a command": items(text("storage"), named("torch.FloatStorage"), text("\x1b[2J"), text("cpu"), number(4)),
    "a negative size": items(text("storage"), named("torch.FloatStorage"), text("0"), text("cpu"), number(-1)),
    "a size in words": items(text("storage"), named("torch.FloatStorage"), text("0"), text("cpu"), text("4")),
    "a fractional size": items(text("storage"), named("torch.FloatStorage"), text("0"), text("cpu"), real(4.0)),
    "too many parts": items(text("storage"), named("torch.FloatStorage"), text("0"), text("cpu"), number(4), NONE, NONE),
    "too few parts": items(text("storage"), named("torch.FloatStorage")),
}.items():
    add(f"a storage in a torch file by {name}", torch_zip(place + BINPERSID, {"0": bytes(16)}))
    add(f"a storage in an old torch file by {name}", legacy(place + BINPERSID, ["0"], struct.pack("<q", 4) + bytes(16)))

# A call of what is no maker of anything, and a state for what has none.
VALUES = {
    "nothing": NONE,
    "a truth": TRUE,
    "a number": number(1),
    "a text": text("os.system"),
    "a tuple": items(SYSTEM[:0] + text("os"), text("system")),
    "a list": EMPTY_LIST,
    "a dict": EMPTY_DICT,
    "a set": EMPTY_SET,
    "a tensor": tensor(nested_storage()),
    "a parameter": call("torch._utils._rebuild_parameter", tensor(nested_storage()), TRUE, call("collections.OrderedDict")),
    "an OrderedDict": call("collections.OrderedDict"),
    "a persistent object": models.persistent("Generator", EMPTY_DICT),
    "an EasyDict": EASY + EMPTY_TUPLE + NEWOBJ,
    "a storage": nested_storage(),
    "an array": models.array([1], bytes(4)),
    "a numpy type": models.dtype(),
    "a name": ORDERED,
}
for name, value in VALUES.items():
    if name != "a name":
        add(f"REDUCE of {name}", inside(value + items(COMMAND) + REDUCE))
    if name not in ("an array", "a numpy type", "a persistent object"):
        add(
            f"BUILD of {name} with a class",
            inside(built(value, mapping(__class__=text("os.system")))),
            harmless=name in ("an EasyDict", "an OrderedDict", "a dict"),
        )
for name in ("a text", "a number", "a dict", "nothing"):
    add(f"REDUCE with arguments in {name}", inside(ORDERED + VALUES[name] + REDUCE))
for key in ("__setstate__", "__class__", "__dict__", "__reduce_ex__", "__getattr__", "__slots__", "__init__", "__del__", "mro"):
    state = mapping((text(key), text("os.system")))
    add(f"BUILD of a model's dict with {key}", inside(built(EASY + EMPTY_TUPLE + NEWOBJ, state)), harmless=True)
    add(f"a persistent state with {key}", models.nvidia(G_ema=models.persistent("Generator", state)))
    add(f"a TensorFlow state with {key}", whole(built(named("dnnlib.tflib.network.Network") + EMPTY_TUPLE + NEWOBJ, state)))
    add(f"an optimizer's state with {key}", whole(built(named("torch.optim.adam.Adam") + EMPTY_TUPLE + NEWOBJ, state)))
    add(f"a name with {key}", inside(built(named("torch.FloatStorage"), state)))
add("BUILD with slots", inside(built(ORDERED + EMPTY_TUPLE + REDUCE, items(NONE, mapping(__class__=SYSTEM)))), "os.system")
add("BUILD with slots of a storage", inside(built(nested_storage(), items(NONE, mapping(a=NONE)))))
add("BUILD with a list", inside(built(EASY + EMPTY_TUPLE + NEWOBJ, listed(text("a")))))
add("BUILD with nothing", inside(built(EASY + EMPTY_TUPLE + NEWOBJ, NONE)))
add("BUILD of a tensor with hooks", inside(built(VALUES["a parameter"], mapping(_backward_hooks=SYSTEM))), "os.system")
add("a key that is a number in a state", models.nvidia(G_ema=models.persistent("Generator", mapping((number(1), NONE)))))

# Items into what holds none.
for name, value in VALUES.items():
    if name not in ("a dict", "an OrderedDict", "an EasyDict"):
        add(f"SETITEM into {name}", inside(value + text("__class__") + NONE + SETITEM))
        add(f"SETITEMS into {name}", inside(value + MARK + text("__class__") + NONE + SET_ITEMS))
    if name != "a list":
        add(f"APPEND to {name}", inside(value + NONE + APPEND))
        add(f"APPENDS to {name}", inside(value + MARK + NONE + b"e"))
    if name != "a set":
        add(f"ADDITEMS to {name}", inside(value + MARK + NONE + b"\x90"))

# Keys that cannot be keys.
for name, key in {
    "list": EMPTY_LIST,
    "dict": EMPTY_DICT,
    "set": EMPTY_SET,
    "tensor": VALUES["a tensor"],
    "tuple with a list": items(EMPTY_LIST),
    "tuple of tuples with a dict": items(items(items(EMPTY_DICT))),
    "parameter": VALUES["a parameter"],
    "persistent object": VALUES["a persistent object"],
    "name": ORDERED,
    "number that is none": real(float("nan")),
    "number of a thousand bytes": long(1 << 8000),
}.items():
    old = name in ("tensor", "parameter")  # optimizers of old had them
    add(f"a key that is a {name}", inside(mapping((key, NONE))), harmless=old)
    add(f"a key in a set that is a {name}", inside(EMPTY_SET + MARK + key + b"\x90"), harmless=old)
    add(f"a key of OrderedDict that is a {name}", inside(call("collections.OrderedDict", listed(items(key, NONE)))), harmless=old)

# A stack and a memory that are not what the opcodes need.
for name, opcodes in {
    "nothing": b"",
    "POP": POP,
    "POP_MARK": b"1",
    "DUP": DUP,
    "REDUCE": REDUCE,
    "REDUCE of one": NONE + REDUCE,
    "BUILD": BUILD,
    "BUILD of one": NONE + BUILD,
    "TUPLE": b"t",
    "TUPLE1": b"\x85",
    "TUPLE3 of two": NONE + NONE + b"\x87",
    "LIST": b"l",
    "DICT": b"d",
    "DICT of three": MARK + NONE + NONE + NONE + b"d",
    "SETITEM of one": NONE + SETITEM,
    "SETITEMS of three": EMPTY_DICT + MARK + NONE + NONE + NONE + SET_ITEMS,
    "SETITEMS on a mark": MARK + MARK + SET_ITEMS,
    "APPEND on a mark": MARK + NONE + APPEND,
    "FROZENSET": b"\x91",
    "STACK_GLOBAL": STACK_GLOBAL,
    "STACK_GLOBAL of numbers": number(1) + number(2) + STACK_GLOBAL,
    "STACK_GLOBAL of bytes": b"C\x02osC\x06system" + STACK_GLOBAL,
    "NEWOBJ of one": NONE + NEWOBJ,
    "OBJ on an empty mark": MARK + OBJ,
    "BINPERSID": BINPERSID,
    "PUT": b"p0\n",
    "PUT of a negative number": NONE + b"p-1\n",
    "PUT of words": NONE + b"pone\n",
    "PUT of a huge number": NONE + b"p" + b"9" * 5000 + b"\n",
    "LONG_BINPUT of the largest number": NONE + b"r\xff\xff\xff\xff",
    "MEMOIZE": b"\x94",
    "MEMOIZE on a mark": MARK + b"\x94",
    "GET of nothing": b"g0\n",
    "GET of a negative number": NONE + b"p1\ng-1\n",
    "BINGET of nothing": b"h\x05",
    "LONG_BINGET of the largest number": b"j\xff\xff\xff\xff",
    "a mark at the end": NONE + MARK,
    "two values at the end": NONE + NONE,
    "an opcode that is none": b"\xff",
    "an opcode that is zero": b"\x00",
    "an opcode of the future": b"\x99",
    "PROTO in the middle": NONE + b"\x80\x04",
    "FRAME beyond the end": b"\x95" + b"\xff" * 8 + NONE,
    "FRAME of 2**63": b"\x95" + struct.pack("<Q", 1 << 63) + NONE,
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": NONE + b"\x98",
    "BYTEARRAY8 beyond the end": b"\x96" + struct.pack("<Q", 1 << 62),
    "BINBYTES beyond the end": b"B" + b"\xff\xff\xff\xff",
    "BINBYTES8 beyond the end": b"\x8e" + struct.pack("<Q", 1 << 62),
    "BINUNICODE beyond the end": b"X" + b"\xff\xff\xff\xff",
    "BINUNICODE8 beyond the end": b"\x8d" + struct.pack("<Q", (1 << 64) - 1),
    "BINSTRING of a negative length": b"T" + struct.pack("<i", -1),
    "BINSTRING beyond the end": b"T" + struct.pack("<i", 2**31 - 1),
    "LONG4 of a negative length": b"\x8b" + struct.pack("<i", -4),
    "LONG4 beyond the end": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "BINUNICODE that is no text": b"X\x02\x00\x00\x00\xff\xfe",
    "STRING without quotes": b"Sabc\n",
    "STRING of half a quote": b"S'\n",
    "STRING with a wrong escape": b"S'\\x'\n",
    "UNICODE with a wrong escape": b"V\\uD8\n",
    "INT of words": b"Ione\n",
    "INT of nothing": b"I\n",
    "LONG of nothing": b"LL\n",
    "FLOAT of words": b"Fone\n",
    "a line without an end": b"I12",
}.items():
    head = b"\x80\x04"
    add(f"opcodes: {name}", head + opcodes + (b"" if name == "a line without an end" else b"."))
add("an INT of 100,000 digits", inside(b"I" + b"9" * 100_000 + b"\n"), harmless=False)
add("a LONG of a million digits", inside(b"L" + b"9" * 1_000_000 + b"L\n"))
add("a LONG4 of 5 MB", lambda: inside(long(1 << 40_000_000)))
add("protocol 6", b"\x80\x06N.", "protocol 6")
add("protocol 255", b"\x80\xffN.", "protocol 255")
add("a pickle without an end", b"\x80\x04N")
add("a pickle and more behind it", models.nvidia() + b"cos\nsystem\n(S'id'\ntR.", harmless=True)
add("values that contain themselves as keys", whole(keep(EMPTY_LIST, 0) + POP + mapping((items(again(0)), again(0)))))

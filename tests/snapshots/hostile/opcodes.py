"""An assembler for pickles: each function returns the bytes of a value, whatever that value would be worth.

Python's own pickle writes what Python objects are; hostile files are written opcode by opcode.
"""

import struct

STOP, MARK, REDUCE, BUILD, POP, NEWOBJ, NEWOBJ_EX, OBJ = b".", b"(", b"R", b"b", b"0", b"\x81", b"\x92", b"o"
NONE, TRUE, EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, EMPTY_SET = b"N", b"\x88", b")", b"]", b"}", b"\x8f"
APPEND, SETITEM, BINPERSID, STACK_GLOBAL, DUP, SET_ITEMS = b"a", b"s", b"Q", b"\x93", b"2", b"u"


def text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else long(value)


def long(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(data) < 256:
        return b"\x8a" + bytes([len(data)]) + data
    return b"\x8b" + struct.pack("<I", len(data)) + data


def real(value):
    return b"G" + struct.pack(">d", value)


def raw(data):
    return b"B" + struct.pack("<I", len(data)) + data


def items(*values):
    """A tuple."""
    return MARK + b"".join(values) + b"t"


def listed(*values):
    return MARK + b"".join(values) + b"l"


def mapping(*pairs, **named):
    """A dict: pairs of (key, value) in opcodes, then names with values in opcodes."""
    pairs = [*pairs, *((text(key), value) for key, value in named.items())]
    return EMPTY_DICT + MARK + b"".join(key + value for key, value in pairs) + SET_ITEMS


def named(path):
    """A GLOBAL: "os.system" is the name `system` of the module `os`."""
    module, _, name = path.rpartition(".")
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def named_on_stack(module, name):
    """A STACK_GLOBAL, whose name may have dots."""
    return text(module) + text(name) + STACK_GLOBAL


def called(function, *arguments):
    return function + items(*arguments) + REDUCE


def call(path, *arguments):
    return called(named(path), *arguments)


def built(value, state):
    return value + state + BUILD


def keep(value, slot):
    """A value that is remembered under a number."""
    return value + b"r" + struct.pack("<I", slot)


def again(slot):
    """What is remembered under a number."""
    return b"j" + struct.pack("<I", slot)


def whole(value, protocol=4):
    """A complete pickle. Protocol 0 has no head."""
    return (b"\x80" + bytes([protocol]) if protocol else b"") + value + STOP

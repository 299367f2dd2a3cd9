"""Changes to model files that a fuzzer makes: of bytes, of opcodes, of archives, of JSON headers.

A change is a function of the random numbers alone, so an input is known by its seed and its number.
"""

import functools
import io
import json
import pickletools
import struct
import zipfile

from archives import Member, zipped
from opcodes import call, named, named_on_stack, number, text

BYTES = (0, 1, 2, 0x28, 0x2E, 0x52, 0x62, 0x63, 0x7F, 0x80, 0x81, 0x93, 0xFE, 0xFF)
NUMBERS = (0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64)
WORDS = ("", "a", "os", "os.system", "weight", "state", "_modules", "__class__", "\x1b[2J", "\ud800", "../0", "a" * 5000)
NAMES = (
    "os.system",
    "builtins.eval",
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.storage._load_from_bytes",
    "torch.FloatStorage",
    "torch.Size",
    "torch.float16",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "dnnlib.util.EasyDict",
    "dnnlib.tflib.network.Network",
    "torch_utils.persistence._reconstruct_persistent_obj",
    "_codecs.encode",
    "copyreg._reconstructor",
    "builtins.set",
    "builtins.bytearray",
    "argparse.Namespace",
)
PLAIN_OPCODES = [bytes([code]) for code in b"(.012NRQ)]}absteludlo" + bytes(range(0x81, 0x99))]


def mutate(kind, data, random, others):
    """Change a file.

    Args:
        kind: "pickle" (also torch's old layout: pickles and storages), "zip" (torch's) or "safetensors".
        data: its bytes.
        random: `random.Random`.
        others: files of the same kind, pieces of which may come in.
    Returns:
        Other bytes, or, now and then, the same.
    """
    if random.random() < 0.25:
        return _of_bytes(data, random, others)
    return {"pickle": _of_pickle, "zip": _of_zip, "safetensors": _of_safetensors}[kind](data, random, others)


# Bytes, wherever they are.
def _of_bytes(data, random, others):
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at, length = random.randrange(len(data) + 1), random.choice((1, 2, 4, 8, 100, 5000))
        if random.random() < 0.3:
            at = min(at, random.choice((16, 200, 2000)))
        piece = data[at : at + length]
        match random.randrange(9):
            case 0 if piece:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + 1] = bytes([random.choice(BYTES)])
            case 2:
                data[at : at + 4] = struct.pack("<I", random.choice(NUMBERS) & 0xFFFFFFFF)
            case 3:
                data[at : at + 8] = struct.pack("<Q", random.choice(NUMBERS) & (2**64 - 1))
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = piece * random.choice((1, 2, 50))
            case 6:
                data[at:at] = random.randbytes(min(length, 100))
            case 7 if random.random() < 0.3:
                del data[at:]
            case 8:
                other = random.choice(others)
                cut = random.randrange(len(other))
                data[at : at + length] = other[cut : cut + length]
        if not data:
            break
    return bytes(data)


# Opcodes.
def _of_pickle(data, random, others):
    pieces = list(split(data))
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        _change(pieces, random, others)
    return b"".join(pieces)


def _change(pieces, random, others):
    """Change a list of opcodes in place."""
    at = random.randrange(len(pieces))
    length = random.choice((1, 1, 1, 2, 5, 20, 200))
    match random.randrange(12):
        case 0:
            del pieces[at : at + length]
        case 1:
            pieces[at:at] = pieces[at : at + length] * random.choice((1, 1, 2, 100))
        case 2:
            other = random.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3:
            pieces[at:at] = [random.choice(PLAIN_OPCODES)] * random.choice((1, 1, 1, 3, 1000))
        case 4:
            pieces[at : at + random.randrange(2)] = [_value(random)]
        case 5:
            donor = split(random.choice(others))
            start = random.randrange(len(donor))
            pieces[at : at + random.choice((0, length))] = donor[start : start + length]
        case _:
            for _ in range(200):  # an opcode with an argument
                if len(pieces[at]) > 1:
                    break
                at = random.randrange(len(pieces))
            pieces[at] = _argued(pieces[at], random, others)
    if not pieces:
        pieces.append(b".")


def _value(random):
    """Some opcodes that make a value."""
    name = random.choice(NAMES)
    choices = (
        lambda: named(name),
        lambda: call(name, *([number(random.choice(NUMBERS))] * random.randrange(4))),
        lambda: named_on_stack(*name.rsplit(".", 1)),
        lambda: number(random.choice(NUMBERS)),
        lambda: text(random.choice(WORDS)),
        lambda: b"h" + bytes([random.randrange(256)]),
        lambda: b"j" + struct.pack("<I", random.randrange(5000)),
        lambda: b"G" + random.randbytes(8),
        lambda: random.choice((b"]q\x01h\x01a", b"}q\x01U\x01ah\x01s", b"(h\x01h\x02t", b")\x81", b"}b", b"\x85R")),
    )
    return random.choice(choices)()


def _argued(piece, random, others):
    """An opcode with another argument."""
    code, argument = piece[:1], piece[1:]
    match code:
        case b"c":
            return named(random.choice(NAMES))
        case b"X" | b"\x8c" | b"U":
            return text(random.choice(WORDS)) if random.random() < 0.7 else code + _of_bytes(argument, random, others)
        case b"K" | b"M" | b"J" | b"\x8a" | b"\x8b":
            return number(random.choice(NUMBERS))
        case b"h" | b"q":
            return code + bytes([random.randrange(256)])
        case b"j" | b"r":
            return code + struct.pack("<I", random.choice((random.randrange(5000), 2**32 - 1)))
        case b"B" | b"C":
            return _nested(code, argument, random, others)
    return code + _of_bytes(argument, random, others)


def _nested(code, argument, random, others):
    """A run of bytes; where it is a torch file of its own, that is changed."""
    data = argument[4 if code == b"B" else 1 :]
    if not data:
        return piece_of(random.randbytes(8))
    if data[:1] != b"\x80":
        return piece_of(_of_bytes(data, random, others))
    return piece_of(_of_pickle(data, random, others))


def piece_of(data):
    return b"B" + struct.pack("<I", len(data)) + data


@functools.lru_cache(maxsize=4000)
def split(data):
    """The opcodes of a file, one pickle after another, and what is behind them or cannot be read as opcodes."""
    pieces, at = [], 0
    while data[at : at + 1] == b"\x80":
        held, last = io.BytesIO(data[at:]), 0
        try:
            for _, _, place in pickletools.genops(held):
                pieces.append(data[at + last : at + place])
                last = place
            end = held.tell()
        except ValueError:
            break
        pieces.append(data[at + last : at + end])
        at += end
    rest = [data[i : i + 4096] for i in range(at, len(data), 4096)]
    return tuple(piece for piece in (*pieces, *rest) if piece) or (b".",)


# Archives.
@functools.lru_cache
def _members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return tuple((member.filename, archive.read(member)) for member in archive.infolist())


def _of_zip(data, random, others):
    members = [Member(name, held) for name, held in _members(data)]
    pickled = next(member for member in members if member.name.endswith("data.pkl"))
    if random.random() < 0.7:
        donors = [next(held for name, held in _members(other) if name.endswith("data.pkl")) for other in others]
        change = _of_pickle if random.random() < 0.8 else _of_bytes
        pickled.data = change(pickled.data, random, donors)
        return zipped(members)
    for _ in range(random.choice((1, 1, 2, 4))):
        _change_member(members, random)
    lies = {}
    if random.random() < 0.2:
        lies[random.choice(("count", "directory_size", "directory_offset"))] = random.choice(NUMBERS) & 0xFFFF
    return zipped(members, **lies)


def _change_member(members, random):
    at = random.randrange(len(members))
    member = members[at]
    match random.randrange(10):
        case 0:
            del members[at]
        case 1:
            members.insert(random.randrange(len(members) + 1), Member(member.name, member.data))
        case 2:
            members[at], members[0] = members[0], members[at]
        case 3:
            member.name = random.choice(("", "../x", "/x", "archive/data.pkl", "archive/data/0", "archive/byteorder", "a\x1b[2J"))
        case 4:
            member.data = member.data[: random.randrange(len(member.data) + 1)]
        case 5:
            member.data = member.data * random.choice((0, 2, 3))
        case 6:
            member.size = random.choice(NUMBERS) & 0xFFFFFFFF
        case 7:
            member.offset = random.choice(NUMBERS) & 0xFFFFFFFF
        case 8:
            member.flags, member.method = random.choice(((1, 0), (8, 0), (0, 8), (0, 99), (0x800, 0)))
        case 9:
            member.extra = random.choice((b"\1\0\x10\0" + b"\xff" * 16, b"\1\0\xff\xff", random.randbytes(20)))
    if not members:
        members.append(Member("x"))


# Headers of safetensors.
def _of_safetensors(data, random, others):
    (size,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    inner = json.loads(header.get("__metadata__", {}).get("sgtool", "null"))
    for _ in range(random.choice((1, 1, 2, 5))):
        if inner is not None and random.random() < 0.4:
            inner = _of_json(inner, random)
            header.get("__metadata__", {})["sgtool"] = json.dumps(inner)
        else:
            header = _of_json(header, random)
        if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
            break
    told = json.dumps(header, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if random.random() < 0.2:
        told = _of_bytes(told, random, others)
    return struct.pack("<Q", len(told)) + told + rest


def _of_json(value, random):
    """Change one place of a JSON tree."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        match random.randrange(8):
            case 0:
                del value[key]
            case 1:
                value[random.choice(WORDS)] = value[key]
            case 2:
                value[key] = value[random.choice(list(value))]
            case _:
                value[key] = _of_json(value[key], random)
        return value
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        value[at] = _of_json(value[at], random)
        return value
    return random.choice((None, True, 1.5, float("nan"), float("inf"), [], {}, [[]], *NUMBERS, *WORDS, [value], {"a": value}))

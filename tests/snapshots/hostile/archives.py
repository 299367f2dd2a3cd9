"""Files around pickles, written byte by byte so that they can lie: zip archives, torch's two layouts, safetensors."""

import json
import struct
import zlib
from dataclasses import dataclass

from opcodes import BINPERSID, call, items, listed, mapping, named, number, raw, text, whole

MAGIC = 0x1950A86A20F9469CFC6C


@dataclass
class Member:
    """A member of a zip archive. What is not given is what is true."""

    name: str
    data: bytes = b""
    crc: int | None = None
    method: int = 0  # 0 stored, 8 deflated
    packed: bytes | None = None  # the bytes in the file
    size: int | None = None  # what the directory says of its size, packed and not
    offset: int | None = None  # what the directory says of its place
    flags: int = 0x800  # names are UTF-8, as torch writes them; 1 encrypted
    extra: bytes = b""
    mode: int = 0  # of Unix; 0o120777 is a symbolic link
    local_name: str | None = None  # the name in front of the data


def zipped(members, count=None, directory_size=None, directory_offset=None, comment=b"", tail=b""):
    """A zip archive of members; the keywords are lies of the end record."""
    body, directory = bytearray(), bytearray()
    for member in members:
        packed = member.data if member.packed is None else member.packed
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        size, stored = (len(member.data), len(packed)) if member.size is None else (member.size, member.size)
        name, local = member.name.encode(), (member.local_name or member.name).encode()
        fields = (member.flags, member.method, 0, 0x21, crc)
        place = len(body) if member.offset is None else member.offset
        body += struct.pack("<4s5HL2L2H", b"PK\3\4", 45, *fields, len(packed), len(member.data), len(local), 0) + local + packed
        directory += struct.pack("<4s6HL2L", b"PK\1\2", 0x031E, 45, *fields, stored, size)
        directory += struct.pack("<5H2L", len(name), len(member.extra), 0, 0, 0, member.mode << 16, place) + name + member.extra
    end = (
        len(members) if count is None else count,
        len(directory) if directory_size is None else directory_size,
        len(body) if directory_offset is None else directory_offset,
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, end[0], *end, len(comment))
    return bytes(body + directory + end + comment + tail)


def torch_members(pickled, storages=None, folder="archive", **data):
    """The members of a `torch.save` file: the pickle, and {key: bytes} of storages."""
    members = [Member(f"{folder}/data.pkl", pickled, **data), Member(f"{folder}/byteorder", b"little")]
    members += [Member(f"{folder}/data/{key}", held) for key, held in (storages or {}).items()]
    return [*members, Member(f"{folder}/version", b"3\n")]


def torch_zip(value, storages=None):
    """A `torch.save` file of a value in opcodes."""
    return zipped(torch_members(whole(value, 2), storages))


def legacy(value, keys=(), data=b"", magic=MAGIC, protocol=1001, system=None):
    """The layout of torch.save before version 1.6: five pickles, then the storages."""
    system = mapping(protocol_version=number(1001), little_endian=b"\x88", type_sizes=mapping()) if system is None else system
    parts = (number(magic), number(protocol), system, value, listed(*(text(key) for key in keys)) if keys else b"]")
    return b"".join(whole(part, 2) for part in parts) + data


def storage(kind="torch.FloatStorage", key="0", size=4, view=None):
    """A reference to a storage, as zip files have it; old ones have a `view` more."""
    place = (text("storage"), named(kind), text(key), text("cpu"), number(size))
    return items(*place, *((view,) if view else ())) + BINPERSID


def tensor(place, offset=0, shape=(4,), strides=(1,)):
    """A tensor of a storage."""
    shape, strides = (items(*map(number, numbers)) for numbers in (shape, strides))
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", place, number(offset), shape, strides, b"\x89", hooks)


def nested(stream):
    """A storage in a pickle of NVIDIA's: bytes that are a torch.save file of their own."""
    return call("torch.storage._load_from_bytes", raw(stream))


def nested_storage(kind="torch.FloatStorage", key="7", numbers=4, data=None):
    """An honest storage of that kind, unless told otherwise."""
    place = storage(kind, key, numbers, b"N")
    return nested(legacy(place, [key], struct.pack("<q", numbers) + (bytes(4 * numbers) if data is None else data)))


def safetensors(header, data=b"", size=None):
    """A safetensors file; the header as a dict or as bytes."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data

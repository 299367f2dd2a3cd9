"""Archives that lie: zip files, torch files, safetensors; and files of other kinds."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import models
from archives import Member, legacy, safetensors, storage, tensor, torch_members, torch_zip, zipped
from corpus import MARKER, add
from opcodes import call, items, mapping, number, text, whole

MODEL = whole(mapping(g_ema=mapping((text("input.input"), tensor(storage()))), latent_avg=tensor(storage())), 2)
HELD = {"0": bytes(16)}


def with_members(*more, **lies):
    return zipped([*torch_members(MODEL, HELD), *more], **lies)


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def changed(index, **changes):
    """A torch file whose member of that index is other than it says."""
    members = torch_members(MODEL, HELD)
    for key, value in changes.items():
        setattr(members[index], key, value)
    return zipped(members)


def bomb(size=200_000_000):
    """A pickle of zeros that is packed a thousand times smaller."""
    return zipped(torch_members(MODEL, HELD, packed=deflated(bytes(size)), method=8, crc=zlib.crc32(bytes(size))))


add("a zip bomb", bomb)
add(
    "a zip bomb that says how large it is",
    lambda: zipped([Member("archive/data.pkl", bytes(200_000_000), method=8, packed=deflated(bytes(200_000_000)))]),
)
add("a packed pickle", zipped(torch_members(MODEL, HELD, packed=deflated(MODEL), method=8)))
add(
    "a storage that is a zip bomb",
    lambda: with_members(Member("archive/data/1", bytes(100_000_000), method=8, packed=deflated(bytes(100_000_000)))),
)
add("an unknown way of packing", changed(0, method=99))
add("a wrong checksum of the pickle", changed(0, crc=1))
add("a wrong checksum of a storage", changed(2, crc=1))
add("an encrypted pickle", changed(0, flags=1))
add("an encrypted storage", changed(2, flags=1))
add("a member that climbs", with_members(Member("../../it-ran", b"text")))
add("a member that climbs within", with_members(Member("archive/../../it-ran", b"text")))
add("a member with an absolute name", with_members(Member("/tmp/it-ran", b"text")))
add("a member with a drive", with_members(Member("C:\\it-ran", b"text")))
add("a member with backslashes", with_members(Member("archive\\..\\..\\it-ran", b"text")))
add("a member that is a symbolic link", with_members(Member("archive/link", b"/etc/passwd", mode=0o120777)))
add("a storage that is a symbolic link", changed(2, data=b"/etc/passwd\0\0\0\0\0", mode=0o120777))
add("a member of no name", with_members(Member("", b"text")))
add("a member with a zero in its name", with_members(Member("archive/data/\0", b"text")))
add("a member with a terminal's command for a name", with_members(Member("../\x1b[2J", b"text")), harmless=False)
add("two pickles of one name", with_members(Member("archive/data.pkl", whole(call("os.mkdir", text(MARKER)), 2))))
add("two pickles in two folders", with_members(Member("other/data.pkl", whole(call("os.mkdir", text(MARKER)), 2))))
add(
    "a pickle for another reader in front",
    zipped([Member("a/data.pkl", whole(call("os.mkdir", text(MARKER)))), *torch_members(MODEL, HELD)]),
)
add("two storages of one name", with_members(Member("archive/data/0", bytes(16))))
add("no pickle", zipped([Member("archive/version", b"3\n"), Member("archive/data/0", bytes(16))]))
add("members that overlap", changed(2, offset=0))
add(
    "members that are all one",
    zipped([Member(f"archive/data/{i}", bytes(1000), offset=0) for i in range(1000)] + torch_members(MODEL, HELD)),
)
add("a member beyond the end", changed(2, offset=2**31))
add("a member that begins at the end", changed(2, offset=0xFFFFFFF0))
add("a member larger than the file", changed(2, size=2**31))
add("a pickle larger than the file", changed(0, size=2**31))
add("a member of size zero that has bytes", changed(2, size=0))
add("a pickle with another name in front of it", changed(0, local_name="archive/DATA.PKL"))
add("sizes in zip64 that lie", changed(2, size=0xFFFFFFFF, extra=struct.pack("<HHQQ", 1, 16, 2**63, 2**63)))
add("sizes in zip64 that are cut", changed(2, size=0xFFFFFFFF, extra=struct.pack("<HHI", 1, 4, 1)))
add("an extra field that lies about its length", changed(2, extra=struct.pack("<HH", 1, 60000)))
add("a directory of a million members", with_members(count=0xFFFF, directory_size=0xFFFFFFFF))
add("a directory beyond the end", with_members(directory_offset=2**31))
add("a directory that is longer than the file", with_members(directory_size=2**31))
add("a directory with fewer members than it says", with_members(count=60000))
add("bytes behind the archive", with_members(tail=b"os.system" * 100))
add(
    "names in the letters of DOS", changed(1, flags=0, name="archive/\udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
)
add("two archives in one file", torch_zip(call("os.mkdir", text(MARKER))) + with_members())
add("a pickle in front of an archive", whole(call("os.mkdir", text(MARKER))) + with_members(), "os.mkdir")
add("a directory that is moved", b"x" * 100 + with_members())
add(
    "100,000 members",
    lambda: zipped([*torch_members(MODEL, HELD), *(Member(f"archive/data/x{i}") for i in range(60_000))]),
    harmless=False,
)
add(
    "a byte order that is none",
    zipped([*torch_members(MODEL, HELD)[:1], Member("archive/byteorder", b"middle"), *torch_members(MODEL, HELD)[2:]]),
)
add(
    "a TorchScript program",
    with_members(Member("archive/code/__torch__.py", b"import os"), Member("archive/constants.pkl", MODEL)),
    "TorchScript",
)
add("a zip of pictures", zipped([Member("00000/img00000000.png", b"picture")]))
add("an empty zip", zipped([]))
add("a jar of Java", zipped([Member("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0")]))


def tar(name, kind=tarfile.REGTYPE):
    """A tar file with one member of that name."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(b"text"))
    return held.getvalue()


add("a tar file", tar("sys_info"))
add("a tar file that climbs", tar("../../it-ran"))
add("a tar file with a link", tar("storages", tarfile.SYMTYPE))
add("a packed model", gzip.compress(models.nvidia(), mtime=0))
add("a gzip bomb", lambda: gzip.compress(bytes(200_000_000), mtime=0))

# safetensors
ONE = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def described(**changes):
    return safetensors({"synthesis.b4.const": ONE | changes}, bytes(16))


for name, made in {
    "a header of 2**63 bytes": safetensors({"a": ONE}, bytes(16), size=2**63),
    "a header longer than the file": safetensors({"a": ONE}, bytes(16), size=10**6),
    "an empty header": safetensors(b"", bytes(16)),
    "a header that is a list": safetensors(b"[1]", bytes(16)),
    "a header that is no JSON": safetensors(b"{os.system('id')}", bytes(16)),
    "a header that is no text": safetensors(b'{"\xff\xfe": 1}', bytes(16)),
    "a header of 900,000 lists": safetensors(b'{"a": ' + b"[" * 900_000 + b"]" * 900_000 + b"}", bytes(16)),
    "a header of 100,000 dicts": safetensors(b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, bytes(16)),
    "a name twice": safetensors(f'{{"a": {json.dumps(ONE)}, "a": {json.dumps(ONE)}}}'.encode(), bytes(16)),
    "tensors that overlap": safetensors({"a": ONE, "b": ONE}, bytes(16)),
    "a hole between tensors": safetensors({"a": ONE, "b": ONE | {"data_offsets": [32, 48]}}, bytes(48)),
    "a tensor beyond the end": described(data_offsets=[0, 10**12], shape=[25 * 10**10]),
    "offsets the wrong way": described(data_offsets=[16, 0]),
    "negative offsets": described(data_offsets=[-16, 0]),
    "fractional offsets": described(data_offsets=[0.0, 16.0]),
    "one offset": described(data_offsets=[16]),
    "offsets that are no numbers": safetensors(
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [NaN, Infinity]}}', bytes(16)
    ),
    "an offset of 5,000 digits": safetensors(
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, ' + b"9" * 5000 + b"]}}", bytes(16)
    ),
    "a negative shape": described(shape=[-4]),
    "a shape that overflows": described(shape=[2**62, 4]),
    "a shape with a zero that overflows": described(shape=[0, 2**62, 2**62], data_offsets=[0, 0]),
    "a shape of truths": described(shape=[True] * 4),
    "a shape in words": described(shape="4"),
    "a thousand dimensions": described(shape=[1] * 1000),
    "an unknown type": described(dtype="os.system"),
    "a type that is a list": described(dtype=["F32"]),
    "a type that is larger": described(dtype="F64"),
    "a tensor that is a number": safetensors({"a": 1}, bytes(16)),
    "metadata that is a list": safetensors({"__metadata__": [1], "a": ONE}, bytes(16)),
    "metadata of numbers": safetensors({"__metadata__": {"sgtool": 1}, "a": ONE}, bytes(16)),
    "metadata of sgtool's that is no JSON": safetensors({"__metadata__": {"sgtool": "os.system"}, "a": ONE}, bytes(16)),
    "metadata of sgtool's that is a list": safetensors({"__metadata__": {"sgtool": "[1, 2]"}, "a": ONE}, bytes(16)),
    "metadata of sgtool's, deep": safetensors({"__metadata__": {"sgtool": "[" * 100_000}, "a": ONE}, bytes(16)),
    "a name that a terminal obeys": safetensors({"\x1b[2J": ONE}, bytes(16)),
    "bytes behind the tensors": safetensors({"synthesis.b4.const": ONE}, bytes(1000)),
    "100,000 empty tensors": safetensors(
        {f"a{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
    ),
}.items():
    add(f"safetensors: {name}", made)

# What people have instead of a model.
for name, data in {
    "an empty file": b"",
    "one byte": b"\x80",
    "the head of a pickle": b"\x80\x04",
    "the head of an archive": b"PK\3\4",
    "the end of an archive": b"PK\5\6" + bytes(18),
    "zeros": bytes(1_000_000),
    "a web page": b"<!DOCTYPE html>\n<html><head><title>Quota exceeded</title></head></html>",
    "a web page with spaces in front": b"\n\n  <html lang=en><body>Sign in</body></html>",
    "a pointer of git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 363000000\n",
    "a JSON file": b'{"error": "not found"}',
    "a text": b"just some words, not a model\n",
    "a Python program": b"import os\nos.mkdir('it-ran')\n",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "an ONNX file": b"\x08\x08\x12\x07pytorch\x1a\x062.13.0" + bytes(100),
    "a numpy file of objects": b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    + b" " * 60
    + b"\n"
    + whole(call("os.mkdir", text(MARKER))),
    "a program of Linux": b"\x7fELF" + bytes(100),
    "a script": b"#!/bin/sh\nmkdir it-ran\n",
}.items():
    add(name, data)
add("a numpy archive", lambda: npz())


def npz():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("arr_0.npy", b"\x93NUMPY")
    return held.getvalue()


# Files that are cut, everywhere.
WHOLE = {
    "NVIDIA's": models.nvidia,
    "TensorFlow's": models.tensorflow,
    "torch's": with_members,
    "torch's old": lambda: legacy(mapping(g_ema=tensor(storage(view=b"N"))), ["0"], struct.pack("<q", 4) + bytes(16)),
    "safetensors": described,
}
for name, build in WHOLE.items():
    for share in (0.05, 0.3, 0.5, 0.8, 0.97):
        add(f"{name}, {share:.0%} of it", lambda build=build, share=share: cut(build(), share))
    add(f"{name}, all but a byte", lambda build=build: build()[:-1])


def cut(data, share):
    return data[: max(1, int(len(data) * share))]


add("items of a torch file that are a tuple", torch_zip(items(number(1))))

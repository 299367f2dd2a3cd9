"""Zip files whose members are stored, not packed, as `torch.save` writes them: where each member lies, and that it is whole.

Nothing is extracted. The layout: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3 (zip64).
"""

import struct
import zlib
from dataclasses import dataclass

from sgtool.snapshots.inert import shown
from sgtool.snapshots.spans import Refused, damaged

LOCAL, CENTRAL, END, END64, LOCATOR64 = (b"PK" + bytes(kind) for kind in ((3, 4), (1, 2), (5, 6), (6, 6), (6, 7)))
MOST_MEMBERS = 20_000  # a file has one for each storage, a few hundred
BLOCK = 1 << 20
CUT_SHORT = "is damaged: cut short or not completely copied ({}). Copy or download it again."


@dataclass
class Member:
    """What the list of contents, at the end of the file, says about a member."""

    name: str
    raw_name: bytes
    flags: int
    packed: int  # method of compression, 0 = none
    checksum: int
    size: int  # as it is in the file
    full_size: int  # unpacked
    start: int  # of its own header


def members_of(span, wanted=lambda name: True):
    """Return {name: Span} of the members of a zip file, whose checksums have been compared.

    Args:
        span: the whole file.
        wanted: function of a member's name; what is not wanted may be packed, and nothing of it is read.
    Raises:
        Refused: it is damaged, packed or encrypted, or has names that no file of torch has.
    """
    members, end = _listed(span)
    members = [member for member in members if wanted(member.name)]
    spans = {}
    for member in members:
        if member.flags & 1 or member.packed or member.size != member.full_size:
            raise Refused("was packed again by another program. Give the file as it was written.")
        parts = member.name.split("/")
        if not member.name or ".." in parts or "" in parts[:-1] or "\\" in member.name or "\0" in member.name:
            raise damaged(f"the name of its part {shown(member.name)} leads out of it")
        if member.name in spans:
            raise damaged(f"it has two parts {shown(member.name)}")
        spans[member.name] = _content(span, member, end)
    _check_apart(spans)
    for member in members:
        if _checksum(spans[member.name]) != member.checksum:
            raise damaged(f"the checksum of its part {shown(member.name)} is wrong")
    return spans


def _listed(span):
    """Return the members according to the list of contents, and where that list begins."""
    tail = span.read(max(0, len(span) - 65_557))
    at = tail.rfind(END)
    if at < 0 or at + 22 > len(tail):
        raise Refused(CUT_SHORT.format("it has no list of contents"))
    count, size, start, comment = struct.unpack_from("<HIIH", tail, at + 10)
    end = len(span) - len(tail) + at
    if at + 22 + comment != len(tail):
        raise Refused(CUT_SHORT.format("something follows its list of contents"))
    if at >= 20 and tail[at - 20 : at - 16] == LOCATOR64:
        (end,) = struct.unpack_from("<Q", tail, at - 12)
        record = span.part(end, 56).read()
        if record[:4] != END64:
            raise Refused(CUT_SHORT.format("its list of contents is not where it should be"))
        count, size, start = struct.unpack_from("<QQQ", record, 32)
    if count > MOST_MEMBERS:
        raise damaged(f"it lists {count} parts")
    if start + size != end:
        raise Refused(CUT_SHORT.format("its list of contents is not where it should be"))
    return _entries(span.part(start, size).read(), count), start


def _entries(data, count):
    members, at = [], 0
    for _ in range(count):
        if data[at : at + 4] != CENTRAL or at + 46 > len(data):
            raise Refused(CUT_SHORT.format("its list of contents is damaged"))
        flags, packed = struct.unpack_from("<HH", data, at + 8)
        checksum, size, full_size, names, extras, comments = struct.unpack_from("<IIIHHH", data, at + 16)
        (start,) = struct.unpack_from("<I", data, at + 42)
        name = data[at + 46 : at + 46 + names]
        extra = data[at + 46 + names : at + 46 + names + extras]
        full_size, size, start = _long_numbers(extra, [full_size, size, start])
        text = name.decode("utf-8" if flags & 0x800 else "latin-1", "replace")
        members.append(Member(text, name, flags, packed, checksum, size, full_size, start))
        at += 46 + names + extras + comments
    if at != len(data):
        raise Refused(CUT_SHORT.format("its list of contents is damaged"))
    return members


def _long_numbers(extra, numbers):
    """Return numbers, those that are 2^32 - 1 replaced by the 64-bit ones of the zip64 field."""
    at, longs = 0, b""
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            longs = extra[at + 4 : at + 4 + size]
        at += 4 + size
    wanted = [n == 2**32 - 1 for n in numbers]
    if sum(wanted) * 8 > len(longs):
        raise damaged("its list of contents is damaged")
    values = iter(struct.unpack_from(f"<{sum(wanted)}Q", longs))
    return [next(values) if long else n for n, long in zip(numbers, wanted, strict=True)]


def _content(span, member, end):
    """Return the bytes of a member, behind its own header."""
    header = span.part(member.start, 30).read() if member.start + 30 <= end else b""
    if header[:4] != LOCAL:
        raise damaged(f"its part {shown(member.name)} is not where it should be")
    names, extras = struct.unpack_from("<HH", header, 26)
    start = member.start + 30 + names + extras
    if start + member.size > end or span.part(member.start + 30, names).read() != member.raw_name:
        raise damaged(f"its part {shown(member.name)} is not where it should be")
    return span.part(start, member.size)


def _check_apart(spans):
    """Raise `Refused` if two members share bytes: a small file could seem to hold any amount."""
    last = 0
    for name, span in sorted(spans.items(), key=lambda item: (item[1].start, item[1].size)):
        if span.start < last:
            raise damaged(f"its part {shown(name)} overlaps with another")
        last = span.start + span.size


def _checksum(span):
    checksum = 0
    for at in range(0, len(span), BLOCK):
        checksum = zlib.crc32(span.read(at, min(BLOCK, len(span) - at)), checksum)
    return checksum


def part_named(spans, name):
    """Return the `Span` of a member; raise `Refused` if there is none."""
    if name not in spans:
        raise damaged(f"its part {shown(name)} is missing")
    return spans[name]

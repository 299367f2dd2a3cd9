"""Zip files whose parts are stored: each part is found and compared with its checksum, and lies are told."""

import io
import struct
import zipfile
import zlib

import pytest

from sgtool.snapshots.spans import Refused, Span
from sgtool.snapshots.stored_zip import members_of

PARTS = {"a/data.pkl": b"N.", "a/data/0": bytes(range(100)), "a/größe": b"x", "a/empty": b""}


def written(parts=PARTS, method=zipfile.ZIP_STORED, comment=b"", **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", **options) as part:
                part.write(content)
        archive.comment = comment
    return file.getvalue()


def members(data):
    return {name: span.read() for name, span in members_of(Span(io.BytesIO(data), 0, len(data))).items()}


def refusal(data):
    with pytest.raises(Refused) as caught:
        members(data)
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"force_zip64": True}])
@pytest.mark.parametrize("comment", [b"", b"a comment", b"x" * 65_535])
def test_parts_are_found_as_pythons_zipfile_wrote_them(options, comment):
    assert members(written(comment=comment, **options)) == PARTS


def test_parts_written_to_a_stream_are_found():
    class Stream(io.RawIOBase):
        """A file that cannot seek: zipfile writes the sizes behind each part."""

        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in PARTS.items():
            archive.writestr(name, content)
    assert members(bytes(stream.data)) == PARTS


def long_zip(size=None, start=0, locator=None):
    """A zip64 file with one part, with 64-bit numbers wherever there can be some, made by hand."""
    content, name = b"content", b"a"
    size = len(content) if size is None else size
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(content), 2**32 - 1, 2**32 - 1, 1, 20)
    local += name + struct.pack("<2H2Q", 1, 16, len(content), len(content)) + content
    central = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, zlib.crc32(content), *[2**32 - 1] * 2, 1, 28, 0, 0, 0, 0, 2**32 - 1
    )
    central += name + struct.pack("<2H3Q", 1, 24, size, size, start)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), len(local))
    place = len(local) + len(central) if locator is None else locator
    end64 += struct.pack("<4sIQI", b"PK\6\7", 0, place, 1)
    return local + central + end64 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[2**16 - 1] * 2, 2**32 - 1, 2**32 - 1, 0)


def test_numbers_of_64_bits_are_read_and_checked():
    assert members(long_zip()) == {"a": b"content"}
    assert "not where it should be" in refusal(long_zip(size=2**63))
    assert "not where it should be" in refusal(long_zip(size=10**6))
    assert "not where it should be" in refusal(long_zip(start=2**60))
    assert "reaches beyond its end" in refusal(long_zip(locator=2**60))
    assert "not where it should be" in refusal(long_zip(locator=3))


def with_field(data, signature, offset, form, value):
    """Change a number in the first header of a kind."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(signature) + offset, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("signature", "offset", "form", "value", "words"),
    [
        (b"PK\5\6", 10, "<H", 5, "list of contents is damaged"),
        (b"PK\5\6", 10, "<H", 3, "list of contents is damaged"),
        (b"PK\5\6", 12, "<I", 9, "not where it should be"),
        (b"PK\5\6", 16, "<I", 9, "not where it should be"),
        (b"PK\5\6", 16, "<I", 2**32 - 1, "not where it should be"),
        (b"PK\5\6", 20, "<H", 7, "something follows"),
        (b"PK\1\2", 8, "<H", 1, "packed again"),
        (b"PK\1\2", 10, "<H", 8, "packed again"),
        (b"PK\1\2", 16, "<I", 1, "the checksum of its part a/data.pkl is wrong"),
        (b"PK\1\2", 20, "<I", 1, "packed again"),
        (b"PK\1\2", 24, "<I", 10**9, "packed again"),
        (b"PK\1\2", 24, "<I", 2**32 - 1, "list of contents is damaged"),
        (b"PK\1\2", 28, "<H", 9, "damaged"),
        (b"PK\1\2", 42, "<I", 1, "its part a/data.pkl is not where it should be"),
        (b"PK\1\2", 42, "<I", 2**32 - 2, "its part a/data.pkl is not where it should be"),
        (b"PK\3\4", 26, "<H", 3, "its part a/data.pkl is not where it should be"),
        (b"PK\3\4", 28, "<H", 60_000, "its part a/data.pkl is not where it should be"),
        (b"PK\3\4", 30, "<c", b"b", "its part a/data.pkl is not where it should be"),
    ],
)
def test_files_that_lie_about_their_parts_are_refused(signature, offset, form, value, words):
    data = written()
    assert words in refusal(with_field(data, signature, offset, form, value))


@pytest.mark.parametrize("name", ["../a", "a/../b", "/etc/passwd", "a//b", "a\\b", "..", "a/.."])
def test_names_that_lead_elsewhere_are_refused(name):
    assert "leads out of it" in refusal(written({name: b"x"}))


def test_two_parts_of_one_name_are_refused():
    assert "it has two parts a/bb" in refusal(written({"a/bb": b"x", "a/cc": b"y"}).replace(b"a/cc", b"a/bb"))


def test_parts_that_share_their_bytes_are_refused():
    inner = written({"b": b"x" * 50})
    data = written({"a": inner})
    end = data.rindex(b"PK\1\2")
    start = data.index(inner)
    central = inner[inner.index(b"PK\1\2") : inner.rindex(b"PK\5\6")]
    central = central[:42] + struct.pack("<I", start) + central[46:]
    listed = data[end : data.rindex(b"PK\5\6")] + central
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(listed), end, 0)
    assert "overlaps with another" in refusal(data[:end] + listed + tail)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_files_are_refused_before_anything_is_unpacked(method):
    assert "was packed again by another program" in refusal(written({"a": bytes(10**6)}, method))


def test_too_many_parts_are_refused():
    data = with_field(written(), b"PK\5\6", 10, "<H", 2**16 - 1)
    assert "lists 65535 parts" in refusal(data)


def test_a_file_cut_short_anywhere_is_refused():
    data = written()
    for size in range(len(data)):
        assert "damaged" in refusal(data[:size])


def test_a_single_wrong_bit_is_told_or_does_not_matter():
    data = written()
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        try:
            found = members(bytes(changed))
        except Refused:
            continue
        assert list(found.values()) == list(PARTS.values())

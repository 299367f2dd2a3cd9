"""Writing a dataset: a zip or a folder that grows picture by picture, and can be cut back to what is known to be right.

A million pictures take no memory: a zip's list of contents is written at the end, from what the caller then tells.
PKWARE: .ZIP File Format Specification 6.3, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16
(its end), 4.5.3 (Zip64).
"""

import contextlib
import os
import struct
import zlib
from pathlib import Path

from sgtool.errors import UserError
from sgtool.files import sync_folder

DATE = 1 << 5 | 1  # 1980-01-01, the earliest a zip can hold: equal contents make equal archives
VERSION, ZIP64_VERSION = 20, 45  # of the format, times ten
UNIX = 3
PERMISSIONS = 0o644 << 16
LIMIT = (1 << 31) - 1  # offsets and sizes above it go into Zip64 fields, as Python's zipfile has it
MOST_FILES = (1 << 16) - 1
LONGEST_NAME = 240  # bytes of a file's name; systems take 255, and the work folder's name is longer
FULL = 0xFFFFFFFF


def picture_name(index):
    """Name the picture number `index` as NVIDIA's datasets do: 1234 is `00001/img00001234.png`."""
    number = f"{index:08d}"
    return f"{number[:5]}/img{number}.png"


def is_zip_name(path):
    """Tell whether a dataset of this name is a zip; every other name is a folder."""
    return Path(path).suffix.lower() == ".zip"


def check_name(dest):
    """Refuse a destination without a name of its own (`.`, `..`, `/`, nothing), or with one that is too long."""
    name = Path(dest).name
    if name in ("", ".."):
        shown = dest or "(an empty name)"
        raise UserError(f"DEST {shown}: write the name of the zip or folder that is to be made, like data.zip")
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise UserError(f"DEST {dest}: its name is longer than {LONGEST_NAME} bytes. Choose a shorter one.")


def check_destination(dest, source, force=False):
    """Refuse a destination that would overwrite something or be read back as input.

    Args:
        dest: zip or folder to write.
        source: what is read.
        force: an existing zip, or a folder that holds a dataset, may be replaced.
    """
    dest, inside = Path(dest), Path(dest).resolve()
    outside = Path(source).resolve()
    if inside == outside or (not is_zip_name(dest) and outside.is_dir() and outside in inside.parents):
        raise UserError(f"DEST {dest} is, or lies inside, the source {source}. Choose another place.")
    if inside in outside.parents:
        raise UserError(f"The source {source} lies inside DEST {dest}. Choose another place for DEST.")
    if not dest.exists():
        return
    if is_zip_name(dest) != dest.is_file():
        raise UserError(f"DEST {dest} exists and is no {'zip file' if is_zip_name(dest) else 'folder'}. Choose another name.")
    if dest.is_dir() and (not any(dest.iterdir()) or (force and (dest / "dataset.json").is_file())):
        return
    if dest.is_dir() and force:
        raise UserError(f"DEST {dest} is a folder that holds no dataset, so --force does not delete it. Choose another name.")
    if not force:
        raise UserError(f"DEST {dest} already exists. Choose another name, or add --force to replace it.")


def open_part(path, size=0):
    """Open an unfinished dataset, a `ZipPart` or a `FolderPart` as its name says, and cut it back to `size` bytes."""
    return ZipPart(path, size) if is_zip_name(path) else FolderPart(path)


class ZipPart:
    """A zip without its list of contents. Files are stored, not compressed.

    Args:
        path: the file; it is made if it is not there.
        size: bytes of it that are right; the rest is cut off.
    """

    def __init__(self, path, size=0):
        self._file = open(path, "r+b" if os.path.exists(path) else "w+b")  # noqa: SIM115 (closed by finish or close)
        self._file.truncate(size)
        self._file.seek(size)

    @property
    def position(self):
        """Bytes written so far."""
        return self._file.tell()

    def add(self, name, data, crc=None):
        """Append a file: bytes, and their CRC-32 if it is known."""
        name = name.encode("ascii")
        crc = zlib.crc32(data) if crc is None else crc
        self._file.write(
            struct.pack("<4s5H3L2H", b"PK\3\4", VERSION, 0, 0, 0, DATE, crc, len(data), len(data), len(name), 0) + name
        )
        self._file.write(data)

    def sync(self):
        """Bring what was written to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, pictures, texts):
        """Append the last files and the list of contents, and close.

        Args:
            pictures: (name, size, CRC-32) of every file that was added, in order; any iterable.
            texts: `{name: bytes}` of the files to append.
        """
        extra = []
        for name, data in texts.items():
            self.add(name, data)
            extra.append((name, len(data), zlib.crc32(data)))
        start, number, offset = self.position, 0, 0
        for entries in (pictures, extra):
            for name, size, crc in entries:
                self._file.write(_entry(name.encode("ascii"), size, crc, offset))
                offset += 30 + len(name) + size
                number += 1
        if offset != start:
            raise ValueError(f"a list of contents of {offset} bytes for a zip of {start}")
        self._file.write(_end(number, start, self.position - start))
        self.sync()
        self.close()

    def close(self):
        """Close the file as it is."""
        self._file.close()


def _entry(name, size, crc, offset):
    """One line of a zip's list of contents."""
    extra, version = b"", VERSION
    if offset > LIMIT:
        extra, version, offset = struct.pack("<2HQ", 1, 8, offset), ZIP64_VERSION, FULL
    return struct.pack(
        "<4s2B5H3L5H2L", b"PK\1\2", version, UNIX, version, 0, 0, 0, DATE, crc, size, size, len(name), len(extra), 0, 0, 0,
        PERMISSIONS, offset,
    ) + name + extra  # fmt: skip


def _end(number, start, size):
    """What follows a zip's list of contents: where it starts, and how long it is."""
    records = b""
    if number > MOST_FILES or start > LIMIT or size > LIMIT:
        records = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, ZIP64_VERSION, ZIP64_VERSION, 0, 0, number, number, size, start)
        records += struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
        number, size, start = min(number, 0xFFFF), min(size, FULL), min(start, FULL)
    return records + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, size, start, 0)


class FolderPart:
    """A folder of files. It has the methods of `ZipPart`."""

    position = 0  # nothing is cut back: a file that is written again is replaced

    def __init__(self, path):
        self._path = Path(path)
        self._path.mkdir(exist_ok=True)
        self._made = None

    def add(self, name, data, crc=None):
        """Write a file."""
        path = self._path / name
        if path.parent != self._made:
            path.parent.mkdir(exist_ok=True)
            self._made = path.parent
        path.write_bytes(data)

    def sync(self):
        """Bring what was written to the disk, where the system can do that for many files at once."""
        with contextlib.suppress(AttributeError):  # Windows
            os.sync()

    def finish(self, pictures, texts):
        """Write the last files."""
        for name, data in texts.items():
            self.add(name, data)
        self.sync()
        sync_folder(self._path)

    def close(self):
        """Nothing is open."""

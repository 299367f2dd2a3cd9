"""Shards: what one job has made, in the work folder, complete or not there.

A shard is two files: `0000012.data`, PNG files one after the other, and `0000012.index`, which tells what they are. The
index is JSON with its SHA-256 in the first line and is written last: a shard is there when its index is. Data may go when
they have been copied to the dataset; the index stays.
"""

import base64
import contextlib
import errno
import hashlib
import json
import os
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from sgtool.errors import UserError


class Resumable(UserError):
    """Something stopped the work that is no fault of the options or pictures: the same command goes on later."""


class Damaged(Exception):
    """A shard is not what was written; the number is the argument."""


@dataclass(frozen=True)
class Png:
    """A picture in a shard: its bytes, their CRC-32, SHA-256 of shape and pixels (hexadecimal), what was done to it."""

    size: int
    crc: int
    digest: str
    notes: tuple


@dataclass
class Record:
    """What became of one picture of the source at one of the resolutions.

    Attributes:
        index: number of the picture in the source.
        edition: number of the resolution.
        pictures: list of `Png`: one, or several faces or tiles. Empty if it was left out.
        failure: why it was left out, or None.
        unreadable: it was left out because it cannot be read; `--strict` refuses these.
        extra: `{word: bytes}`, such as a thumbnail.
    """

    index: int
    edition: int = 0
    pictures: list = field(default_factory=list)
    failure: str | None = None
    unreadable: bool = False
    extra: dict = field(default_factory=dict)


def data_path(folder, number):
    """Where the pictures of a shard lie."""
    return Path(folder) / f"{number:07d}.data"


def index_path(folder, number):
    """Where the index of a shard lies."""
    return Path(folder) / f"{number:07d}.index"


class ShardWriter:
    """Writes one shard; used as a context manager. Two processes may write the same one: the last is kept, and is equal.

    Raises:
        Resumable: there is no space left on the disk.
    """

    def __init__(self, folder, number):
        self._folder, self._number = Path(folder), number
        self._temporary = self._folder / f"{number:07d}.{uuid.uuid4().hex}.part"
        self.records = []

    def __enter__(self):
        with _disk(self._folder):
            self._file = open(self._temporary, "wb")  # noqa: SIM115 (closed on leaving)
        return self

    def add(self, index, edition, pictures, extra=None):
        """Append what was made of a picture.

        Args:
            index: its number in the source.
            edition: number of the resolution.
            pictures: list of (PNG bytes, digest, notes).
            extra: `{word: bytes}`.
        """
        with _disk(self._folder):
            for data, _, _ in pictures:
                self._file.write(data)
        pngs = [Png(len(data), zlib.crc32(data), digest, tuple(notes)) for data, digest, notes in pictures]
        self.records.append(Record(index, edition, pngs, extra=extra or {}))

    def fail(self, index, edition, reason, unreadable, extra=None):
        """Note a picture that is left out."""
        self.records.append(Record(index, edition, [], reason, unreadable, extra or {}))

    def __exit__(self, kind, *error):
        try:
            with _disk(self._folder):
                self._file.close()
                if kind is None:
                    os.replace(self._temporary, data_path(self._folder, self._number))
                    self._temporary.write_bytes(_pack(self.records))
                    os.replace(self._temporary, index_path(self._folder, self._number))
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink()


@contextlib.contextmanager
def _disk(folder):
    """Put what goes wrong with the work folder into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message = f"The disk of {folder} is full. Free some space and run the same command again: it goes on from here."
        else:
            message = f"{folder} cannot be written ({error.strerror or error}). Mend that and run the same command again."
        raise Resumable(message) from error


def _pack(records):
    lines = [
        [
            record.index,
            record.edition,
            [[png.size, png.crc, png.digest, png.notes] for png in record.pictures],
            record.failure,
            record.unreadable,
            {word: base64.b64encode(data).decode() for word, data in record.extra.items()},
        ]
        for record in records
    ]
    text = json.dumps(lines, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def read_index(folder, number):
    """Return the `Record`s of a shard.

    Raises:
        Damaged: it is not there, or not what was written.
    """
    try:
        digest, _, text = index_path(folder, number).read_bytes().partition(b"\n")
    except FileNotFoundError as error:
        raise Damaged(number) from error
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise Damaged(number)
    return [
        Record(
            index,
            edition,
            [Png(size, crc, digest, tuple(notes)) for size, crc, digest, notes in pngs],
            failure,
            unreadable,
            {word: base64.b64decode(data) for word, data in extra.items()},
        )
        for index, edition, pngs, failure, unreadable, extra in json.loads(text)
    ]


def is_complete(folder, number, with_data=True):
    """Tell whether a shard is there and as long as it should be (what its pictures hold is checked when they are read)."""
    try:
        size = sum(png.size for record in read_index(folder, number) for png in record.pictures)
        return not with_data or data_path(folder, number).stat().st_size == size
    except (FileNotFoundError, Damaged):
        return False


def remove_shard(folder, number):
    """Remove what is there of a shard."""
    index_path(folder, number).unlink(missing_ok=True)
    data_path(folder, number).unlink(missing_ok=True)


def read_shard(folder, number):
    """Yield (record, [PNG bytes]) for the pictures of a shard, in order.

    Raises:
        Damaged: it is not there, or not what was written.
    """
    records = read_index(folder, number)
    try:
        with open(data_path(folder, number), "rb") as file:
            for record in records:
                pictures = [file.read(png.size) for png in record.pictures]
                if any(zlib.crc32(data) != png.crc for data, png in zip(pictures, record.pictures, strict=True)):
                    raise Damaged(number)
                yield record, pictures
    except FileNotFoundError as error:
        raise Damaged(number) from error

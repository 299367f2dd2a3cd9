"""Tar files of pictures: plain or compressed, one or many, with labels beside the pictures (WebDataset)."""

import os
import tarfile
from collections import Counter

import numpy as np

from sgtool.datasets.sources.pictures import SpanPicture, open_regular, read_span, stamp_of
from sgtool.datasets.sources.sidecars import read_sidecars
from sgtool.datasets.sources.source import METADATA, Source, pictures_among, safe_name, shown_name
from sgtool.datasets.sources.unpacked import DAMAGED, Unpacked, opener_of, peek
from sgtool.errors import UserError

BLOCK = 512  # bytes
LARGEST_TEXT = 1 << 28  # bytes of a dataset.json
ENDINGS = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


class Tar:
    """The files in a tar, as ranges of bytes of it (of its unpacked copy, if it is compressed). Nothing is extracted.

    Attributes:
        path, stamp: the plain tar, see `pictures.stamp_of`.
        files: `{clean name: (offset, size)}`.
        counts: what was left out, by reason.
        damage: what is wrong with its end, or None.
        keep: the temporary copy, or None.
    """

    def __init__(self, path):
        self.path, self.keep, self.damage = str(path), None, None
        self.files, self.counts = {}, Counter()
        if opener_of(peek_raw(path)) is not None:
            self.keep = Unpacked(path)
            self.path, self.damage = self.keep.path, self.keep.damage
        self.stamp = stamp_of(self.path)
        try:
            self._list()
        except (tarfile.TarError, *DAMAGED, MemoryError, OverflowError) as error:
            if not self.files:
                reason = str(error) or type(error).__name__
                raise UserError(f"{path} cannot be read as a tar ({reason}). Download or pack it again.") from error
            self.damage = self.damage or str(error)

    def _list(self):
        with open_regular(self.path) as raw:
            file = _Bounded(raw)
            with tarfile.TarFile(fileobj=file, mode="r") as tar:
                while (info := tar.next()) is not None:
                    self._add(info, file.size)
                    tar.members = []  # it would keep a kilobyte for each
                end = tar.offset
            raw.seek(end)
            if any(raw.read(BLOCK)):
                self.damage = self.damage or f"what should be the next file, at byte {end}, is not one"

    def _add(self, info, total):
        if info.isdir():
            return
        name = safe_name(info.name)
        if not info.isreg() or info.issparse():
            self.counts["links and devices"] += 1
        elif name is None:
            self.counts["names that lead outside the archive"] += 1
        elif info.offset_data + info.size > total:
            self.counts["cut off"] += 1
            self.damage = self.damage or "its last file is not all there"
        else:
            name = shown_name(name, self.files)
            self.counts["replaced by a later file of the same name"] += name in self.files
            self.files[name] = (info.offset_data, info.size)


class _Bounded:
    """A file that never makes room for more bytes than it has left, whatever a header asks for."""

    def __init__(self, file):
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self.name = "tar"

    def read(self, size=-1):
        left = max(0, self.size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, place, whence=0):
        return self._file.seek(place, whence)

    def tell(self):
        return self._file.tell()


def peek_raw(path):
    """Return the first bytes of a file as they are."""
    with open(path, "rb") as file:
        return file.read(8)


def is_tar(path):
    """Tell whether a file is a tar, plain or compressed, by its first header."""
    head = peek(path, BLOCK)
    if len(head) < BLOCK:
        return False
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def tar_source(paths, tars):
    """The pictures in one or several tar files.

    With several, names begin with the tar's own: `shard-000/picture.jpg`. Labels beside the pictures are read, see
    `sidecars.read_sidecars`.

    Args:
        paths: list of `Path`.
        tars: `Tar` of each.
    """
    where = paths[0] if len(paths) == 1 else f"{paths[0].parent} ({len(paths)} tar files)"
    prefixes = [""] if len(paths) == 1 else _stems(paths)
    places = {
        prefix + name: (number, *place)
        for number, (prefix, tar) in enumerate(zip(prefixes, tars, strict=True))
        for name, place in tar.files.items()
    }
    warnings = [
        f"{path.name} is damaged at its end ({tar.damage}); the {len(tar.files)} files before it were used."
        for path, tar in zip(paths, tars, strict=True)
        if tar.damage
    ]
    texts = {name: places[name] for name in METADATA if name in places}
    counts = sum((tar.counts for tar in tars), Counter())
    sidecars = read_sidecars(places, lambda name: _read(tars, places[name]))
    for name in sidecars.used:
        del places[name]
    names, counts = pictures_among(places, where, counts + sidecars.counts)
    spans = np.array([places[name] for name in names], np.int64)  # [N, 3]: which tar, offset, size

    def picture(i):
        number, offset, size = spans[i].tolist()
        return SpanPicture(tars[number].path, tars[number].stamp, offset, size)

    for tar in tars:
        tar.files = None  # of a million pictures, 300 MB
    return Source(
        names,
        picture,
        lambda name: _read(tars, texts[name]) if name in texts else None,
        labels=sidecars.labels,
        class_names=sidecars.class_names,
        ignored_files=sum(counts.values()),
        counts=counts,
        warnings=warnings,
        stamps=[(str(path), *stamp_of(path)) for path in paths],
        keep=tars,
    )


def _read(tars, place):
    number, offset, size = place
    if size > LARGEST_TEXT:
        raise UserError(f"{tars[number].path}: a text of {size >> 20} MB. Make it smaller than {LARGEST_TEXT >> 20} MB.")
    return read_span(tars[number].path, tars[number].stamp, offset, size)


def _stems(paths):
    """Names of tar files without their endings, as prefixes; whole names where two would be the same."""
    stems = []
    for path in paths:
        ending = max((end for end in ENDINGS if path.name.lower().endswith(end)), key=len, default="")
        stems.append(path.name[: len(path.name) - len(ending)])
    return [f"{stem}/" for stem in (stems if len(set(stems)) == len(stems) else [path.name for path in paths])]

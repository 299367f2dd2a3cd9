"""A zip of pictures, read in place."""

import stat
import zipfile
import zlib
from collections import Counter

from sgtool.datasets.sources.pictures import ZipPicture, stamp_of
from sgtool.datasets.sources.source import Source, pictures_among, safe_name
from sgtool.errors import UserError

LARGEST_TEXT = 1 << 28  # bytes of a dataset.json
DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, MemoryError, OverflowError)


def zip_source(path):
    """The pictures in a zip.

    Links, and names that are absolute or lead outside, are counted and left out; zips in the zip are not opened.
    """
    files, counts = _list(path)
    where, stamp = str(path), stamp_of(path)
    names, counts = pictures_among(files, path, counts)
    return Source(
        names,
        lambda i: ZipPicture(where, stamp, files[names[i]]),
        lambda name: _text(path, files.get(name)),
        ignored_files=sum(counts.values()),
        counts=counts,
        stamps=[(where, *stamp)],
    )


def _list(path):
    """Return `{clean name: name in the zip}` of its files, and counts of what is left out."""
    files, counts = {}, Counter()
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = safe_name(info.filename.replace("\\", "/"))
                if info.is_dir():
                    continue
                if name is None:
                    counts["names that lead outside the archive"] += 1
                elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                    counts["links and devices"] += 1
                else:
                    counts["replaced by a later file of the same name"] += name in files
                    files[name] = info.filename
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read as a zip ({error}). Download or pack it again.") from error
    return files, counts


def _text(path, member):
    if member is None:
        return None
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            data = file.read(LARGEST_TEXT + 1)
    except (*DAMAGED, RuntimeError, zlib.error) as error:
        raise UserError(f"{path}: {member} cannot be read ({error}). Pack the zip again.") from error
    if len(data) > LARGEST_TEXT:
        raise UserError(f"{path}: {member} is larger than {LARGEST_TEXT >> 20} MB. Make it smaller.")
    return data

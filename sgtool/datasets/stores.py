"""Where the files of a dataset lie: a zip or a folder."""

import os
import zipfile
import zlib

from PIL import Image

from sgtool.errors import UserError

# What reading a damaged, encrypted or absurdly large picture can raise.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


def open_store(path):
    """Open the zip or folder of a dataset.

    Raises:
        UserError: it is not there, or neither of the two.
    """
    if path.is_dir():
        return FolderStore(str(path))
    if not path.exists():
        raise UserError(f"{path} does not exist. Give a dataset made by: sgtool prepare SOURCE {path.stem}.zip")
    store = ZipStore(str(path))
    try:
        store.names()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is not a dataset: neither a folder nor a readable zip. Make one with sgtool prepare.") from error
    return store


class ZipStore:
    """Files in a zip. Each process opens it for itself; threads may share."""

    def __init__(self, path):
        self.path = path
        self._handle = None
        self._owner = None

    @property
    def archive(self):
        if self._owner != os.getpid():  # first use, or after a fork: a shared handle would share its position
            self._handle, self._owner = zipfile.ZipFile(self.path), os.getpid()
        return self._handle

    def __getstate__(self):
        return {"path": self.path, "_handle": None, "_owner": None}

    def names(self):
        """All files, with forward slashes."""
        return [info.filename for info in self.archive.infolist() if not info.is_dir()]

    def open(self, name):
        """Open a file for reading; the caller closes it."""
        return self.archive.open(name)

    def size(self, name):
        """Bytes of a file, unpacked."""
        return self.archive.getinfo(name).file_size

    def contents(self, names, quick):
        """(name, size, CRC) of files: tells whether two zips hold the same. `quick` or not, a zip lists its checksums."""
        infos = [self.archive.getinfo(name) for name in names]
        return [(info.filename, info.file_size, info.CRC) for info in infos]


class FolderStore:
    """Files in a folder."""

    def __init__(self, path):
        self.path = path

    def names(self):
        """All files, with forward slashes."""
        return [
            os.path.relpath(os.path.join(here, name), self.path).replace(os.sep, "/")
            for here, _, names in os.walk(self.path)
            for name in names
        ]

    def open(self, name):
        """Open a file for reading; the caller closes it."""
        return open(os.path.join(self.path, name), "rb")

    def size(self, name):
        """Bytes of a file, unpacked."""
        return os.path.getsize(os.path.join(self.path, name))

    def contents(self, names, quick):
        """(name, size, CRC) of files: tells whether two folders hold the same. `quick` leaves the CRC out: nothing is read."""
        if quick:
            return [(name, self.size(name)) for name in names]
        return [(name, len(data), zlib.crc32(data)) for name in names for data in [self._read(name)]]

    def _read(self, name):
        with self.open(name) as file:
            return file.read()

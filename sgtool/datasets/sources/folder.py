"""A folder of pictures, with all folders below it."""

import os
from collections import Counter
from pathlib import Path

from sgtool.datasets.sources.pictures import FilePicture
from sgtool.datasets.sources.source import Source, pictures_among, shown_name


class Walk:
    """What lies in a folder and below it. Symbolic links are followed, each folder once.

    Attributes:
        names: set of the regular files, with forward slashes.
        odd: `{name: path}` of those whose shown name is not their path below the folder.
        counts: what was left out, by reason.
        unreadable: folders that may not be read.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.names, self.odd, self.counts, self.unreadable = set(), {}, Counter(), []
        seen = set()
        waiting = [""]
        while waiting:
            below = waiting.pop()
            here = os.path.join(self.folder, below) if below else self.folder
            real = os.path.realpath(here)
            if real not in seen:
                seen.add(real)
                waiting.extend(reversed(self._list(here, below)))

    def _list(self, here, below):
        """Note the files of one folder; return the folders in it, sorted, so that loops are always cut at the same place."""
        folders = []
        try:
            with os.scandir(here) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = f"{below}{os.sep}{entry.name}" if below else entry.name
                    kind = _kind(entry)
                    if kind == "folder":
                        folders.append(path)
                    elif kind == "file":
                        self._add(path)
                    else:
                        self.counts[kind] += 1
        except OSError:
            self.unreadable.append(below or ".")
        return folders

    def _add(self, path):
        plain = path.replace(os.sep, "/")
        name = shown_name(plain, self.names)
        if name != plain:
            self.odd[name] = path
        self.names.add(name)

    def path(self, name):
        """Where a file lies, as text."""
        return os.path.join(self.folder, self.odd.get(name, name))


def _kind(entry):
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "links that lead nowhere" if entry.is_symlink() else "pipes, devices and sockets"
    except OSError:
        return "links that lead nowhere"


def folder_source(folder, walk=None):
    """The pictures in a folder and in all folders below it.

    Pipes, devices and folders that may not be read are counted and left out.

    Args:
        folder: `Path`.
        walk: `Walk` of it, if there is one already.
    """
    walk = walk or Walk(folder)
    warnings = []
    if walk.unreadable:
        more = f" and {len(walk.unreadable) - 1} more" if len(walk.unreadable) > 1 else ""
        warnings.append(f"The folder {walk.unreadable[0]}{more} may not be read, and was left out. Change its permissions.")
    names, counts = pictures_among(walk.names, folder, walk.counts)
    ignored = sum(counts.values())
    if walk.unreadable:
        counts["unreadable folders"] = len(walk.unreadable)
    return Source(
        names,
        lambda i: FilePicture(walk.path(names[i])),
        lambda name: _text(Path(folder) / name),
        ignored_files=ignored,
        counts=counts,
        warnings=warnings,
    )


def _text(path):
    return path.read_bytes() if path.is_file() else None

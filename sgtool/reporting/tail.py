"""What a growing text file has gained since the last look. Whatever lies in a run folder is read as data, and bounded."""

import json
import os
import stat
from pathlib import Path

MOST_BYTES = 64 << 20  # read at once; of more, the end
LONGEST_LINE = 1 << 20


def inside(folder, name):
    """Return the path of a regular file of a folder, or None.

    A link that leads out of the folder is not followed, and a pipe or device is not opened: a folder from elsewhere
    cannot bring other files of this machine into a page.
    """
    path = Path(folder) / name
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(Path(folder).resolve()):
            return None
        return path if stat.S_ISREG(os.stat(path).st_mode) else None
    except (OSError, ValueError, RuntimeError):  # absent, not allowed; a NUL in the name; links in a circle
        return None


class Tail:
    """Reads the lines that a file of a folder has gained.

    Attributes:
        skipped: bytes that were passed over because there were more than `MOST_BYTES` at once, and too long lines.
    """

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._file, self._offset = None, 0
        self.skipped = 0

    def read(self):
        """Read the complete lines since the last call.

        Returns:
            (lines, whether they are from the beginning: the first time, or because the file was written anew).
        """
        path = inside(self.folder, self.name)
        if path is None:
            anew, self._file, self._offset = self._file is not None, None, 0
            return [], anew
        try:
            with open(path, "rb") as file:
                return self._lines(file)
        except OSError:  # gone or locked in this moment: the next call finds it
            return [], False

    def _lines(self, file):
        facts = os.fstat(file.fileno())
        identity = (facts.st_dev, facts.st_ino)
        anew = identity != self._file or facts.st_size < self._offset
        if anew:
            self._file, self._offset, self.skipped = identity, 0, 0
        first = max(self._offset, facts.st_size - MOST_BYTES)
        self.skipped += first - self._offset
        file.seek(first)
        data = file.read(min(MOST_BYTES, facts.st_size - first))
        end = data.rfind(b"\n") + 1
        cut = data.find(b"\n") + 1 if first > self._offset else 0  # the rest of a line that began before
        self._offset = first + (end or (len(data) if len(data) > LONGEST_LINE else 0))
        lines = data[cut:end].split(b"\n")[:-1]
        short = [line for line in lines if len(line) <= LONGEST_LINE]
        self.skipped += sum(map(len, lines)) - sum(map(len, short))
        return [line.decode("utf-8", "replace").rstrip("\r") for line in short], anew


def parsed(line):
    """Return a line of JSON as a dict, or None if it is none: half a line, from the moment of a kill, or something else."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def read_json(folder, name, most=4 << 20):
    """Return a small JSON file of a folder as a dict, {} if it is not there or is something else."""
    path = inside(folder, name)
    try:
        if path is None or path.stat().st_size > most:
            return {}
        return parsed(path.read_text(encoding="utf-8", errors="replace")) or {}
    except OSError:
        return {}


def number(value):
    """Return a float, NaN for whatever is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return float("nan")
    try:
        value = float(value)
    except OverflowError:
        return float("nan")
    return value if abs(value) < 1e300 else float("nan")

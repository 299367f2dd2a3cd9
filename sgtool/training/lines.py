"""Tables and logs of a run: text files that grow line by line."""

import json
import os
from collections import deque

from sgtool.errors import UserError
from sgtool.files import json_line, write_text
from sgtool.training.faults import is_full, is_gone

MOST_WAITING = 10_000  # lines kept while they cannot be written


class Lines:
    """A text file that takes each line, now or later: without space, or without its folder, lines wait for the next one.

    Args:
        path: the file; None = not known yet.
    """

    def __init__(self, path=None):
        self._path, self._waiting = path, deque(maxlen=MOST_WAITING)

    def add(self, line):
        """Append a line.

        Raises:
            UserError: it cannot be written, for another reason than space.
        """
        self._waiting.append(line)
        self.write()

    def attach(self, path):
        """Go on in the file `path`, at its end."""
        self._path = path
        self.write()

    def write(self):
        """Write what waits, as far as that can be."""
        if self._path is None or not self._waiting:
            return
        try:
            append_text(self._path, "".join(line + "\n" for line in self._waiting))
        except UserError as error:
            if not (is_full(error) or is_gone(error)):
                raise
        else:
            self._waiting.clear()


def append_line(path, values):
    """Append one line of JSON."""
    append_text(path, json_line(values) + "\n")


def append_text(path, text):
    """Append to a text file of a run, the whole text or nothing.

    Raises:
        UserError: it cannot be written, for instance on a full disk.
    """
    data, file = text.encode(), None
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        _append(file, data)
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}. Free some space, then go on from the last checkpoint "
            f"with: sgtool train --resume {path.parent}"
        ) from error
    finally:
        if file is not None:
            os.close(file)


def _append(file, data):
    """Write all of `data` to a descriptor, or nothing: what was written of it is taken back."""
    before = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, before)
        raise


def keep_until(path, nimg):
    """Drop the lines of a .jsonl file that were written after `nimg`: a resumed run writes them again."""
    if not path.exists():
        return
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["nimg"] <= nimg:
                lines.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue  # half a line, from the moment of a kill
    write_text(path, "".join(lines))

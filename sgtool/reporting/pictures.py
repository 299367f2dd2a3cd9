"""The sheets of a run over time: which of them are shown, encoded once."""

import math
import os
import re
from dataclasses import dataclass

from sgtool.reporting.encode import CELL, Encoded, NoPicture, encoded
from sgtool.reporting.tail import inside

BYTES = 2_900_000  # of all pictures in a page, before base64 makes four thirds of it
FRAMES = 30  # sheets over time
LARGE = 280_000  # bytes of the newest sheet, and of the real pictures
MOST_SHEETS = 100_000


@dataclass(frozen=True)
class Allowance:
    """How much room a run's pictures have in a page.

    Attributes:
        frames: sheets over time.
        frame_bytes: of each.
        large_bytes: of the newest, and of the real pictures.
        edge, large_edge: longest side of a picture in them, pixels.
    """

    frames: int = FRAMES
    frame_bytes: int = (BYTES - 2 * LARGE) // FRAMES
    large_bytes: int = LARGE
    edge: int = CELL
    large_edge: int = 2 * CELL

    @classmethod
    def shared(cls, runs):
        """The room of each of several runs."""
        if runs == 1:
            return cls()
        mine = BYTES // runs
        large, frames = mine // 8, max(FRAMES // runs, 6)
        return cls(frames, (mine - 2 * large) // frames, large, CELL, CELL)


@dataclass(frozen=True)
class Frame:
    """A sheet in the page.

    Attributes:
        name: of its file.
        kimg: when it was made.
        label: the same in words.
        picture: `Encoded`.
        key: what it was made from, and how.
    """

    name: str
    kimg: float
    label: str
    picture: Encoded
    key: tuple


class Gallery:
    """The sheets of a run folder, each encoded once and then kept.

    Attributes:
        notes: sentences about what was left out.
    """

    def __init__(self, folder, allowance):
        self.folder, self.allowance = folder, allowance
        self._kept, self._new, self.notes = {}, math.inf, []

    def refresh(self, cell, most_new=None):
        """Look at the folder.

        Args:
            cell: (height, width) of a picture, None = not known.
            most_new: sheets that are encoded at most; the others, the older ones, wait for the next call. None = all.
        Returns:
            (list of `Frame` in the order of time, the real pictures as a `Frame` or None).
        """
        self.notes, before, self._kept = [], self._kept, {}
        self._new = math.inf if most_new is None else most_new
        sheets = sheets_of(self.folder)
        chosen = thinned([kimg for kimg, _ in sheets], self.allowance.frames)
        if len(chosen) < len(sheets):
            self.notes.append(f"{len(chosen)} of {len(sheets)} sheets are shown, evenly over time and denser at the start.")
        newest_first = [sheets[i] for i in reversed(chosen)]
        frames = [self._frame(*sheet, cell, before, True) for sheet in newest_first[:1]]
        reals = self._frame(0.0, "reals.png", cell, before, True) if inside(self.folder, "reals.png") else None
        frames += [self._frame(*sheet, cell, before, False) for sheet in newest_first[1:]]
        if self._new < 0:
            self.notes.append(f"{-self._new} sheets follow when the page is next written.")
        return [frame for frame in reversed(frames) if frame is not None], reals

    def keep(self, key, picture):
        """Take in a picture that was encoded before."""
        self._kept[key] = picture

    def _frame(self, kimg, name, cell, before, is_large):
        path = inside(self.folder, name)
        room = self.allowance
        edge, most = (room.large_edge, room.large_bytes) if is_large else (room.edge, room.frame_bytes)
        try:
            facts = None if path is None else path.stat()
        except OSError:
            facts = None
        if facts is None:
            self.notes.append(f"{name} is left out: it is no file of this folder that can be read.")
            return None
        key = (name, facts.st_size, facts.st_mtime_ns, cell, edge, most)
        if key not in before:
            self._new -= 1
            if self._new < 0:
                return None
        try:
            picture = before[key] if key in before else encoded(path, cell, edge, most)
        except NoPicture as error:
            self.notes.append(f"{name} is left out: {error}.")
            return None
        self._kept[key] = picture
        return Frame(name, kimg, "before training" if name == "fakes_init.png" else f"kimg {kimg:g}", picture, key)


def sheets_of(folder):
    """Return [(kimg, name)] of a run's sheets in the order of time; the one from before training is first, at kimg 0."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = [re.fullmatch(r"fakes(\d{6,9})\.png", name) for name in names]
    found = sorted((float(match[1]), match[0]) for match in matches if match)[-MOST_SHEETS:]
    return ([(0.0, "fakes_init.png")] if "fakes_init.png" in names else []) + found


def thinned(moments, most):
    """Choose among sheets: places of at most `most` of them, the first and the last among them.

    One after the other is taken in, and when there are too many, the one goes whose neighbours lie closest together, in
    kimg to the power of 0.6, so that the early ones, when most changes, lie denser. What has gone does not come back: a run
    that goes on never needs a sheet again that it left out, and a new one is encoded twice: as the newest, then among the others.
    """
    kept, scale = [], [moment**0.6 for moment in moments]
    for i in range(len(moments)):
        kept.append(i)
        if len(kept) > max(most, 2):
            gaps = [scale[kept[j + 1]] - scale[kept[j - 1]] for j in range(1, len(kept) - 1)]
            del kept[1 + gaps.index(min(gaps))]
    return kept

"""The best snapshot of a run by each metric, under a name of its own."""

import re

from sgtool.errors import UserError
from sgtool.snapshots.formats import opened
from sgtool.training.saving import keep_as

LOWER = re.compile(r"(fid|clean_fid|kid|swd|ppl)[a-z0-9_]*")
HIGHER = re.compile(r"(is[0-9]+k?_mean|pr[0-9k_]+(_full)?_(precision|recall)|density[0-9k]*|coverage[0-9k]*)")
LEVEL = re.compile(r"swd.*_[0-9]+x[0-9]+")  # of a picture's pyramid: a part of a value that counts itself


def is_better(name, value, than):
    """Whether a value is better than another; None where neither less nor more of it is."""
    if LEVEL.fullmatch(name) or not (LOWER.fullmatch(name) or HIGHER.fullmatch(name)):
        return None
    return value < than if LOWER.fullmatch(name) else value > than


def note(best, results, nimg, snapshot):
    """Take over those values of a snapshot that are better than what was known.

    Args:
        best: {name of a value: {"value", "nimg", "snapshot_pkl"}}, changed in place.
        results: {name: value}.
        nimg: real pictures shown.
        snapshot: file name.
    Returns:
        names of the better ones.
    """
    better = []
    for name, value in results.items():
        if not isinstance(value, (int, float)) or value != value or is_better(name, value, value) is None:
            continue
        if name not in best or is_better(name, value, best[name]["value"]):
            best[name] = {"value": value, "nimg": nimg, "snapshot_pkl": snapshot}
            better.append(name)
    return better


def words(best, name, better):
    """What is said of a value beside the number."""
    if name in better:
        return " (best so far)"
    return f" (best {best[name]['value']:.4g} at kimg {best[name]['nimg'] / 1000:g})" if name in best else ""


class BestLinks:
    """Gives each of the best snapshots a second name, best-NAME.pkl, as soon as it is written.

    Args:
        folder: the run folder.
        writer: has `wait()`, which ends when all is written; None = it is.
    """

    def __init__(self, folder, writer=None):
        self._folder, self._writer, self._linked = folder, writer, {}

    def __call__(self, state, tick):
        if tick.done and self._writer is not None:
            self._writer.wait()
        for name, best in state.best.items():
            if "snapshot_pkl" in best and self._linked.get(name) != best["nimg"]:
                path, link = self._folder / best["snapshot_pkl"], self._folder / f"best-{name}.pkl"
                if nimg_of(path) == best["nimg"]:  # not one of that name from before, which is yet to be replaced
                    keep_as(path, link)
                if nimg_of(link) == best["nimg"]:
                    self._linked[name] = best["nimg"]


def nimg_of(path):
    """Return how many pictures a snapshot's networks were shown; None if there is no such file, or none that can be read."""
    try:
        with opened(path) as contents:
            return contents.nimg
    except UserError:
        return None

"""Which pictures are held out of training, so that metrics can be measured on pictures that the networks never saw."""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass

from sgtool.datasets.labels import file_of
from sgtool.errors import UserError

FORM = re.compile(r"(?P<percent>\d+(\.\d+)?)\s*%|(?P<number>\d+)")


@dataclass(frozen=True)
class Holdout:
    """How many pictures: a `share` (above 0, below 1) or a `number`; the other is None. `text` is what the user wrote."""

    text: str
    share: float | None = None
    number: int | None = None


def parse_holdout(text):
    """Turn `5%` or `200` into a `Holdout`."""
    found = FORM.fullmatch(text.strip())
    if found and found["number"] and int(found["number"]) > 0:
        return Holdout(text, number=int(found["number"]))
    if found and found["percent"] and 0 < float(found["percent"]) < 100:
        return Holdout(text, share=float(found["percent"]) / 100)
    raise UserError(f"--holdout {text}: give a share of the pictures between 0% and 100%, like 5%, or a number, like 200.")


def choose_holdout(names, holdout, labels=None, groups=()):
    """Choose the pictures that are held out.

    In each class the pictures are put in an order by the SHA-256 of their names, and spread evenly over [0, 1): picture i of n
    comes to (i + h) / n, where h in [0, 1) is the class's own (1/2 without classes). Those below the share are held out: in
    each class that share of the pictures, rounded up or down, with no class rounded for another's sake. Adding m pictures
    to a class changes the side of at most m others, all of that class (if none hang together).
    A number asks for the pictures that come first: exactly so many, if none hang together. Adding m pictures changes the side
    of at most 2 m others, in any class.

    Args:
        names: of all pictures, all different.
        holdout: `Holdout`.
        labels: `{name: class number, or anything else that is equal within a class}`; a name that is not in it, or whose label
            is a vector (tuple), belongs to one common class. None = no classes.
        groups: lists of names that must stay on one side, such as near duplicates. Frames, tiles and faces of one file
            (`labels.file_of`) always do.
    Returns:
        set of names.
    Raises:
        UserError: nothing, or everything, would be held out.
    """
    strata = defaultdict(list)
    for members in _together(names, groups):
        strata[_stratum(members, labels)].append((min(_hashed(file_of(name)) for name in members), members))
    placed = [pair for stratum, ranked in strata.items() for pair in _spread(stratum, sorted(ranked))]
    chosen = _below(placed, holdout.share) if holdout.number is None else _first(placed, holdout.number)
    if not 0 < len(chosen) < len(names):
        raise UserError(_out_of_range(holdout, len(names), chosen))
    return chosen


def _hashed(text):
    """A number in [0, 1) and the text itself, which settles ties."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6], "big") / (1 << 48), text


def _stratum(members, labels):
    label = None if labels is None else labels.get(min(members))
    return None if isinstance(label, tuple) else label


def _spread(stratum, ranked):
    """Give each group of a class its place in [0, 1), counting pictures; yields (place, order, members)."""
    total, before = sum(len(members) for _, members in ranked), 0
    offset = 0.5 if stratum is None else _hashed(f"class {stratum}")[0]
    for order, members in ranked:
        yield (before + offset * len(members)) / total, order, members
        before += len(members)


def _below(placed, share):
    return {name for place, _, members in placed if place < share for name in members}


def _first(placed, number):
    """Take groups in the order of their places, as long as that brings their pictures closer to the number."""
    chosen = set()
    for _, _, members in sorted(placed):
        if len(chosen) + len(members) / 2 <= number:
            chosen.update(members)
        if len(chosen) >= number:
            break
    return chosen


def _out_of_range(holdout, total, chosen):
    if holdout.number is not None and holdout.number >= total:
        return f"--holdout {holdout.text}: there are {total} pictures, and some must be left to train on. Give fewer."
    what = "none of" if not chosen else "all of"
    return f"--holdout {holdout.text} would hold out {what} the {total} pictures that can be told apart. Give another share."


def _together(names, groups):
    """Merge whatever hangs together, directly or by others; yields lists of names, each sorted."""
    parent = {}  # of files that hang together with others

    def root(file):
        while file in parent:
            file = parent[file]
        return file

    for group in groups:
        roots = {root(file_of(name)) for name in group}
        first = min(roots, default=None)
        parent.update((other, first) for other in roots if other != first)
    merged = defaultdict(list)
    for name in sorted(names):
        merged[root(file_of(name))].append(name)
    return merged.values()

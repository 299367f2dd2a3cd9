"""From the measures of all pictures to findings: what to look at, what to leave out."""

import json
import re
import tempfile
from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np

from sgtool.datasets import kinds
from sgtool.datasets.findings import ROW, Measures
from sgtool.datasets.kinds import COPIES, KINDS, Crowd, Finding, Limits
from sgtool.datasets.label_counts import count_labels
from sgtool.datasets.report import printable
from sgtool.errors import UserError

TRUNCATED = re.compile(r"truncated|broken data stream|premature|unexpected end|buffer is not large enough", re.IGNORECASE)
IN_MEMORY = 1 << 25  # bytes of thumbnails; more are put into a temporary file until it is known which are shown
EXAMPLES = 3


@dataclass(frozen=True)
class Findings:
    """What was found in a collection.

    Attributes:
        pictures: number of pictures looked at.
        readable: those that could be read.
        kinds: `{kind: [Finding, ...]}` of the kinds in `kinds.KINDS` that were found, in that order; the worst first.
        left_out: pictures that nobody wanted, and why: `{reason: number}`.
        groups: lists of names of pictures that repeat each other, directly or through others.
        classes: `{class name: pictures}`, or None without labels.
        notes: sentences on what could not be told.
        limits: `Limits`.
        thumbnails: `{name: JPEG bytes}` of the first findings of each kind, if thumbnails were made.
    """

    pictures: int
    readable: int
    kinds: dict
    limits: Limits
    left_out: dict = field(default_factory=dict)
    groups: list = field(default_factory=list)
    classes: dict | None = None
    notes: list = field(default_factory=list)
    thumbnails: dict = field(default_factory=dict)

    def table(self):
        """All kinds that were found, how often, and examples, as text."""
        lines = [f"{self.pictures} pictures, {self.readable} of them can be read"]
        lines += [f"{number} left out: {reason}" for reason, number in self.left_out.items()]
        width = max((len(str(len(found))) for found in self.kinds.values()), default=1)
        for kind, found in self.kinds.items():
            lines.append(f"{kind:<15} {len(found):>{width}}  {KINDS[kind]}")
            lines += [f"  {finding.name}: {finding.reason}" for finding in found[:EXAMPLES]]
            if len(found) > EXAMPLES:
                lines.append(f"  and {len(found) - EXAMPLES} more")
        if not self.kinds:
            lines.append("Nothing was found.")
        return "\n".join(map(printable, lines + self.notes))

    def as_json(self):
        """Everything but the thumbnails, as JSON text."""
        return json.dumps(
            {
                "pictures": self.pictures,
                "readable": self.readable,
                "left_out": self.left_out,
                "limits": asdict(self.limits),
                "kinds": {
                    kind: {"what": KINDS[kind], "count": len(found), "pictures": [_plain(finding) for finding in found]}
                    for kind, found in self.kinds.items()
                },
                "groups": self.groups,
                "classes": self.classes,
                "notes": self.notes,
            },
            indent=2,
        )

    def to_drop(self, kinds):
        """Choose the pictures to leave out.

        Of copies one is always kept: if the one to keep has another of the chosen findings, the first copy without any takes
        its place.

        Args:
            kinds: words of `kinds.KINDS`, all but imbalance.
        Returns:
            `{name: reason}`.
        Raises:
            UserError: an unknown kind.
        """
        check_kinds(kinds)
        dropped = {}
        for kind in kinds:
            if kind not in COPIES:
                for finding in self.kinds.get(kind, ()):
                    dropped.setdefault(finding.name, f"{kind}: {finding.reason}")
        unwanted, heirs = frozenset(dropped), {}
        for kind in COPIES:
            for finding in self.kinds.get(kind, ()) if kind in kinds else ():
                kept = heirs.get(finding.kept, finding.kept)
                if finding.name in unwanted:
                    continue
                if kept in unwanted:
                    heirs[finding.kept] = finding.name
                    continue
                dropped[finding.name] = f"{kind}: {finding.reason}"
        return dropped


def check_kinds(kinds):
    """Raise `UserError` unless pictures can be dropped for each of `kinds`."""
    known = [kind for kind in KINDS if kind != "imbalance"]
    for kind in kinds:
        if kind not in known:
            raise UserError(f"--drop {kind}: not a finding of pictures. Choose from {', '.join(known)}.")


def _plain(finding):
    return {"name": finding.name, "reason": finding.reason, **({"kept": finding.kept} if finding.kept is not None else {})}


def judge(measures, limits=None, labels=None):
    """Compare the pictures of a collection and tell what stands out.

    Takes up to 700 bytes of memory for each picture, and a few seconds for 100,000.

    Args:
        measures: iterable of (name, `Measures` or `Failure`), in the order of the collection; all names differ.
        limits: `Limits`; None takes the default ones.
        labels: `labels.Labels`, or None.
    Returns:
        `Findings`.
    """
    limits = limits or Limits()
    names, rows, found, left_out, pictures = [], bytearray(), {}, Counter(), 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        thumbnails = _Thumbnails(file)
        for name, measured in measures:
            pictures += 1
            if isinstance(measured, Measures):
                thumbnails.add(measured.thumbnail)
                names.append(name)
                rows += measured.row()
            elif measured.unreadable:
                kind = "truncated" if TRUNCATED.search(measured.reason) else "unreadable"
                found.setdefault(kind, []).append(Finding(name, measured.reason))
            else:
                left_out[measured.reason] += 1
        crowd = Crowd(names, np.frombuffer(rows, ROW))
        groups, classes = _look(crowd, limits, labels, found)
        ordered = {kind: sorted(found[kind], key=lambda finding: -finding.severity) for kind in KINDS if found.get(kind)}
        shown = thumbnails.of(names, _shown(ordered, limits.shown))
    few = f"Fewer than {kinds.CROWD} pictures: which ones are blurred or lie the wrong way cannot be told."
    notes = [few] if len(names) < kinds.CROWD else []
    return Findings(pictures, len(names), ordered, limits, dict(left_out), groups, classes, notes, shown)


def _look(crowd, limits, labels, found):
    """Fill `found` with what the numbers of readable pictures tell; return groups of copies and counts of classes."""
    if not len(crowd.rows):
        return [], None
    repeats, groups = kinds.copies(crowd, limits)
    found.update(repeats)
    for kind in (kinds.small, kinds.upscaled, kinds.blurred):
        found[kind.__name__] = kind(crowd, limits)
    for several in (kinds.tones, kinds.colours, kinds.positions):
        found.update(several(crowd, limits))
    classes = class_counts(crowd.names, labels)
    if classes is not None:
        found["imbalance"] = kinds.imbalance(classes, limits)
    return groups, classes


def class_counts(names, labels):
    """Count the pictures of each class, empty ones included.

    Returns:
        `{class name or number as text: pictures}`; None without labels, or where they are vectors that mark nothing.
    """
    values = [] if labels is None else [value for value in map(labels.of, names) if value is not None]
    if not values:
        return None
    counted = count_labels(values, labels.class_names)
    if "classes" in counted:
        last = max(int(number) for number in counted["classes"])
        numbers = [(i, counted["classes"].get(str(i), 0)) for i in range(last + 1)]
    else:
        numbers = list(enumerate(counted.get("marked", ())))
    named = labels.class_names or ()
    return {named[i] if i < len(named) else str(i): number for i, number in numbers} or None


def _shown(found, most):
    """Names of the pictures that a page shows: the first of each kind, and what they are copies of."""
    first = [finding for kind, part in found.items() if kind != "imbalance" for finding in part[:most]]
    return {name for finding in first for name in (finding.name, finding.kept) if name is not None}


class _Thumbnails:
    """All thumbnails in a file, until it is known which are needed."""

    def __init__(self, file):
        self._file, self._ends = file, array("Q", [0])

    def add(self, thumbnail):
        self._file.write(thumbnail)
        self._ends.append(self._ends[-1] + len(thumbnail))

    def of(self, names, wanted):
        """`{name: JPEG bytes}`."""
        found = {}
        for name, start, end in zip(names, self._ends[:-1], self._ends[1:], strict=True):
            if name in wanted and end > start:
                self._file.seek(start)
                found[name] = self._file.read(end - start)
        return found

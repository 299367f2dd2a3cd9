"""Which pictures go into which dataset: those that failed go into none, some are dropped, some held out."""

from dataclasses import dataclass

from sgtool.datasets.holdout import choose_holdout, parse_holdout
from sgtool.datasets.targets import HELD_OUT, MAIN

NOWHERE = 2


@dataclass(frozen=True)
class Selection:
    """Where the pictures of a source go.

    Attributes:
        sides: bytearray `[number]` of `targets.MAIN`, `targets.HELD_OUT` or `NOWHERE`.
        dropped: `{index: reason}` of pictures that are fine, and yet left out.
    """

    sides: bytearray
    dropped: dict


def select(records, source, number, labels, request):
    """Choose a side for each picture.

    Args:
        records: of all shards, in order (`shards.Record`).
        source: `sources.Source`.
        number: of its pictures that are used.
        labels: `labels.Labels` or None.
        request: `Request`.
    Returns:
        `Selection`.
    """
    sides, groups, dropped = bytearray([NOWHERE]) * number, [], {}
    if request.measured:
        usable, groups, reasons = _judged(records, source, labels, request)
    else:
        usable, reasons = (record.index for record in records if record.failure is None), {}
    for index in usable:
        sides[index] = MAIN
    if reasons:
        dropped = {i: reasons[source.names[i]] for i in range(number) if sides[i] == MAIN and source.names[i] in reasons}
        for index in dropped:
            sides[index] = NOWHERE
    if request.holdout is not None:
        names = [source.names[i] for i in range(number) if sides[i] == MAIN]
        held_out = _held_out(names, request, labels, groups)
        for i in range(number):
            if sides[i] == MAIN and source.names[i] in held_out:
                sides[i] = HELD_OUT
    return Selection(sides, dropped)


def _judged(records, source, labels, request):
    """Compare the measures of all pictures; return indices of usable ones, groups of copies, and `{name: reason}` to drop."""
    from sgtool.datasets.findings import Failure, Measures  # late: SciPy is needed for these
    from sgtool.datasets.judge import judge

    usable = {}

    def measures():
        for record in records:
            if record.failure is None:
                usable[record.index] = None
            if record.edition == 0:
                name, data = source.names[record.index], record.extra.get("measures")
                yield name, Measures.from_bytes(data) if data else Failure(record.failure, record.unreadable)

    findings = judge(measures(), labels=labels)
    return usable, findings.groups, findings.to_drop(request.drop)


def _held_out(names, request, labels, groups):
    if not names:
        return frozenset()
    known = set(names)
    groups = [[name for name in group if name in known] for group in groups]
    return choose_holdout(names, parse_holdout(request.holdout), labels and _Classes(labels), groups)


class _Classes:
    """Labels by the names of pictures, those of frames too, as `choose_holdout` asks for them."""

    def __init__(self, labels):
        self._labels = labels

    def get(self, name):
        """The label of a picture, or None."""
        return self._labels.of(name)

"""metric-*.jsonl of a run: values over its snapshots, their intervals, the best one."""

import os
import re
from dataclasses import dataclass

from sgtool.reporting.history import NAN
from sgtool.reporting.tail import Tail, number, parsed

LOWER = re.compile(r"(clean_)?(fid|kid|swd|ppl|lpips|memorization)")
HIGHER = re.compile(r"(is|pr|precision|recall|density|coverage)(\d|_|$)")
MOST_FILES = 40
MOST_RESULTS = 12  # of one metric


@dataclass
class Measured:
    """One result of a metric over the run.

    Attributes:
        name: of the result, such as fid50k_full or pr50k3_full_recall.
        kimg, values, low, high: lists; low and high are NaN where no interval is told.
        best: place of the best value, None where neither more nor less is better.
    """

    name: str
    kimg: list
    values: list
    low: list
    high: list
    best: int | None


def best_of(name, values):
    """Return the place of the best value by the metric's name, None if the name does not tell which way is better."""
    told = [i for i, value in enumerate(values) if value == value]
    if not told or not (LOWER.match(name) or HIGHER.match(name)):
        return None
    return (min if LOWER.match(name) else max)(told, key=values.__getitem__)


class MetricFile:
    """A metric-NAME.jsonl that may grow."""

    def __init__(self, folder, name):
        self.tail = Tail(folder, f"metric-{name}.jsonl")
        self.name, self.rows, self.unreadable = name, [], 0

    def refresh(self):
        """Read what has been added."""
        lines, anew = self.tail.read()
        if anew:
            self.rows, self.unreadable = [], 0
        for line in lines:
            row = parsed(line)
            kimg = NAN if row is None else _kimg(row)
            if kimg == kimg and isinstance(row.get("results"), dict):
                intervals = row.get("intervals")
                self.rows.append((kimg, row["results"], intervals if isinstance(intervals, dict) else {}))
            else:
                self.unreadable += 1

    def results(self):
        """Return a `Measured` for each result. Where a snapshot was measured again, the last value counts."""
        last = {kimg: (results, intervals) for kimg, results, intervals in self.rows}
        names = list(dict.fromkeys(name for results, _ in last.values() for name in results))[:MOST_RESULTS]
        found = (self._result(name, sorted(last.items(), key=lambda item: item[0])) for name in names)
        return [result for result in found if any(value == value for value in result.values)]

    def _result(self, name, rows):
        kimg = [at for at, (results, _) in rows if name in results]
        values = [number(results[name]) for _, (results, _) in rows if name in results]
        ends = [_interval(intervals.get(name)) for _, (results, intervals) in rows if name in results]
        return Measured(name, kimg, values, [low for low, _ in ends], [high for _, high in ends], best_of(name, values))


def _interval(ends):
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        return NAN, NAN
    return number(ends[0]), number(ends[1])


def _kimg(row):
    """When a line was measured: as it says, or from the name of the snapshot, which is all that NVIDIA's code writes."""
    nimg = number(row.get("nimg"))
    if nimg == nimg and nimg >= 0:
        return nimg / 1000
    match = re.search(r"network-snapshot-(\d{1,9})\.pkl$", str(row.get("snapshot_pkl")))
    return float(match[1]) if match else NAN


class Metrics:
    """All metric files of a run."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}

    def refresh(self):
        """Look for files, read what they have gained."""
        for name in _names(self.folder):
            if name in self.files or len(self.files) < MOST_FILES:
                self.files.setdefault(name, MetricFile(self.folder, name)).refresh()

    def results(self):
        """Return {metric: list of its `Measured`}, without those that have none."""
        found = {name: file.results() for name, file in sorted(self.files.items())}
        return {name: results for name, results in found.items() if results}


def _names(folder):
    try:
        matches = [re.fullmatch(r"metric-(.{1,100})\.jsonl", name) for name in os.listdir(folder)]
    except OSError:
        return []
    return sorted(match[1] for match in matches if match)

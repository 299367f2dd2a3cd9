"""stats.jsonl as columns, and columns as few enough points for a page."""

from array import array

import numpy as np

from sgtool.reporting.tail import Tail, number, parsed

MOST_COLUMNS = 300
NAN = float("nan")


class History:
    """The columns of a run's stats.jsonl: a row a tick, NVIDIA's files too.

    Where a run went back (a rollback, a resume without the later ticks), the rows written afterwards are the ones that count.

    Attributes:
        kimg: array of floats, rising.
        columns: {name: array of the means}, of the same length or shorter; NaN = not told.
        unreadable: lines that were none.
        timestamp: of the last row, seconds since 1970; NaN = not told.
    """

    def __init__(self, folder):
        self.tail = Tail(folder, "stats.jsonl")
        self._clear()

    def _clear(self):
        self.kimg, self.columns, self.unreadable, self.timestamp = array("d"), {}, 0, NAN

    def refresh(self):
        """Read what has been added."""
        lines, anew = self.tail.read()
        if anew:
            self._clear()
        for line in lines:
            self._add(parsed(line))

    def _add(self, row):
        kimg = NAN if row is None else kimg_of(row)
        if kimg != kimg or kimg < 0:
            self.unreadable += 1
            return
        if self.kimg and kimg <= self.kimg[-1]:
            self._drop_from(kimg)
        place = len(self.kimg)
        self.kimg.append(kimg)
        for name, value in row.items():
            if isinstance(value, dict) and "mean" in value:
                self._put(name, place, number(value["mean"]))
        self.timestamp = number(row.get("timestamp"))

    def _put(self, name, place, value):
        column = self.columns.get(name)
        if column is None:
            if len(self.columns) >= MOST_COLUMNS:
                return
            column = self.columns[name] = array("d")
        column.extend([NAN] * (place - len(column)))
        column.append(value)

    def _drop_from(self, kimg):
        place = int(np.searchsorted(np.frombuffer(self.kimg), kimg))
        for column in (self.kimg, *self.columns.values()):
            del column[place:]

    def column(self, name):
        """Return a column as float64 `[ticks]`, None if it is not there or has no number."""
        if name not in self.columns:
            return None
        values = np.full(len(self.kimg), NAN)
        values[: len(self.columns[name])] = self.columns[name]
        return values if np.isfinite(values).any() else None

    def last(self, name, count=1):
        """Return the mean of the last `count` values of a column, NaN if it has none."""
        values = self.column(name)
        return NAN if values is None else float(np.mean(values[np.isfinite(values)][-count:]))


def kimg_of(row):
    """Thousands of pictures of a row: from `nimg`, or as NVIDIA's code writes it."""
    nimg = number(row.get("nimg"))
    if nimg == nimg:
        return nimg / 1000
    kimg = row.get("Progress/kimg")
    return number(kimg.get("mean")) if isinstance(kimg, dict) else NAN


def thin(values, most):
    """Turn a column into at most `most` points, without losing an extreme.

    Args:
        values: float64 `[n]`, NaN = not told.
        most: number of points.
    Returns:
        (mean, low, high) of as many neighbouring values as needed each, float64; low and high are None if n <= most.
    """
    if len(values) <= most:
        return values, None, None
    starts = buckets(len(values), most)
    told = np.isfinite(values)
    count = np.add.reduceat(told.astype(np.float64), starts)
    total = np.add.reduceat(np.where(told, values, 0.0), starts)
    mean = np.divide(total, count, out=np.full(most, NAN), where=count > 0)
    return mean, np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)


def buckets(n, most):
    """Return where each of `most` runs of neighbours begins among n values, n > most."""
    return np.arange(most) * n // most

"""What the page's script draws, as plain values."""

import math

import numpy as np

from sgtool.reporting.markup import figure, kimg_text, rounded
from sgtool.reporting.restore import as_plain

MOST_MARKS = 300


class Axes:
    """The kimg of curves, each list once."""

    def __init__(self):
        self.lists, self._places = [], {}

    def place(self, x):
        """Return the place of the list `x` in `lists`."""
        values = rounded(x, 7)
        key = tuple(values)
        if key not in self._places:
            self._places[key] = len(self.lists)
            self.lists.append(values)
        return self._places[key]


def payload(plots, runs):
    """Return the data of a page.

    Args:
        plots: list of `Drawn`.
        runs: list of `RunFolder`.
    """
    axes = Axes()
    drawn = [_plot(plot, axes) for plot in plots]
    ends = [value for values in axes.lists for value in values if value is not None]
    return {
        "x": axes.lists,
        "plots": drawn,
        "marks": [mark for i, run in enumerate(runs) for mark in _marks(run.events.events, i)],
        "runs": [_frames(run) for run in runs],
        "first": min(ends, default=0),
        "last": max(ends, default=1),
    }


def _plot(plot, axes):
    curves = []
    for curve in plot.curves:
        values = {"label": curve.label, "x": axes.place(curve.x), "y": rounded(curve.y), "run": curve.run}
        if curve.low is not None:
            values |= {"low": rounded(curve.low), "high": rounded(curve.high)}
        if curve.measured:
            values |= {"dots": True, "best": curve.best}
        curves.append(values)
    lines = [{"label": words, "y": value} for words, value in plot.lines]
    return {"title": plot.title, "unit": plot.unit, "log": plot.log, "curves": curves, "lines": lines}


def _marks(events, run):
    """The events that are drawn: at most `MOST_MARKS`, the latest."""
    return [{"kimg": event.kimg, "kind": event.kind, "text": event.text, "run": run} for event in events[-MOST_MARKS:]]


def _frames(run):
    """A run's sheets. The newest one is in the page itself."""
    frames = [
        {"kimg": frame.kimg, "label": frame.label, "source": frame.picture.source} | as_plain(frame.key, frame.picture)
        for frame in run.frames
    ]
    if frames:
        frames[-1]["source"] = None
    return {"name": run.name, "frames": frames}


def summary(curve):
    """A curve in words: [label, last, lowest, highest, best], as text."""
    y = np.asarray(curve.y, dtype=np.float64)
    told = np.flatnonzero(np.isfinite(y))
    if not len(told):
        return [curve.label, "–", "–", "–", "–"]
    low = y if curve.low is None or curve.measured else np.asarray(curve.low, dtype=np.float64)
    high = y if curve.high is None or curve.measured else np.asarray(curve.high, dtype=np.float64)
    ends = [_at(curve, low, np.nanargmin(low)), _at(curve, high, np.nanargmax(high))]
    best = "" if curve.best is None else _at(curve, y, curve.best)
    return [curve.label, figure(y[told[-1]]), *ends, best]


def _at(curve, values, place):
    kimg = float(curve.x[place])
    return f"{figure(float(values[place]))} at {kimg_text(kimg)}" if math.isfinite(kimg) else figure(float(values[place]))

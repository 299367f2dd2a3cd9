"""Which curves a page has, and their points."""

import math
import re
from dataclasses import dataclass, field

import numpy as np

from sgtool.reporting.history import thin
from sgtool.reporting.markup import kimg_text

POINTS = 600  # of a curve
BESIDE = re.compile(r"_reals$|_\d+x\d+$")  # results that stand beside another one: of real pictures, of one size
MOST_REPORTS = 5
OFTEN = 0.8  # share of the ticks that have a value, from which a gap is a gap
MOST_OTHERS = 24  # curves that no plot below knows


@dataclass(frozen=True)
class Plot:
    """A plot: one or more quantities on one axis.

    Attributes:
        title: what is seen.
        about: a sentence on how to read it.
        curves: ((column of stats.jsonl, name in the legend), ...).
        unit: of the axis.
        log: logarithmic where all values are positive.
        lines: ((name of a setting, words), ...): constants that belong beside the curves.
    """

    title: str
    about: str
    curves: tuple
    unit: str = ""
    log: bool = False
    lines: tuple = ()


PLOTS = (
    Plot("Losses", "What G and D minimize. They move against each other and need not fall.",
         (("Loss/G/loss", "G"), ("Loss/D/loss", "D"))),
    Plot("Scores of D", "What D gives: above 0 it takes a picture for real.",
         (("Loss/scores/real", "real"), ("Loss/scores/heldout", "held out"), ("Loss/scores/fake", "generated"))),
    Plot("Overfitting: r_t", "Mean sign of D's scores of real pictures. Above its target, D knows its pictures too well.",
         (("Progress/rt", "r_t"), ("Loss/signs/fake", "sign of generated")), lines=(("target", "target"),)),
    Plot("Augmentation: p", "How likely each augmentation is. At its limit, more pictures or a larger gamma help.",
         (("Progress/augment", "p"),), lines=(("p_max", "limit"),)),
    Plot("Real minus held-out score", "How much better D knows the pictures it is trained on: 0 is best.",
         (("Health/real_minus_heldout", "gap"),)),
    Plot("Overfitting: r_v", "The same as a share of the distance to generated pictures: 0 is none, 1 is complete.",
         (("Health/rv", "r_v"),)),
    Plot("Diversity", "How much generated pictures differ among themselves; 1 is as much as real ones. A fall is a collapse.",
         (("Health/diversity", "diversity"),)),
    Plot("Gradient norms", "Steady is good; a jump is a step that went wrong.",
         (("Gradients/G/norm", "G"), ("Gradients/D/norm", "D")), log=True),
    Plot("R1 penalty", "How steep D is around real pictures; gamma is its weight.",
         (("Loss/r1_penalty", "R1"),), log=True),
    Plot("Path length penalty", "How uneven the steps of pictures are for steps in W.",
         (("Loss/pl_penalty", "path length"),), log=True),
    Plot("Speed", "Seconds of training for a thousand pictures.", (("Timing/sec_per_kimg", "s/kimg"),), unit="s"),
    Plot("Time of a tick", "Where the time goes: training, the wait for data within it, and reports between ticks.",
         (("Timing/sec_per_tick", "training"), ("Timing/data_sec", "data"), ("Timing/maintenance_sec", "reports")),
         unit="s", log=True),
    Plot("Memory", "Peak of the process, and on the GPU.",
         (("Resources/cpu_mem_gb", "process"), ("Resources/peak_gpu_mem_gb", "GPU")), unit="GB"),
    Plot("Steps left out", "Steps whose gradients were no finite numbers, so far.", (("Progress/skipped_steps", "steps"),)),
)  # fmt: skip

NOT_DRAWN = {
    "Progress/tick", "Progress/kimg", "Timing/total_sec", "Timing/total_hours", "Timing/total_days",
    "Loss/signs/real", "Loss/D/reg", "Loss/G/reg",
}  # fmt: skip


@dataclass
class Curve:
    """Points of one quantity of one run.

    Attributes:
        label: its name in the legend.
        x, y: float lists or arrays, kimg and value; NaN = not told.
        low, high: range of each point, None without.
        run: which run it is of.
        measured: single values (with a dot each), not means over ticks.
        best: place of the best value, or None.
    """

    label: str
    x: object
    y: object
    low: object = None
    high: object = None
    run: int = 0
    measured: bool = False
    best: int | None = None


@dataclass
class Drawn:
    """A plot with its curves: what goes into the page."""

    title: str
    about: str
    unit: str
    log: bool
    curves: list
    lines: list = field(default_factory=list)  # [(words, value)]


def drawn_plots(run):
    """Return the plots of one run that have curves, the known ones, then metrics, then whatever else stats.jsonl has."""
    found = [_drawn(plot, run) for plot in (*PLOTS, reports_plot(run.history))]
    return [*metric_plots(run), *(plot for plot in found if plot.curves), *other_plots(run)]


def _drawn(plot, run):
    curves = [curve_of(run.history, name, label) for name, label in plot.curves]
    curves = [curve for curve in curves if curve is not None and not _is_idle(curve, plot)]
    values = [(words, run.settings.number(name)) for name, words in plot.lines]
    lines = [(words, value) for words, value in values if value == value and run.settings.values.get("aug", "ada") == "ada"]
    return Drawn(plot.title, plot.about, plot.unit, plot.log, curves, lines)


def _is_idle(curve, plot):
    """Whether a curve is 0 throughout and says nothing by that: a GPU that is not there, steps that were not left out."""
    return plot.title in ("Memory", "Steps left out") and not np.nansum(np.abs(curve.y)) > 0


def curve_of(history, name, label, run=0, points=POINTS):
    """Return the `Curve` of a column, None if the run has no such numbers. r_t of NVIDIA's runs is the mean sign of reals."""
    values = history.column(name)
    if values is None and name == "Progress/rt":
        values = history.column("Loss/signs/real")
    if values is None:
        return None
    kimg, told = np.array(history.kimg), np.isfinite(values)
    if told.mean() < OFTEN:  # measured now and then: the line goes from one value to the next
        kimg, values = kimg[told], values[told]
    mean, low, high = thin(values, points)
    return Curve(label, thin(kimg, points)[0], mean, low, high, run)


def reports_plot(history):
    """The seconds of the reports that take longest, in one plot."""
    found = [(history.column(name), name) for name in sorted(history.columns) if name.startswith("Timing/reports/")]
    totals = {name: float(np.nansum(values)) for values, name in found if values is not None}
    names = sorted(totals, key=totals.get, reverse=True)[:MOST_REPORTS]
    about = "Seconds at a tick of the reports that take longest."
    return Plot("Time of reports", about, tuple((name, name.split("/", 2)[2][:40]) for name in names), "s", True)


def metric_plots(run):
    """A plot for each metric of a run."""
    plots = []
    for name, results in run.metrics.results().items():
        different = [result for i, result in enumerate(results) if i == 0 or result.values != results[0].values]
        curves = [measured_curve(result, result.name) for result in different]
        best = next((curve for curve in curves if curve.best is not None), None)
        about = (
            "Measured at snapshots." if best is None else f"Best: {best.y[best.best]:.4g} at kimg {kimg_text(best.x[best.best])}."
        )
        plots.append(Drawn(f"Metric {name}", about, "", False, curves))
    return plots


def measured_curve(result, label, run=0):
    """The `Curve` of a `Measured`; if there are more values than points, the last ones."""
    first = max(len(result.kimg) - POINTS, 0)
    parts = [values[first:] for values in (result.kimg, result.values, result.low, result.high)]
    ends = parts[2:] if any(value == value for value in parts[2]) else (None, None)
    best = None if result.best is None or result.best < first else result.best - first
    return Curve(label, parts[0], parts[1], *ends, run, True, best)


def other_plots(run):
    """Quantities of stats.jsonl that no plot has, each in its own."""
    known = NOT_DRAWN | {name for plot in PLOTS for name, _ in plot.curves}
    names = [name for name in sorted(run.history.columns) if name not in known and not name.startswith("Timing/reports/")]
    curves = [(name, curve_of(run.history, name, name.rsplit("/", 1)[-1][:40])) for name in names]
    found = [Drawn(name[:80], "", "", False, [curve]) for name, curve in curves if curve is not None]
    return found[:MOST_OTHERS]


def compared_plots(runs):
    """The plots of several runs: one for each quantity, a curve for each run."""
    points = max(POINTS // math.ceil(len(runs) / 2), 100)
    plots = _compared_metrics(runs)
    for plot in PLOTS:
        for name, label in plot.curves:
            found = [curve_of(run.history, name, run.name, i, points) for i, run in enumerate(runs)]
            curves = [curve for curve in found if curve is not None and not _is_idle(curve, plot)]
            if curves:
                title = plot.title if len(plot.curves) == 1 or label in plot.title else f"{plot.title}: {label}"
                plots.append(Drawn(title, plot.about, plot.unit, plot.log, curves))
    return plots


def _compared_metrics(runs):
    plots = {}
    for i, run in enumerate(runs):
        for results in run.metrics.results().values():
            for result in results:
                if BESIDE.search(result.name):
                    continue
                curve = measured_curve(result, run.name, i)
                plots.setdefault(result.name, Drawn(f"Metric {result.name}", "Measured at snapshots.", "", False, []))
                plots[result.name].curves.append(curve)
    return list(plots.values())

"""The page of several runs: curves over one another, what differs in their options, pictures of the same moment."""

import os

from sgtool.reporting.markup import document, duration, figure, kimg_text, name, table, text
from sgtool.reporting.page import NOSCRIPT, curves_section, footer, pictures_section
from sgtool.reporting.payload import payload
from sgtool.reporting.plots import compared_plots
from sgtool.reporting.settings import differing


def comparison_page(runs):
    """Return the page of several `RunFolder` as text."""
    named(runs)
    plots = compared_plots(runs)
    body = "\n".join(
        [
            f'<header><p class="over">Comparison</p><h1>{len(runs)} training runs</h1>{_standing(runs)}</header>',
            f"<main>{NOSCRIPT}",
            _options(runs),
            pictures_section(runs),
            curves_section(plots, runs),
            f"</main>{footer([f'{run.name}: {note}' for run in runs for note in run.notes()])}",
        ]
    )
    return document(f"{len(runs)} runs compared", body, payload(plots, runs))


def named(runs):
    """Give runs of the same folder name, of different experiments, the part of their path that tells them apart."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return
    paths = [str(run.folder.resolve()) for run in runs]
    common = os.path.commonpath(paths)
    for run, path in zip(runs, paths, strict=True):
        run.name = os.path.relpath(path, common)


def _standing(runs):
    """How far each run is, and the best of its metrics."""
    metrics = list(dict.fromkeys(result.name for run in runs for result in _first_results(run)))[:6]
    rows = []
    for i, run in enumerate(runs):
        best = {result.name: result for result in _first_results(run)}
        cells = [_best(best.get(metric)) for metric in metrics]
        history = run.history
        rows.append(
            [f'<i class="c{i % 8}"></i>{name(run.name)}', text(run.state()), kimg_text(run.kimg),
             duration(history.last("Timing/total_sec")), figure(history.last("Timing/sec_per_kimg", 10), 3), *cells]
        )  # fmt: skip
    return table(
        ["run", "", "kimg", "trained for", "s/kimg", *(f"best {text(metric, 60)}" for metric in metrics)], rows, "standing"
    )


def _first_results(run):
    """Of each metric the first result, where it is told which way is better."""
    return [results[0] for results in run.metrics.results().values() if results[0].best is not None]


def _best(result):
    if result is None:
        return "–"
    return f"{figure(result.values[result.best])} <small>at {kimg_text(result.kimg[result.best])}</small>"


def _options(runs):
    rows = [[text(field), *(text(value) for value in values)] for field, values in differing([run.settings for run in runs])]
    if not rows:
        return "<section><h2>Options</h2><p>All runs have the same options.</p></section>"
    head = ["option", *(f'<i class="c{i % 8}"></i>{name(run.name)}' for i, run in enumerate(runs))]
    return f"<section><h2>Options that differ</h2>{table(head, rows, 'compared')}</section>"

"""The page of one run."""

from sgtool import __version__
from sgtool.reporting.markup import document, duration, figure, kimg_text, moment, name, table, text
from sgtool.reporting.payload import payload, summary
from sgtool.reporting.plots import drawn_plots
from sgtool.reporting.settings import reached

MOST_EVENTS = 200  # in the table
NOSCRIPT = (
    "<noscript><p>Curves and the slider need JavaScript; without it there are the newest pictures and the tables.</p></noscript>"
)


def run_page(run):
    """Return the page of a `RunFolder` as text."""
    plots = drawn_plots(run)
    body = "\n".join(
        [
            _head(run),
            f"<main>{NOSCRIPT}",
            pictures_section([run]),
            curves_section(plots, [run]),
            _events(run),
            _warnings(run),
            _configuration(run),
            f"</main>{footer(run.notes())}",
        ]
    )
    return document(f"{run.name}: {kimg_text(run.kimg)} kimg", body, payload(plots, [run]))


def _head(run):
    values = run.settings.values
    size = run.settings.cell()
    words = [text(values.get("dataset") or values.get("data") or "", 120)]
    if run.settings.number("num_images") > 0:
        words.append(f"{run.settings.number('num_images'):,.0f} pictures")
    words += [f"{size[1]}x{size[0]}"] if size else []
    words += [f"{text(values['c_dim'])} classes"] if run.settings.number("c_dim") > 0 else []
    words += [f"preset {text(values['cfg'], 40)}"] if isinstance(values.get("cfg"), str) else []
    words += [text(run.settings.program)]
    return (
        f'<header><p class="over">Training run, {text(run.state())}</p><h1>{name(run.name)}</h1>'
        f'<p class="lead">{" · ".join(word for word in words if word)}</p>{_progress(run)}{_tiles(run)}</header>'
    )


def _progress(run):
    share, total = reached(run.kimg, run.settings)
    if share != share:
        return f'<p class="far">{kimg_text(run.kimg)} kimg</p>'
    left = run.seconds_left()
    rest = f", about {duration(left)} left" if share < 1 and left == left else ""
    return (
        f'<p class="far"><b>{kimg_text(run.kimg)}</b> of {kimg_text(total)} kimg ({share:.0%}){rest}</p>'
        f'<progress value="{share:.4f}" max="1" aria-label="share of the run that is done"></progress>'
    )


def _tiles(run):
    history = run.history
    rt = history.last("Progress/rt") if "Progress/rt" in history.columns else history.last("Loss/signs/real")
    tiles = [
        ("trained for", duration(history.last("Timing/total_sec"))),
        ("last tick", moment(history.timestamp)),
        ("s/kimg", figure(history.last("Timing/sec_per_kimg", 10), 3)),
        ("p", figure(history.last("Progress/augment"), 3)),
        ("r_t", figure(rt, 3)),
    ]
    for results in run.metrics.results().values():
        tiles += [_metric_tile(result) for result in results[:1]]
    skipped = history.last("Progress/skipped_steps")
    tiles += [("steps left out", figure(skipped))] if skipped > 0 else []
    tiles += [("events", str(len(run.events.events)))] if run.events.events else []
    told = [(what, value) for what, value in tiles[:12] if value != "–"]
    return '<dl class="tiles">' + "".join(f"<div><dt>{text(what)}</dt><dd>{value}</dd></div>" for what, value in told) + "</dl>"


def _metric_tile(result):
    place = result.best if result.best is not None else max(i for i, value in enumerate(result.values) if value == value)
    when = f"<small> at {kimg_text(result.kimg[place])} kimg</small>"
    return f"{result.name[:60]}{', best' if result.best is not None else ''}", figure(result.values[place], 4) + when


def pictures_section(runs):
    """The newest sheet of each run, with a slider over time; for one run, real pictures beside it."""
    if not any(run.frames or run.reals for run in runs):
        return "<section><h2>Pictures</h2><p>There are none yet.</p></section>"
    figures = "".join(_fakes(run, i, len(runs) == 1) for i, run in enumerate(runs))
    figures += _reals(runs[0]) if len(runs) == 1 else ""
    slider = (
        '<div class="slider" hidden><button type="button" id="play" aria-label="play the pictures over time">▶</button>'
        '<input type="range" id="time" min="0" step="1" aria-label="pictures over time">'
        '<output id="when" for="time"></output></div>'
    )
    return f'<section id="pictures"><h2>Pictures</h2>{slider}<div class="sheets">{figures}</div></section>'


def _fakes(run, place, alone):
    if not run.frames:
        return f"<figure><p>No pictures yet.</p><figcaption>{name(run.name)}</figcaption></figure>" if not alone else ""
    frame = run.frames[-1]
    what = "Generated" if alone else name(run.name)
    return _sheet(frame, f"<b>{what}</b>, <span class=\"at\">{text(frame.label)}</span>", f'class="fakes" data-run="{place}"',
                  f"generated pictures of {run.name}")  # fmt: skip


def _reals(run):
    return "" if run.reals is None else _sheet(run.reals, "<b>Real</b>", 'class="reals"', "real pictures of the training data")


def _sheet(frame, caption, attributes, words):
    picture = frame.picture
    if picture.columns and (picture.columns, picture.rows) != picture.of:
        caption += f"; {picture.columns}x{picture.rows} of the {picture.of[0]}x{picture.of[1]} on the sheet"
    pixels = " pixels" if picture.width < 600 else ""
    cells = f' style="--columns:{picture.columns};--rows:{picture.rows}"' if picture.columns else ""
    return (
        f'<figure {attributes}><div class="{"cells" if cells else ""}"{cells}>'
        f'<img class="sheet{pixels}" src="{picture.source}" width="{picture.width}" height="{picture.height}" '
        f'alt="{text(words)}"></div><figcaption>{caption}</figcaption></figure>'
    )


def curves_section(plots, runs):
    """The plots. The script draws into them; what a screen reader reads is in words beside them."""
    if not plots:
        return "<section><h2>Curves</h2><p>There are no numbers yet: stats.jsonl gets a line at each tick.</p></section>"
    figures = "".join(_plot(plot, i, runs) for i, plot in enumerate(plots))
    return (
        '<section id="curves"><h2>Curves</h2><div class="controls" hidden>'
        '<label>from <input type="range" id="from" min="0" max="1000" value="0"></label>'
        '<label>to <input type="range" id="to" min="0" max="1000" value="1000"></label><output id="span"></output>'
        '<button type="button" id="whole">Whole run</button>'
        '<label><input type="checkbox" id="calm"> leave out the outermost 1 %</label></div>'
        '<p class="hint">Over thousands of real pictures shown (kimg). Point at a curve for its values, drag over a part to '
        f'see it larger, click for the pictures of that moment.</p>{_legend(runs)}<div class="plots">{figures}</div></section>'
    )


def _legend(runs):
    """The runs by colour, each with a box that shows or hides it; nothing for one run."""
    if len(runs) == 1:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" class="run" value="{i}" checked><i class="c{i % 8}"></i>{name(run.name)}</label>'
        for i, run in enumerate(runs)
    )
    return f'<div class="runs">{boxes}</div>'


def _plot(plot, place, runs):
    rows = [[text(cell, 120) for cell in summary(curve)] for curve in plot.curves]
    numbers = table(["", "last", "lowest", "highest", "best"], rows, "numbers")
    unit = f" <small>{text(plot.unit)}</small>" if plot.unit else ""
    return (
        f'<figure class="plot" data-plot="{place}"><figcaption><h3>{text(plot.title, 120)}{unit}</h3>'
        f'<p>{text(plot.about)}</p></figcaption><div class="values" aria-live="off"></div><div class="canvas"></div>'
        f'<p class="note"></p><details><summary>Numbers</summary>{numbers}</details></figure>'
    )


def _events(run):
    events = run.events.events
    if not events:
        return ""
    rows = [
        (f"{kimg_text(event.kimg)}", f'<span class="kind {_kind(event.kind)}">{text(event.kind)}</span>', text(event.text),
         moment(event.timestamp)) for event in reversed(events[-MOST_EVENTS:])
    ]  # fmt: skip
    more = f"<p>The last {MOST_EVENTS} of {len(events)}; events.jsonl has all.</p>" if len(events) > MOST_EVENTS else ""
    return f"<section><h2>Events</h2>{more}{table(['kimg', 'what', '', 'when'], rows, 'events')}</section>"


def _kind(kind):
    """How an event is coloured."""
    if kind in ("fault", "rollback", "collapse", "skip"):
        return "bad"
    return "good" if kind in ("done",) else "plain"


def _warnings(run):
    counts = run.warnings.counts
    if not counts:
        return ""
    items = "".join(f"<li>{text(line)}{f' <small>({count} times)</small>' if count > 1 else ''}</li>" for line, count in
                    list(counts.items())[-100:])  # fmt: skip
    return f"<section><h2>Warnings</h2><ul>{items}</ul></section>"


def _configuration(run):
    rows = [(text(field), text(value), text(reason)) for field, value, reason in run.settings.rows()]
    if not rows:
        return ""
    asked = [(field, value, reason) for field, value, reason in rows if reason == "as asked"]
    first = table(["option", "value", ""], asked, "options") if asked else ""
    return (
        f"<section><h2>Configuration</h2>{first}<details><summary>All {len(rows)} values, with reasons</summary>"
        f"{table(['option', 'value', 'why'], rows, 'options')}</details></section>"
    )


def footer(notes):
    """Who wrote the page, and what is not in it."""
    left_out = "".join(f"<li>{text(note)}</li>" for note in notes[:50])
    return f"<footer><p>Written by sgtool {__version__}.</p>{f'<ul>{left_out}</ul>' if left_out else ''}</footer>"

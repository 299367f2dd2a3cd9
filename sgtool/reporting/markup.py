"""Text and data inside a page: whatever a run folder contains stays text."""

import base64
import hashlib
import html
import json
import math
import time
from functools import cache
from pathlib import Path

LONGEST = 600  # letters


def text(value, longest=LONGEST):
    """Text for a page: shortened, markup taken for text, no control characters."""
    value = str(value)
    if len(value) > longest:
        value = f"{value[: longest // 2]}…{value[-longest // 2 :]}"
    return html.escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value))


def name(value):
    """A name that somebody chose, for a page: as `text`, its direction kept to itself."""
    return f"<bdi>{text(value, 200)}</bdi>"


def as_script(values):
    """JSON inside <script type="application/json">: no letter in it ends the element or begins a comment."""
    found = json.dumps(values, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def rounded(values, digits=5):
    """Floats for JSON: `digits` significant ones, None for what is no finite number, [] for None."""
    if values is None:
        return []
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in map(float, values)]


def figure(value, digits=4):
    """A number for people; a dash for what is none."""
    return f"{value:.{digits}g}" if math.isfinite(value) else "–"


def kimg_text(kimg):
    """Thousands of pictures for people: 0.03, 30, 12,345.6; a dash for what is no number."""
    if not math.isfinite(kimg):
        return "–"
    return f"{kimg:.3g}" if abs(kimg) < 10 else f"{kimg:,.1f}".removesuffix(".0")


def duration(seconds):
    """Seconds in words: 45 s, 12 min, 3 h 07 min, 2 d 04 h; a dash for what is no number."""
    if not 0 <= seconds < 1e10:
        return "–"
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60:02d} h"


def moment(timestamp):
    """A moment in words, local time; a dash for what is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(timestamp))
    except (ValueError, OverflowError, OSError):
        return "–"


def table(head, rows, kind=""):
    """A table; cells are markup already. The first cell of a row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n' for first, *rest in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


@cache
def part(file):
    """A file beside this one, as text."""
    return Path(__file__).with_name(file).read_text(encoding="utf-8")


def document(title, body, data):
    """The whole page. Nothing but its own script runs in it, and nothing is loaded from anywhere.

    Args:
        title: plain text.
        body: markup.
        data: plain values for the script.
    """
    script, style = part("plot.js") + part("page.js"), part("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="generator" content="sgtool report">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style></head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{as_script(data)}</script>\n<script>{script}</script>\n</body></html>\n'
    )

"""One finding of the doctor, and findings as text and as JSON."""

import json
import math
from dataclasses import asdict, dataclass, field

from sgtool import __version__

STATES = ("broken", "slow", "missing", "ok")  # the worst first
NAME_WIDTH = 28


@dataclass(frozen=True)
class Row:
    """What one check found.

    state: "ok"; "missing": something optional is not there; "slow": results are right, but take longer than this machine needs;
    "broken": a result would be wrong, or training and generating cannot run. All but "ok" have a remedy.
    """

    name: str
    found: str  # a few words
    state: str = "ok"
    remedy: str | None = None  # a sentence with the command that mends it
    details: dict = field(default_factory=dict)  # numbers for programs

    def __post_init__(self):
        if self.state not in STATES:
            raise ValueError(f"the state must be one of {', '.join(STATES)}, not {self.state!r}")
        if (self.state == "ok") != (self.remedy is None):
            raise ValueError(f"{self.name}: a row has a remedy exactly if it is not ok")


def guarded(name, remedy, check, *arguments):
    """Run a check and return its rows; an error of any kind becomes a row that is broken and carries the error's text.

    Args:
        name: of the row if the check fails.
        remedy: of that row; begins a sentence that ends with the error.
        check: function that returns a `Row` or a list of them.
    """
    try:
        rows = check(*arguments)
    except Exception as error:
        text = f"{type(error).__name__}: {first_line(error)}"
        return [Row(name, text, "broken", f"{remedy} ({text})")]
    return [rows] if isinstance(rows, Row) else list(rows)


def first_line(error):
    """Return the first line of an error's text, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no message"


def line(row):
    """Return a row as a line of the table: state, name, what was found."""
    return f"{row.state:<8} {row.name:<{NAME_WIDTH}} {row.found}"


def problems(rows):
    """Return the rows that are not ok, the worst first."""
    return sorted((row for row in rows if row.state != "ok"), key=lambda row: STATES.index(row.state))


def verdict(rows):
    """Return the last lines: one for each problem, the worst first, or that there is none."""
    return [f"{row.state}: {row.name}: {row.remedy}" for row in problems(rows)] or ["Everything is in order."]


def exit_code(rows):
    """Return 1 if something is broken, else 0."""
    return int(any(row.state == "broken" for row in rows))


def as_json(rows):
    """Return all as one JSON object: version, whether nothing is broken, rows, problems as in `verdict`, the worst first."""
    report = {
        "sgtool": __version__,
        "ok": exit_code(rows) == 0,
        "rows": [_finite(asdict(row)) for row in rows],
        "problems": [f"{row.name}: {row.remedy}" for row in problems(rows)],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def _finite(value):
    """JSON has no NaN and no infinity: they become null; numbers keep four digits."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value

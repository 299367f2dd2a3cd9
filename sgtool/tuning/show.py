"""What a ladder tells at its end: a table, a sheet of pictures, and the command line to go on with."""

import math
import shlex

from sgtool.latents.sheet import write_sheet
from sgtool.tuning.judge import COLUMNS
from sgtool.tuning.ladder import number
from sgtool.tuning.outcome import why_lost

PICTURE = "tune.png"
SMALLEST = 64  # pixels that a picture has on the sheet at least, by enlarging its pixels


def table(outcomes, chosen, msssim_reals):
    """Return the lines of the table: settings, distance, variety, r_t, skipped steps and losses of each rung.

    Args:
        outcomes: list of `Outcome`.
        chosen: one of them, or None.
        msssim_reals: of the real pictures.
    """
    names = ("gamma", "glr", "dlr", "swd", "msssim", "r_t", "p", "skipped", "loss G", "loss D", "")
    rows = [names]
    for outcome in outcomes:
        lost = why_lost(outcome, msssim_reals)
        note = "<- chosen" if outcome is chosen else f"lost: {lost}" if lost else ""
        rt = "-" if outcome.rt is None else f"{outcome.rt:.2f}"
        figures = [_short(outcome.swd, 1), _short(outcome.msssim, 3), rt, f"{outcome.p:.3f}", str(outcome.skipped)]
        settings = [number(value) for value in (outcome.gamma, outcome.glr, outcome.dlr)]
        rows.append((*settings, *figures, _short(outcome.loss_G, 3), _short(outcome.loss_D, 3), note))
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)) + "  " + row[-1] for row in rows]
    return [line.rstrip() for line in lines] + [f"real pictures: msssim {msssim_reals:.3f}"]


def _short(value, digits):
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def write_picture(folder, judge, rows, recipe):
    """Write tune.png: a row of real pictures, then one a rung, of the same latents.

    Args:
        folder: where.
        judge: `Judge`.
        rows: {label: generator, or a callable that gives one}.
        recipe: dict, kept in the PNG.
    """
    height, width = judge.reals.shape[2:]

    def pictures():
        yield list(judge.real_row)
        for network in rows.values():
            yield list(judge.row(network()))

    return write_sheet(
        folder / PICTURE,
        pictures(),
        COLUMNS,
        (height, width),
        judge.reals.shape[1],
        recipe,
        number_of_rows=len(rows) + 1,
        enlarge=max(1, round(SMALLEST / max(height, width))),
        gap=2,
        row_labels=["real pictures", *rows],
    )


def command_line(data, words, options, outdir="runs"):
    """Return the `sgtool train` line with the chosen settings, quoted for a shell.

    Args:
        data: path of the dataset.
        words: list of what was passed on, as it was typed.
        options: {name: number} of the chosen rung.
    """
    settings = [text for name, value in options.items() for text in (f"--{name}", number(value))]
    return shlex.join(["sgtool", "train", "--outdir", outdir, "--data", str(data), *words, *settings])

"""Results as a table for people, as lines of JSON for programs, and as a sheet of pairs for the eye."""

import contextlib
import math
import os
import time
from dataclasses import dataclass

import numpy as np

from sgtool.errors import UserError
from sgtool.files import json_line, try_lock
from sgtool.latents.recipes import refuse_strangers
from sgtool.latents.sheet import write_sheet

PAIRS = 10  # on a sheet
SHOWN = 96  # pixels that a cell has at least


@dataclass(frozen=True)
class Result:
    """A protocol's numbers, and how they came about."""

    protocol: object  # `Protocol`
    measured: object  # `Measured`, the mean over repeats
    repeats: list  # of {name: value}, one for each repeat; empty for a single one
    seconds: float
    about: dict  # plain values: everything that decided the numbers


def table(results):
    """Return the lines of a table: name, value, interval or spread over repeats."""
    rows = []
    for result in results:
        for name, value in result.measured.values.items():
            rows.append((name, f"{value:.6g}", _spread(result, name)))
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return [f"{name:<{widths[0]}}  {value:>{widths[1]}}  {spread}".rstrip() for name, value, spread in rows]


def _spread(result, name):
    if result.repeats:
        values = [repeat[name] for repeat in result.repeats]
        return f"+- {np.std(values, ddof=1):.2g} over {len(values)} repeats"
    if name in result.measured.intervals:
        return "95 %: {:.6g} to {:.6g}".format(*result.measured.intervals[name])
    return ""


def line(result, network=None, processes=1, **facts):
    """Return a result as one line of JSON; the first fields are those of stylegan2-ada-pytorch.

    Args:
        result: `Result`.
        network: the model's file name, or None.
        processes: how many have measured; stylegan2-ada-pytorch has one for each GPU.
        facts: more fields, plain values.
    """
    protocol, measured = result.protocol, result.measured
    values = {
        "results": measured.values,
        "metric": protocol.name,
        "total_time": result.seconds,
        "total_time_str": _duration(result.seconds),
        "num_gpus": processes,
        "snapshot_pkl": network,
        "timestamp": time.time(),
        "num": protocol.count,
        "intervals": {name: list(ends) for name, ends in measured.intervals.items()},
        "repeats": result.repeats,
        "protocol": {
            "name": protocol.name,
            "metric": protocol.metric,
            "settings": {**protocol.settings, **measured.settings},
            **result.about,
        },
    }
    return json_line(values | facts)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m")) if n]
    return " ".join([*words, f"{seconds:02d}s" if words else f"{seconds}s"])


def path_in(folder, protocol):
    """Return the file of a protocol's results in a folder."""
    return folder / f"metric-{protocol.name}.jsonl"


def append(path, text):
    """Add a line to a file, or nothing of it. Several processes may do so at once.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with open(path, "ab+", buffering=0) as file:
            _lock(file)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            data = (b"\n" if file.read(1) not in (b"", b"\n") else b"") + text.encode() + b"\n"
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror or error}. Free some space or choose another --outdir."
        ) from error


def _lock(file):
    """Wait until no other process writes to a file; on disks where nothing can be locked, go on without."""
    with contextlib.suppress(OSError):
        while not try_lock(file):
            time.sleep(0.05)


def write_pairs(path, protocol, found, made, real, recipe):
    """Write the generated pictures that lie nearest to training pictures, each beside the one it lies near to.

    Args:
        path: the file; replaced if it carries a recipe.
        protocol: `Protocol`.
        found: `metrics.Memorization`.
        made, real: `pictures.Made` or `Stored`, both.
        recipe: dict kept in the file.
    Returns:
        `path`.
    """
    refuse_strangers(path.parent, [path.name])
    nearest = np.argsort(found.distances, kind="stable")[:PAIRS]
    left, right = made.batch(made.choose(protocol.count, protocol.choice, 0)[nearest]), real.batch(found.indices[nearest])
    rows = [[a, b] for a, b in zip(left.transpose(0, 2, 3, 1), right.transpose(0, 2, 3, 1), strict=True)]
    channels, *size = made.shape
    labels = [f"{found.distances[i]:.3g}" for i in nearest]
    recipe = {**recipe, "metric": protocol.name, "generated": nearest.tolist(), "real": found.indices[nearest].tolist()}
    return write_sheet(
        path, rows, 2, tuple(size), channels, recipe, number_of_rows=len(rows), enlarge=max(1, math.ceil(SHOWN / min(size))),
        gap=2, row_labels=labels, column_labels=["made", "nearest"],
    )  # fmt: skip

"""How well a picture was projected, in numbers and as a sheet."""

import math

import numpy as np
import torch

from sgtool import images
from sgtool.latents.sheet import write_sheet
from sgtool.metrics.similarity import psnr, ssim

AMPLIFIED = 4  # how much stronger differences are shown than they are
SHOWN = 20  # rows of the table on the screen
LONGEST_NAME = 40


def score(targets, found, distance, device):
    """Compare pictures with their targets.

    Args:
        targets, found: uint8 `[N, H, W, C]`.
        distance: `perceptual.Distance`.
        device: where it is computed.
    Returns:
        list of {"psnr": dB or None where they are equal, "ssim", "distance"}.
    """
    with torch.inference_mode():
        sides = [images.to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2)).to(device) for pixels in (targets, found)]
        distances = distance.between(*sides).cpu().tolist()
    rows = zip(psnr(targets, found).tolist(), ssim(targets, found).tolist(), distances, strict=True)
    return [{"psnr": a if math.isfinite(a) else None, "ssim": b, "distance": c} for a, b, c in rows]


def table(scores, unit):
    """Return the scores as lines of text, the median last.

    Args:
        scores: list of {"name", "psnr", "ssim", "distance"}.
        unit: name of the distance.
    """
    width = max([len("median"), *(min(len(row["name"]), LONGEST_NAME) for row in scores)])
    lines = [f"{'':{width}s}  PSNR dB    SSIM  {unit}"]
    lines += [_line(row, width, unit) for row in scores[:SHOWN]]
    if len(scores) > SHOWN:
        lines.append(f"... {len(scores) - SHOWN} more in scores.json")
    if len(scores) > 1:
        lines.append(_line({"name": "median", **medians(scores)}, width, unit))
    return lines


def medians(scores):
    """Return the median of each number, equal pictures counting as infinitely good."""
    columns = {key: [row[key] for row in scores] for key in ("psnr", "ssim", "distance")}
    columns["psnr"] = [math.inf if value is None else value for value in columns["psnr"]]
    found = {key: float(np.median(values)) for key, values in columns.items()}
    return found | {"psnr": found["psnr"] if math.isfinite(found["psnr"]) else None}


def _line(row, width, unit):
    decibels = "  equal" if row["psnr"] is None else f"{row['psnr']:7.2f}"
    return f"{row['name'][:LONGEST_NAME]:{width}s}  {decibels}  {row['ssim']:6.3f}  {row['distance']:{len(unit)}.4f}"


def difference(target, found):
    """Return how much two pictures differ, `AMPLIFIED` times, as a picture; alpha of the result is full."""
    gap = np.minimum(np.abs(target.astype(np.int16) - found) * AMPLIFIED, 255).astype(np.uint8)
    if gap.shape[2] in (2, 4):
        gap[..., :-1] = np.maximum(gap[..., :-1], gap[..., -1:])
        gap[..., -1] = 255
    return gap


def write_comparison(path, rows, number, size, channels, recipe, names=None, enlarge=1):
    """Write a sheet of target, projection and difference, a row for each picture.

    Args:
        path: the PNG.
        rows: iterable of (target, projection), uint8 `[H, W, C]`; it may be lazy.
        number: of rows.
        size: (height, width).
        channels: C.
        recipe: dict.
        names: of the rows, or None.
        enlarge: each pixel is a block of so many a side.
    """
    cells = ([target, found, difference(target, found)] for target, found in rows)
    heads = ["target", "projection", f"difference x{AMPLIFIED}"]
    write_sheet(
        path, cells, 3, size, channels, {**recipe, "difference": f"{AMPLIFIED} times what it is"}, number_of_rows=number,
        enlarge=enlarge, gap=2, row_labels=names, column_labels=heads,
    )  # fmt: skip


def enlargement(size):
    """How much to enlarge small pictures on a sheet, so that one can see them: to 96 pixels and more."""
    return max(1, min(8, -(-96 // max(size))))

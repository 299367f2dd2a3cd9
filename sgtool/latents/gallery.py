"""Pictures as files: named by seed and class, each with the recipe that makes it again, and all on one sheet."""

import json
import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from sgtool import __version__, images, snapshots
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.latents.generate import generate, picture_size
from sgtool.memory import keep_freed_memory
from sgtool.networks import describe_precision, set_precision
from sgtool.options import numbers_text
from sgtool.snapshots.inert import shown

RECIPE = "sgtool"  # key of the PNG text that holds the recipe
SHEET = "grid.png"
SHEET_BYTES = 1 << 29  # pixels of the largest sheet; it is held in memory


def generate_files(
    network, outdir, seeds, classes=None, *,
    device="cpu", precision="auto", batch=None, grid=True, columns=None, enlarge=1, gap=0, offline=False, progress=False,
    warn=warnings.warn, say=lambda text: None, **look,
):  # fmt: skip
    """Write the pictures of seeds as `seed0085.png`, and all of them on one sheet as `grid.png`.

    For several classes each seed is shown in each class, as `seed0085-class3.png`, and the sheet has a row per class.
    Each file carries its recipe as JSON in the PNG text "sgtool". Files of the same names are replaced if they carry
    one too; any other file is left alone and stops the call before anything is computed.

    Args:
        network: model file, run folder, URL or known name, see `snapshots.find`.
        outdir: folder to write to; made if need be.
        seeds: list of whole numbers.
        classes: list of class numbers; needed for a network with labels, ignored with a warning for one without.
        device: "cpu", "cuda" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16": type of the highest resolutions.
        batch: pictures computed at once, see `generate`.
        grid: write grid.png too if there is more than one picture.
        columns: pictures in a row of the sheet; None = a row per class, or about square.
        enlarge: each pixel is a block of so many pixels a side on the sheet; the single files stay as they are.
        gap: pixels between pictures on the sheet.
        offline: download nothing.
        progress: show bars with rate and time left on stderr.
        warn: called with the text of each warning.
        say: called with lines on a download, on what a foreign file left open, and on how it is computed.
        look: truncation_psi, truncation_cutoff and noise_mode, as for `generate`.
    Returns:
        (number of pictures, path of the sheet or None).
    Raises:
        UserError: whatever the user can mend.
    """
    path = snapshots.find(network, offline=offline, progress=progress, say=say)
    outdir = make_folder(outdir, "--outdir")
    snapshot = snapshots.load(path, networks=())
    for note in snapshot.notes:
        say(note)
    device = torch.device(device)
    if device.type == "cpu":
        keep_freed_memory()
    G = snapshot.G_ema.to(device)
    set_precision(G, precision)
    computed_in, cautions = describe_precision(G, precision, device)
    for text in cautions:
        warn(text)
    look = _checked_look(G, **look)
    classes = _known_classes(G.c_dim, classes, path, snapshot.dataset.get("class_names"), warn)
    cells = [_Cell(seed, number, _file_name(seed, number if len(classes) > 1 else None)) for number in classes for seed in seeds]
    columns = columns or (len(seeds) if len(classes) > 1 else None)
    sheet = _sheet_for(G, len(cells), columns, enlarge, gap, warn) if grid else None
    _refuse_strangers(outdir, [cell.name for cell in cells] + ([] if sheet is None else [SHEET]))

    say(f"Computing in {computed_in} on {device}.")
    recipe = {"version": __version__, "network": path.name, "network_sha256": snapshots.network_hash(path), **look}
    recipe["precision"] = computed_in
    pictures = generate(G, [cell.seed for cell in cells], [cell.number for cell in cells], batch=batch, **look)
    bar = tqdm(pictures, total=len(cells), unit="img", disable=None if progress else True)
    for i, (cell, picture) in enumerate(zip(cells, bar, strict=True)):
        images.save_png(outdir / cell.name, picture, _texts({**recipe, "seed": cell.seed, "class": cell.number}))
        if sheet is not None:
            sheet.put(i, picture)
    if sheet is None:
        return len(cells), None
    recipe |= {"seeds": numbers_text(seeds), "classes": None if classes == [None] else numbers_text(classes)}
    images.save_png(outdir / SHEET, sheet.pixels, _texts(recipe))
    return len(cells), outdir / SHEET


class _Cell(NamedTuple):
    """One picture to make."""

    seed: int
    number: int | None  # class
    name: str


def _checked_look(G, truncation_psi=1.0, truncation_cutoff=None, noise_mode="const"):
    if not math.isfinite(truncation_psi):
        raise UserError(f"--trunc {truncation_psi} is not a number to work with. Give 1 for no truncation, or less, like 0.7.")
    if truncation_cutoff is not None and not 0 <= truncation_cutoff <= G.num_ws:
        raise UserError(f"--trunc-cutoff {truncation_cutoff}: the network has {G.num_ws} layers. Give 0 to {G.num_ws}.")
    return {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff, "noise_mode": noise_mode}


def _known_classes(c_dim, classes, path, names, warn):
    """Return the classes to show, [None] for a network without labels, after checking them against the network."""
    if c_dim == 0:
        if classes is not None:
            warn(f"{path.name} was trained without classes: --class changes nothing.")
        return [None]
    known = f"{path.name} knows the classes 0 to {c_dim - 1}"
    if isinstance(names, list) and len(names) == c_dim and [str(i) for i in range(c_dim)] != [str(name) for name in names]:
        listed = [f"{i} {shown(str(name), most=40)}" for i, name in enumerate(names[:20])]
        known += f" ({', '.join(listed)}{', ...' if c_dim > len(listed) else ''})"
    if classes is None:
        raise UserError(f"--class is missing: {known}. Give one of them, or --class 0-{c_dim - 1} for all.")
    for number in classes:
        if not 0 <= number < c_dim:
            raise UserError(f"--class {number} does not exist: {known}. Give one of them.")
    return classes


def _file_name(seed, number):
    return f"seed{seed:04d}.png" if number is None else f"seed{seed:04d}-class{number}.png"


def is_ours(path):
    """Tell whether the file at `path` is a picture that carries a recipe, and so may be replaced."""
    try:
        if not path.is_file():  # opening a pipe would wait
            return False
        with Image.open(path) as picture:
            return RECIPE in picture.info
    except (OSError, ValueError):
        return False


def _refuse_strangers(outdir, names):
    """Raise UserError if a file would be replaced that was not made from a recipe."""
    for path in (outdir / name for name in names):
        if path.exists() and not is_ours(path):
            raise UserError(f"{path} is no picture made by sgtool, so it is not replaced. Move it or choose another --outdir.")


def _texts(recipe):
    """Return the PNG texts of a recipe: itself as JSON, and the program."""
    return {RECIPE: json.dumps(recipe), "Software": f"sgtool {__version__}"}


class _Sheet:
    """A sheet of pictures, filled one by one; gaps and empty cells are black (transparent)."""

    def __init__(self, height, width, channels, rows, columns, enlarge, gap):
        self.height, self.width, self.columns = height, width, columns
        self.enlarge, self.gap = enlarge, gap
        self.pixels = np.zeros([rows * (height + gap) - gap, columns * (width + gap) - gap, channels], np.uint8)

    def put(self, index, picture):
        """Put `picture` `[H, W, C]` into cell `index`, counted row by row."""
        row, column = divmod(index, self.columns)
        picture = picture.repeat(self.enlarge, axis=0).repeat(self.enlarge, axis=1)
        y, x = row * (self.height + self.gap), column * (self.width + self.gap)
        self.pixels[y : y + self.height, x : x + self.width] = picture


def _sheet_for(G, number, columns, enlarge, gap, warn):
    """Return an empty sheet for `number` pictures of `G`; None if there is one picture, or, with a warning, too many."""
    if number < 2:
        return None
    columns = min(columns or math.ceil(math.sqrt(number)), number)
    rows = math.ceil(number / columns)
    height, width = (side * enlarge for side in picture_size(G))
    sides = rows * (height + gap), columns * (width + gap)
    if math.prod(sides) * G.img_channels > SHEET_BYTES or max(sides) > 65535:
        warn(f"{number} pictures of {width}x{height} are too many for one sheet: {SHEET} is not written.")
        return None
    return _Sheet(height, width, G.img_channels, rows, columns, enlarge, gap)

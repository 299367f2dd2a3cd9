"""Pictures as files: named by seed and class, each with the recipe that makes it again, and all on one sheet."""

import itertools
import math
import warnings
from typing import NamedTuple

from tqdm import tqdm

from sgtool import images, snapshots
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.grammar import Mixture, Seed, Stored, latents_text
from sgtool.latents.file import unique_names
from sgtool.latents.generate import generate, picture_size, render
from sgtool.latents.model import checked_truncation, open_model
from sgtool.latents.recipes import refuse_strangers, texts
from sgtool.latents.sheet import write_sheet
from sgtool.latents.sources import check_items, gather, labels_of, name_of_seed, tell_of_truncation
from sgtool.options import numbers_text

SHEET = "grid.png"


def generate_files(
    network, outdir, seeds, classes=None, *, projected_w=None,
    device="cpu", precision="auto", batch=None, grid=True, columns=None, enlarge=1, gap=0, offline=False, progress=False,
    warn=warnings.warn, say=lambda text: None, **look,
):  # fmt: skip
    """Write the pictures of latents as `seed0085.png`, `face.png` ..., and all of them on one sheet as `grid.png`.

    For several classes each seed is shown in each class, as `seed0085-class3.png`, and the sheet has a row per class; what
    has a class of its own or needs none (`85@3`, saved latents) is shown once, after them. Each file carries its recipe as
    JSON in the PNG text "sgtool". Files of the same names are replaced if they carry one too; any other file is left alone
    and stops the call before anything is computed.

    Args:
        network: model file, run folder, URL or known name, see `snapshots.find`.
        outdir: folder to write to; made if need be. Latents of projected pictures are kept there too.
        seeds: what `grammar.parse_latents` gives; whole numbers are seeds.
        classes: list of class numbers; needed for seeds of a network with labels, ignored with a warning for one without.
        projected_w: file of latents, whose pictures are called `proj00.png`, ...; then `seeds` are left out with a warning.
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
        (number of single pictures, path of the sheet or None).
    Raises:
        UserError: whatever the user can mend.
    """
    items = [Seed(item) if isinstance(item, int) else item for item in seeds or []]
    if projected_w is not None:
        items = [Stored(str(projected_w))]
    check_items(items)
    if projected_w is not None and seeds:
        warn("--seeds is left out, because --projected-w is given.")
    path = snapshots.find(network, offline=offline, progress=progress, say=say)
    outdir = make_folder(outdir, "--outdir")
    model = open_model(path, device=device, precision=precision, warn=warn, say=say)
    look = _checked_look(model.G, **look)
    job = _planned(model, items, classes, batch, look, outdir, {"warn": warn, "say": say, "progress": progress})
    if projected_w is not None:
        job = job._replace(names=[f"proj{i:02d}.png" for i in range(len(job.names))])
    number = len(job.names)
    columns = min(columns or job.columns or math.ceil(math.sqrt(number)), number)
    grid = grid and number > 1
    refuse_strangers(outdir, job.names + [SHEET] * grid)

    say(f"Computing in {model.computed_in} on {model.device}.")
    written = _written(outdir, job, tqdm(job.pictures, total=number, unit="img", disable=None if progress else True))
    if grid:
        _write_grid(outdir / SHEET, job, written, columns, model.G, {"enlarge": enlarge, "gap": gap})
    for _ in written:  # without a sheet, which takes them all
        pass
    return len(set(job.names)), outdir / SHEET if grid else None


class _Job(NamedTuple):
    """What is made."""

    names: list  # of files
    recipes: list  # of each picture, without what all have in common
    pictures: object  # yields them
    common: dict  # recipe
    whole: dict  # what the sheet's recipe says besides
    columns: int | None  # of the sheet


def _checked_look(G, truncation_psi=1.0, truncation_cutoff=None, noise_mode="const"):
    checked_truncation(G, truncation_psi, truncation_cutoff)
    return {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff, "noise_mode": noise_mode}


def _planned(model, items, classes, batch, look, outdir, talk):
    """Return the `_Job` that makes the pictures of `items`."""
    shown, label, columns = _in_classes(model, items, classes, talk["warn"])
    known = None if classes is None or not model.G.c_dim else numbers_text(classes)
    common, whole = {**model.recipe(), **look}, {"seeds": latents_text(items), "classes": known}
    if all(isinstance(item, Seed) for item in shown):  # any number of them: their latents are computed when they are needed
        labels = labels_of(model, shown, label, talk["warn"])
        pictures = generate(model.G, [seed.number for seed in shown], labels, batch=batch, **look)
        recipes = [{"seed": seed.number, "class": number} for seed, number in zip(shown, labels, strict=True)]
        names = [name_of_seed(seed, number) for seed, number in zip(shown, labels, strict=True)]
        return _Job([f"{name}.png" for name in names], recipes, pictures, common, whole, columns)
    tell_of_truncation(shown, look["truncation_psi"], talk["warn"])
    truncation = {key: look[key] for key in ("truncation_psi", "truncation_cutoff")}
    latents = gather(shown, model, outdir, label=label, **truncation, **talk)
    seeds = (latents.noise_seed(i) for i in range(len(latents)))
    pictures = render(model.G, latents.ws, look["noise_mode"], batch, seeds)
    names = [f"{name}.png" for name in unique_names(latents.names, latents.recipes, taken=["grid"])]
    common = {**model.recipe(), "noise_mode": look["noise_mode"]}  # truncation is of seeds, in their own recipes
    return _Job(names, latents.recipes, pictures, common, {**truncation, **whole, "latents": latents.recipes}, columns)


def _in_classes(model, items, classes, warn):
    """Return what is shown, the class of seeds that have none, and how many pictures a row of the sheet has, None = any.

    With several classes each seed that has none is shown in each, and then the rest.
    """
    if classes is not None and model.G.c_dim:
        model.checked_classes(classes, warn)
    if classes is None or len(classes) == 1 or not model.G.c_dim:
        return items, None if classes is None else classes[0], None
    for item in items:
        if isinstance(item, Mixture) and any(isinstance(part, Seed) and part.label is None for part in item.parts):
            raise UserError(
                f"With several classes, the seeds of the mixture {item} need one each. Write them like 3@{classes[0]}."
            )
    free = [item for item in items if isinstance(item, Seed) and item.label is None]
    rest = [item for item in items if not (isinstance(item, Seed) and item.label is None)]
    return [Seed(seed.number, number) for number in classes for seed in free] + rest, None, len(free) or None


def _written(outdir, job, pictures):
    """Yield the pictures, each after it was written to its file."""
    for name, recipe, picture in zip(job.names, job.recipes, pictures, strict=True):
        images.save_png(outdir / name, picture, texts({**job.common, **recipe}))
        yield picture


def _write_grid(path, job, pictures, columns, G, looks):
    rows = math.ceil(len(job.names) / columns)
    cells = (list(itertools.islice(pictures, columns)) for _ in range(rows))
    recipe = {**job.common, **job.whole}
    write_sheet(path, cells, columns, picture_size(G), G.img_channels, recipe, number_of_rows=rows, **looks)

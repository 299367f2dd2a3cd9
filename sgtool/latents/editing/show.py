"""Sheets on which latents are moved along directions, step by step."""

import itertools

from sgtool.latents.directions import moved
from sgtool.latents.generate import picture_size, render
from sgtool.latents.sheet import write_sheet

OVERVIEW = "directions.png"


def sheet_names(directions, chosen):
    """Return the file of each chosen direction's sheet: `strengths-smile.png`; with its number where two would be the same."""
    names = [_plain(directions.names[index]) for index in chosen]
    folded = [name.casefold() for name in names]  # some file systems do not tell A from a
    return [
        f"strengths-{name}.png" if folded.count(name.casefold()) == 1 else f"strengths-{index}-{name}.png"
        for index, name in zip(chosen, names, strict=True)
    ]


def show_files(model, outdir, directions, chosen, latents, strengths, recipe, look, cells):
    """Write a sheet for each direction, a row for each latent and a column for each strength, and one of all directions.

    Args:
        model: `Model`.
        outdir: `Path` of the folder.
        directions: `Directions`.
        chosen: numbers of those to show.
        latents: `Latents` that are moved; the sheet of all directions shows the first.
        strengths: numbers, in standard deviations of W.
        recipe: dict for the files.
        look: noise_mode and batch, as for `render`.
        cells: enlarge and gap, as for `write_sheet`.
    Returns:
        paths, that of all directions first (not there for one direction).
    """
    columns = [number_text(strength) for strength in strengths]
    recipe = {**recipe, "strengths": list(strengths)}
    paths = []
    if len(chosen) > 1:
        pairs = [(index, 0) for index in chosen]
        about = {**recipe, "directions": [directions.names[index] for index in chosen], "latents": latents.recipes[:1]}
        names = [directions.names[index] for index in chosen]
        rows = _rows(model, directions, latents, pairs, strengths, look)
        paths.append(_sheet(outdir / OVERVIEW, model, rows, names, columns, about, cells))
    for index, name in zip(chosen, sheet_names(directions, chosen), strict=True):
        pairs = [(index, i) for i in range(len(latents))]
        about = {**recipe, "directions": [directions.names[index]], "latents": latents.recipes}
        rows = _rows(model, directions, latents, pairs, strengths, look)
        paths.append(_sheet(outdir / name, model, rows, latents.names, columns, about, cells))
    return paths


def number_text(strength):
    """Write a strength with its sign: +1.5, 0, -3."""
    return f"{strength:+g}" if strength else "0"


def _plain(name):
    """Return a name that is safe as part of a file's name."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)[:40]


def _rows(model, directions, latents, pairs, strengths, look):
    """Yield the pictures of each (direction, latent), one for each strength."""
    ws = (
        moved(latents.ws[i], directions.step(index), strength, directions.layers[index])
        for index, i in pairs
        for strength in strengths
    )
    seeds = (latents.noise_seed(i) for _, i in pairs for _ in strengths)
    pictures = render(model.G, ws, noise_seeds=seeds, **look)
    for _ in pairs:
        yield list(itertools.islice(pictures, len(strengths)))


def _sheet(path, model, rows, row_labels, column_labels, recipe, cells):
    G, size = model.G, picture_size(model.G)
    labels = {"row_labels": row_labels, "column_labels": column_labels}
    return write_sheet(
        path, rows, len(column_labels), size, G.img_channels, recipe, number_of_rows=len(row_labels), **labels, **cells
    )

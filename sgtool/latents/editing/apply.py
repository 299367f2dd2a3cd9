"""Latents moved along directions: their pictures, a sheet of before and after, and the latents as a file."""

import numpy as np
from tqdm import tqdm

from sgtool import images
from sgtool.latents.directions import moved
from sgtool.latents.editing.show import number_text
from sgtool.latents.file import Latents, unique_names, write_latents
from sgtool.latents.generate import picture_size, render
from sgtool.latents.recipes import texts
from sgtool.latents.sheet import write_sheet

SHEET, LATENTS = "grid.png", "edited.npz"


def edited(latents, directions, use):
    """Move latents along several directions at once; what the directions do adds up.

    Args:
        latents: `Latents`.
        directions: `Directions`.
        use: `{number of a direction: strength}`, in standard deviations of W.
    Returns:
        `Latents`, named `seed0003-edited`, each with the recipe of the edit around its own.
    """
    ws = latents.ws
    for index, strength in use.items():
        ws = moved(ws, directions.step(index), strength, directions.layers[index])
    steps = [_step(directions, index, strength) for index, strength in use.items()]
    recipes = [{"edit": steps, "of": recipe} for recipe in latents.recipes]
    return Latents(np.asarray(ws, np.float32), _names(latents), recipes, latents.network_sha256)


def _step(directions, index, strength):
    scale, layers = float(directions.scales[index]), directions.layers[index]
    return {"name": directions.names[index], "strength": strength, "scale": scale, "layers": layers}


def _names(latents):
    return unique_names([f"{name}-edited" for name in latents.names], latents.recipes)


def file_names(latents):
    """Return the names of all files that `edit_files` writes for `Latents`."""
    return [f"{name}.png" for name in _names(latents)], [SHEET, LATENTS]


def edit_files(model, outdir, directions, latents, use, recipe, look, cells, *, progress=False):
    """Write the pictures of latents moved along directions, `edited.npz` with the latents, and `grid.png`, before and after.

    Args:
        model, outdir, directions, latents, recipe, look, cells: as for `show_files`.
        use: as for `edited`.
        progress: show a bar on stderr.
    Returns:
        path of the sheet.
    """
    after = edited(latents, directions, use)
    G, both = model.G, [w for pair in zip(latents.ws, after.ws, strict=True) for w in pair]
    pictures = render(G, both, noise_seeds=[latents.noise_seed(i) for i in range(len(latents)) for _ in "ab"], **look)
    bar = tqdm(after.names, unit="img", disable=None if progress else True)

    def rows():
        for name, own in zip(bar, after.recipes, strict=True):
            pair = [next(pictures), next(pictures)]
            images.save_png(outdir / f"{name}.png", pair[1], texts({**recipe, **own}))
            yield pair

    what = " ".join(f"{directions.names[index]}{number_text(strength)}" for index, strength in use.items())
    about = {**recipe, "edit": after.recipes[0]["edit"], "latents": latents.recipes}
    labels = {"row_labels": latents.names, "column_labels": ["before", what]}
    write_sheet(outdir / SHEET, rows(), 2, picture_size(G), G.img_channels, about, number_of_rows=len(after), **labels, **cells)
    write_latents(outdir / LATENTS, after, recipe)
    return outdir / SHEET

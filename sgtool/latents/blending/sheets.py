"""What people look at: A | blend | B, and every cut beside the next."""

from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from sgtool.grammar import Seed
from sgtool.latents.generate import picture_size, render
from sgtool.latents.sheet import write_sheet
from sgtool.latents.sources import gather


class Rows(NamedTuple):
    """The latents of a sheet. Of a seed each model has its own, by its own mapping network; others are the same for both."""

    names: list
    recipes: list
    of_A: np.ndarray  # `[N, num_ws, w_dim]`
    of_B: np.ndarray
    of_blend: np.ndarray


class Column(NamedTuple):
    """One network on a sheet."""

    label: str
    G: torch.nn.Module
    ws: np.ndarray  # `[N, num_ws, w_dim]`


def gather_rows(A, B, mapping, items, label, **how):
    """Find the latents of the rows.

    Args:
        A, B: `Model`s.
        mapping: "a" or "b": whose mapping network the blend has. Pictures are projected into that model.
        items: what `grammar.parse_latents` gives.
        label: class of seeds that name none; None = classes 0, 1, 2 ... in turn where there are any.
        how: folder, truncation_psi, truncation_cutoff, warn, say and progress, as for `gather`.
    Returns:
        `Rows`.
    """
    items = [Seed(item) if isinstance(item, int) else item for item in items]
    ours, other = (A, B) if mapping == "a" else (B, A)
    conditional = [model for model in (ours, other) if model.G.c_dim]
    if label is not None:
        for model in conditional or [ours]:
            model.checked_classes([label], how["warn"])
    classes = min((model.G.c_dim for model in conditional), default=0)

    def labelled(model):
        if not model.G.c_dim:
            return items
        return [_labelled(item, i % classes if label is None else label) for i, item in enumerate(items)]

    latents = gather(labelled(ours), ours, label=label if ours.G.c_dim else None, **how)
    rows, theirs = [i for i, recipe in enumerate(latents.recipes) if "seed" in recipe], latents.ws.copy()
    if rows:
        theirs[rows] = gather([item for item in labelled(other) if isinstance(item, Seed)], other, **how).ws
    of_A, of_B = (latents.ws, theirs) if mapping == "a" else (theirs, latents.ws)
    return Rows(latents.names, latents.recipes, of_A, of_B, latents.ws)


def _labelled(item, label):
    return item._replace(label=label) if isinstance(item, Seed) and item.label is None else item


def write_columns(path, columns, rows, recipe, *, noise_mode="const", batch=None, enlarge=1, gap=0, progress=False):
    """Write a sheet with a column for each network and a row for each latent.

    Args:
        path: the PNG.
        columns: list of `Column`.
        rows: `Rows`.
        recipe: dict that tells how it was made; the rows' recipes are added.
        noise_mode, batch: as for `render`.
        enlarge, gap: as for `write_sheet`.
        progress: show a bar on stderr.
    """
    seeds = [recipe.get("seed", i) for i, recipe in enumerate(rows.recipes)]
    pictures = [render(column.G, column.ws, noise_mode, batch, seeds) for column in columns]
    bar = tqdm(zip(*pictures, strict=True), total=len(rows.names), unit="row", disable=None if progress else True)
    G = columns[0].G
    write_sheet(
        path,
        map(list, bar),
        len(columns),
        picture_size(G),
        G.img_channels,
        {**recipe, "columns": [column.label for column in columns], "rows": rows.recipes},
        number_of_rows=len(rows.names),
        enlarge=enlarge,
        gap=gap,
        row_labels=rows.names,
        column_labels=[column.label for column in columns],
    )

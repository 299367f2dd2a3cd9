"""Examples to learn from: latents with labels, from pictures sorted into folders or from a list with a file of labels."""

import os
import warnings
from pathlib import Path

import numpy as np

from sgtool.errors import UserError
from sgtool.grammar import Picture, Seed
from sgtool.latents.editing.labels import labels_of_file, matched
from sgtool.latents.file import Latents, joined
from sgtool.latents.recipes import recipe_of
from sgtool.latents.sources import gather

OF_ONE_SEED = {
    "version", "network", "network_sha256", "precision", "truncation_psi", "truncation_cutoff", "noise_mode", "seed", "class",
}  # fmt: skip
OTHERWISE = "Give the latents themselves (seeds, or an .npz of sgtool project) with --labels"


def read_examples(items, labels, model, folder, *, warn=warnings.warn, say=lambda text: None, progress=False, **look):
    """Return labelled latents.

    Args:
        items: what `grammar.parse_latents` gives, for latents; or a list of one `Picture` whose path is a folder of
            pictures that `sgtool generate` wrote: their recipes tell the latents. Without `labels`, the names of the
            subfolders are the labels.
        labels: file of labels, or None.
        model: `Model` of which they are.
        folder: where latents of projected pictures are kept.
        warn, say, progress: as for `gather`.
        look: label, truncation_psi and truncation_cutoff of seeds in `items`.
    Returns:
        `Latents`, and for each a dict `{label: True or False}`.
    Raises:
        UserError: whatever the user can mend.
    """
    in_folder = len(items) == 1 and isinstance(items[0], Picture) and os.path.isdir(items[0].path)
    if labels is None:
        if len(items) == 1 and isinstance(items[0], Picture) and not os.path.exists(items[0].path):
            raise UserError(f"--examples {items[0].path} does not exist. Check the path.")
        if not in_folder:
            raise UserError("--labels is missing: a CSV of lines name,label. Or sort pictures into a folder for each label.")
        return _sorted_examples(Path(items[0].path), model, warn)
    marked = labels_of_file(labels)
    if in_folder:
        top = Path(items[0].path)
        files = _pictures_in(top)
        chosen, marks = matched(marked, [_name(path, top) for path in files], labels, say)
        return _latents_of_pictures([files[i] for i in chosen], model, warn), marks
    latents = gather(list(dict.fromkeys(items)), model, folder, warn=warn, say=say, progress=progress, **look)
    chosen, marks = matched(marked, latents.names, labels, say)
    return latents.rows(chosen), marks


def _name(path, top):
    return path.relative_to(top).with_suffix("").as_posix()


def _pictures_in(top):
    """List the PNGs in a folder and its subfolders, in order; hidden ones are not looked at."""
    found = [path for path in sorted(top.rglob("*")) if path.suffix.lower() == ".png" and path.is_file()]
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(top).parts)]
    if not found:
        raise UserError(f"--examples {top} holds no PNG. Make pictures with sgtool generate --outdir {top}.")
    return found


def _sorted_examples(top, model, warn):
    """Return the latents of pictures in subfolders, whose names are the labels."""
    files = [path for path in _pictures_in(top) if path.parent != top]
    words = sorted({path.relative_to(top).parts[0] for path in files})
    if len(words) < 2:
        raise UserError(
            f"--examples {top} has {len(words)} subfolders with pictures. Sort the pictures into two or more, "
            "one for each label, or give --labels."
        )
    own = [path.relative_to(top).parts[0] for path in files]
    return _latents_of_pictures(files, model, warn), [{word: word == mine for word in words} for mine in own]


def _latents_of_pictures(files, model, warn):
    """Return the latents of pictures by the recipes inside them, in their order."""
    groups = {}
    for i, path in enumerate(files):
        recipe = _recipe(path, model)
        look = recipe.get("truncation_psi", 1.0), recipe.get("truncation_cutoff")
        groups.setdefault(look, []).append((i, Seed(recipe["seed"], recipe.get("class") if model.G.c_dim else None)))
    parts, order = [], []
    for (psi, cutoff), members in groups.items():
        seeds = [seed for _, seed in members]
        parts.append(gather(seeds, model, None, truncation_psi=psi, truncation_cutoff=cutoff, warn=warn))
        order += [i for i, _ in members]
    latents = joined(parts).rows(np.argsort(order))
    return Latents(latents.ws, [path.stem for path in files], latents.recipes, model.sha256)


def _recipe(path, model):
    """Return the recipe of a picture of one seed."""
    recipe = recipe_of(path)
    if recipe is None or not set(recipe) <= OF_ONE_SEED or not _is_sound(recipe):
        raise UserError(f"{path} is no picture of one seed made by sgtool generate, so its latent is unknown. {OTHERWISE}.")
    if recipe.get("network_sha256") != model.sha256:
        raise UserError(f"{path} was made with another model than {model.path.name}, where its seed means nothing. {OTHERWISE}.")
    return recipe


def _is_sound(recipe):
    """Tell whether the numbers in a recipe are what they should be."""
    seed, number, cutoff = recipe.get("seed"), recipe.get("class"), recipe.get("truncation_cutoff")
    whole = all(value is None or type(value) is int and value >= 0 for value in (number, cutoff))
    return whole and type(seed) is int and 0 <= seed < 2**32 and type(recipe.get("truncation_psi", 1.0)) in (int, float)

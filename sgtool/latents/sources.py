"""From what a user names, seeds, files, pictures, mixtures, to latents of one network."""

import os
import warnings

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.grammar import Mixture, Picture, Seed, Stored
from sgtool.latents.file import Latents, joined, plain_name, read_latents
from sgtool.latents.model import checked_truncation
from sgtool.latents.seeds import latents_of_seeds, one_hot

MAPPED_AT_ONCE = 1024


def gather(
    items, model, folder, *, label=None, truncation_psi=1.0, truncation_cutoff=None, warn=warnings.warn, say=lambda text: None,
    progress=False,
):  # fmt: skip
    """Return the latents that a list names, in its order.

    Truncation works on seeds. Saved latents and projected pictures are taken as they are.

    Args:
        items: what `grammar.parse_latents` gives; whole numbers are seeds.
        model: `Model` to which they belong. Pictures are projected into W+ of it.
        folder: where the latents of projected pictures are kept, so that a picture is projected once.
        label: class number of seeds that name none; None for a network without labels.
        truncation_psi, truncation_cutoff: as for `generate`.
        warn, say: called with texts.
        progress: show bars on stderr.
    Returns:
        `Latents`, one row or more for each item, with a recipe for each.
    Raises:
        UserError: a file is missing or damaged or belongs to a network of another shape, a class does not exist.
    """
    checked_truncation(model.G, truncation_psi, truncation_cutoff)
    items = [Seed(item) if isinstance(item, int) else item for item in items]
    check_items(items)
    parts = _parts(items)
    look = {"truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    known = {}
    known |= _of_seeds(model, list(dict.fromkeys(part for part in parts if isinstance(part, Seed))), label, look, warn)
    known |= _of_files(model, list(dict.fromkeys(part for part in parts if isinstance(part, Stored))), warn)
    known |= _of_pictures(model, list(dict.fromkeys(part for part in parts if isinstance(part, Picture))), folder, say, progress)
    latents = joined([_mixed(item, known) if isinstance(item, Mixture) else known[item] for item in items])
    latents.network_sha256 = model.sha256
    return latents


def _parts(items):
    return [part for item in items for part in (item.parts if isinstance(item, Mixture) else [item])]


def check_items(items):
    """Raise UserError if there are none, or a file that they name is not there."""
    if not items:
        raise UserError("No latents are given. Name seeds like 0-3,7, a file of latents like w.npz, or a picture.")
    for part in _parts(items):
        if not isinstance(part, Seed) and not os.path.isfile(part.path):
            raise UserError(f"{part.path} is neither a seed nor a file. Check the path, or write seeds like 0-3,7.")


def tell_of_truncation(items, truncation_psi, warn):
    """Warn if a truncation has no effect, because there is no seed in a list."""
    if truncation_psi != 1 and not any(isinstance(part, Seed) for part in _parts(items)):
        warn(f"--trunc {truncation_psi:g} changes nothing: saved latents and projected pictures are not truncated.")


def labels_of(model, seeds, label, warn):
    """Return the class of each seed, None for a network without labels, after checking them.

    Args:
        model: `Model`.
        seeds: list of `Seed`.
        label: class of those that have none, or None.
        warn: called with a text if classes have no effect.
    Raises:
        UserError: the network needs a class, or has none of that number.
    """
    labels = [label if seed.label is None else seed.label for seed in seeds]
    if seeds:
        model.checked_classes(None if None in labels else sorted(set(labels)), warn)
    return labels if model.G.c_dim else [None] * len(seeds)


def name_of_seed(seed, label):
    """Return the name of a seed's file: `seed0085`, or `seed0085-class3` if the seed has a class of its own."""
    return f"seed{seed.number:04d}" + ("" if seed.label is None or label is None else f"-class{label}")


def _of_seeds(model, seeds, label, look, warn):
    """Return {seed: Latents of one row}."""
    G = model.G
    labels = labels_of(model, seeds, label, warn)
    found = {}
    for start in range(0, len(seeds), MAPPED_AT_ONCE):
        part = slice(start, start + MAPPED_AT_ONCE)
        z = latents_of_seeds([seed.number for seed in seeds[part]], G.z_dim).to(model.device)
        with torch.inference_mode():
            ws = G.mapping(z, one_hot(labels[part], G.c_dim).to(model.device), **look).float().cpu().numpy()
        for seed, number, w in zip(seeds[part], labels[part], ws, strict=True):
            name = name_of_seed(seed, number)
            found[seed] = Latents(w[np.newaxis], [name], [{"seed": seed.number, "class": number, **look}])
    return found


def _of_files(model, files, warn):
    found = {}
    for item in files:
        latents = read_latents(item.path)
        latents.ws = fitted(model.G, latents.ws, item.path)
        if latents.network_sha256 not in (None, model.sha256):
            warn(f"{item.path} was made with another model than {model.path.name}: it may show something else.")
        if item.rows is not None:
            beyond = [row for row in item.rows if row >= len(latents)]
            if beyond:
                raise UserError(f"{item.path} has {len(latents)} latents, so there is no row {beyond[0]}. Rows count from 0.")
            latents = latents.rows(item.rows)
        found[item] = latents
    return found


def fitted(G, ws, path):
    """Return saved latents as `[N, num_ws, w_dim]` of `G`; a single w is repeated for each layer.

    Raises:
        UserError: they belong to a network of another shape.
    """
    if ws.shape[1:] == (1, G.w_dim):
        return np.repeat(ws, G.num_ws, axis=1)
    if ws.shape[1:] != (G.num_ws, G.w_dim):
        raise UserError(
            f"{path} holds latents of another model: {ws.shape[1]} layers of {ws.shape[2]} numbers; "
            f"this one has {G.num_ws} of {G.w_dim}. Give latents that were made with it."
        )
    return ws


def _of_pictures(model, pictures, folder, say, progress):
    """Return {picture: Latents of one row}, after projecting them in one go."""
    if not pictures:
        return {}
    from sgtool.latents.projection import projected  # here, because it is seldom needed

    latents = projected(model, [item.path for item in pictures], folder, say=say, progress=progress)
    return {item: latents.rows([i]) for i, item in enumerate(pictures)}


def _mixed(item, known):
    """Return the weighted mean of several latents."""
    parts = [known[part] for part in item.parts]
    for part, latents in zip(item.parts, parts, strict=True):
        if len(latents) != 1:
            raise UserError(
                f"{part.path} in the mixture {item} holds {len(latents)} latents. Name one of them, like {part.path}[0]."
            )
    ws = sum(weight * part.ws.astype(np.float64) for weight, part in zip(item.weights, parts, strict=True))
    names, recipes = [part.names[0] for part in parts], [part.recipes[0] for part in parts]
    recipe = {"mixture": [{"weight": weight, **recipe} for weight, recipe in zip(item.weights, recipes, strict=True)]}
    return Latents(ws.astype(np.float32), [plain_name("+".join(names))], [recipe])

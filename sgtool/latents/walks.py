"""Walks through latent space: which latents each frame of a video shows."""

import itertools

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.grammar import Seed
from sgtool.latents.interpolate import NoiseLoop, Path
from sgtool.latents.model import checked_truncation
from sgtool.latents.route import Walk, cells_of, frames_of, times_of
from sgtool.latents.seeds import latents_of_seeds, one_hot
from sgtool.latents.sources import gather
from sgtool.latents.sweeps import edit, keep_styles, sweep

MAPPED_AT_ONCE = 64
MOST_WAVES = 10_000


def plan_walk(route, items, model, folder, fps, *, label=None, look=None, warn, say, progress=False):
    """Return the `Walk` of a route.

    Args:
        route: a checked `Route`.
        items: latents as `grammar.parse_latents` gives them: for each cell its keyframes one after the other.
        model: `Model`.
        folder: for the latents of projected pictures, see `gather`.
        fps: frames a second.
        label: class number of seeds that name none.
        look: truncation_psi and truncation_cutoff.
    Raises:
        UserError: there are too few latents, or they do not fit.
    """
    look = {"truncation_psi": 1.0, "truncation_cutoff": None, **(look or {})}
    checked_truncation(model.G, look["truncation_psi"], look["truncation_cutoff"])
    gathering = {"label": label, "warn": warn, "say": say, "progress": progress}
    if route.kind == "noise":
        return _noise(route, items, model, fps, label, look, warn)
    if route.space == "z":
        walk = _in_z(route, items, model, fps, label, look, warn)
    else:
        drawn = {"truncation_psi": 1.0} if route.kind == "trunc" else look
        latents = gather(items, model, folder, **gathering, **drawn)
        rows = cells_of(route, len(latents))
        make = {"trunc": sweep, "edit": edit}.get(route.kind, _in_w)
        walk = make(route, latents.ws[rows], model, fps, look, warn)
        walk.recipe["keyframes"] = [latents.recipes[i] for i in rows.ravel()]
    if route.kind == "mix":
        keep_styles(walk, route, model, gather(route.styles_from, model, folder, **gathering, **look))
    return walk


def _in_w(route, ws, model, fps, look, warn):
    """Through the keyframes `[cells, K, num_ws, w_dim]` in W."""
    centre = model.G.mapping.w_avg.float().cpu().numpy() if hasattr(model.G.mapping, "w_avg") else None
    if (ws == ws[:, :, :1]).all():  # one w for all layers: a path through one row is enough
        ws = ws[:, :, :1]
    paths = [Path(keys, route.interp, route.loop, centre) for keys in ws]
    frames = frames_of(route, fps, paths[0].length)
    shape = model.G.num_ws, model.G.w_dim
    stream = (
        np.broadcast_to(path.at(time * path.length), shape).astype(np.float32)
        for time in times_of(route, frames)
        for path in paths
    )
    return Walk(frames, stream, {"interp": route.interp, "space": "w"})


def _in_z(route, items, model, fps, label, look, warn):
    """Through seeds in Z; labels, if there are some, go along."""
    seeds = _only_seeds(items, "--space z")
    labels = _labels(seeds, model, label, warn)
    rows = cells_of(route, len(seeds))
    z = latents_of_seeds([seed.number for seed in seeds], model.G.z_dim).numpy()[rows]
    c = one_hot(labels, model.G.c_dim).numpy()[rows]
    paths = [Path(keys, route.interp, route.loop) for keys in z]
    shares = [Path(keys, "linear" if route.interp == "slerp" else route.interp, route.loop) for keys in c]
    frames = frames_of(route, fps, paths[0].length)
    pairs = (
        (path.at(time * path.length), share.at(time * path.length))
        for time in times_of(route, frames)
        for path, share in zip(paths, shares, strict=True)
    )
    keyframes = [{"seed": seeds[i].number, "class": labels[i]} for i in rows.ravel()]
    return Walk(frames, _mapped(model, pairs, look), {"interp": route.interp, "space": "z", "keyframes": keyframes, **look})


def _noise(route, items, model, fps, label, look, warn):
    """Around in Z: for each cell the loop that its seed draws."""
    seeds, cells = _only_seeds(items, "--walk noise"), route.grid[0] * route.grid[1]
    if len(seeds) != cells:
        raise UserError(f"--walk noise takes one seed for each cell of --grid: {cells}. There are {len(seeds)} in --seeds.")
    if not route.loop:
        raise UserError("--walk noise comes back to its start by its nature. Leave --no-loop out.")
    frames = frames_of(route, fps, 5)
    smooth = route.smooth * fps / frames
    if not smooth * 2 * MOST_WAVES > 1:
        least = frames / fps / (2 * MOST_WAVES)
        raise UserError(f"--smooth {route.smooth:g} is too little for {frames / fps:g} seconds. Give more than {least:.2g}.")
    labels = _labels(seeds, model, label, warn)
    c = one_hot(labels, model.G.c_dim).numpy()
    loops = [NoiseLoop(seed.number, model.G.z_dim, smooth) for seed in seeds]
    pairs = ((loop.at(time), share) for time in times_of(route, frames) for loop, share in zip(loops, c, strict=True))
    keyframes = [{"seed": seed.number, "class": number} for seed, number in zip(seeds, labels, strict=True)]
    return Walk(frames, _mapped(model, pairs, look), {"smooth": route.smooth, "loops": keyframes, **look})


def _only_seeds(items, option):
    seeds = [Seed(item) if isinstance(item, int) else item for item in items]
    others = [item for item in seeds if not isinstance(item, Seed)]
    if others:
        raise UserError(f"{option} walks between seeds, which alone have a z; {others[0]} has none. Give seeds only.")
    return seeds


def _labels(seeds, model, label, warn):
    """Return the class number of each seed, None for a network without labels."""
    labels = [label if seed.label is None else seed.label for seed in seeds]
    distinct = sorted({number for number in labels if number is not None})
    model.checked_classes(None if None in labels else distinct, warn)
    return labels if model.G.c_dim else [None] * len(seeds)


def _mapped(model, pairs, look):
    """Yield `ws` of pairs of z and c."""
    while part := list(itertools.islice(pairs, MAPPED_AT_ONCE)):
        z, c = (torch.from_numpy(np.stack(column).astype(np.float32)).to(model.device) for column in zip(*part, strict=True))
        with torch.inference_mode():
            ws = model.G.mapping(z, c, **look)
        yield from ws

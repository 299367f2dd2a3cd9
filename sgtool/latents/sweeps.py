"""Latents that change one after the other: truncation that comes and goes, and moves along a direction; and styles that stay."""

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.latents.directions import check_fit, moved, read_directions
from sgtool.latents.layers import checked_rows
from sgtool.latents.model import checked_truncation
from sgtool.latents.route import Walk, frames_of, times_of


def _average(model):
    """Return w_avg `[w_dim]`."""
    if not hasattr(model.G.mapping, "w_avg"):
        raise UserError("--walk trunc: this model has no average to truncate to. Take another walk.")
    return model.G.mapping.w_avg.float().cpu().numpy()


def _swing(time, loop):
    """From 0 to 1, and back if it is a loop, slow at the ends: half a cosine, or a whole one."""
    return (1 - np.cos((2 if loop else 1) * np.pi * time)) / 2


def _in_turn(route, ws, fps, change):
    """Latents `[cells, K, ...]` one after the other, each changed by `change(w, time)` for its own time 0..1."""
    number = ws.shape[1]
    frames = frames_of(route, fps, number * (2 if route.loop else 1))

    def at(w, time):
        index = min(int(time * number), number - 1)
        return change(w[index], time * number - index).astype(np.float32)

    return frames, (at(w, time) for time in times_of(route, frames) for w in ws)


def sweep(route, ws, model, fps, look, warn):
    """Each latent under changing truncation: w_avg + psi (w - w_avg)."""
    average, (first, last), cutoff = _average(model), route.sweep, look["truncation_cutoff"]
    for psi in route.sweep:
        checked_truncation(model.G, psi, cutoff, "--sweep")

    def change(w, time):
        psi = first + (last - first) * _swing(time, route.loop)
        truncated = average + psi * (w - average)
        return truncated if cutoff is None else np.concatenate([truncated[:cutoff], w[cutoff:]])

    frames, stream = _in_turn(route, ws, fps, change)
    return Walk(frames, stream, {"sweep": list(route.sweep), "truncation_cutoff": cutoff})


def edit(route, ws, model, fps, look, warn):
    """Each latent moved along a direction, to one side and to the other."""
    directions = read_directions(route.directions)
    check_fit(directions, model, route.directions, warn)
    index = directions.index(route.direction, "--direction")
    step, rows = directions.step(index), directions.layers[index]

    def change(w, time):
        part = np.sin(2 * np.pi * time) if route.loop else 2 * _swing(time, False) - 1
        return moved(w, step, route.strength * part, rows)

    frames, stream = _in_turn(route, ws, fps, change)
    about = {"direction": directions.names[index], "found": directions.recipe, "strength": route.strength, "layers": rows}
    return Walk(frames, stream, about)


def keep_styles(walk, route, model, fixed):
    """Give some layers of all frames to one latent."""
    if len(fixed) != 1:
        raise UserError(f"--styles-from names {len(fixed)} latents; it takes one. Write one seed or one row, like w.npz[0].")
    rows = checked_rows(route.styles, model.G.num_ws, "--styles")
    style, stream = torch.from_numpy(fixed.ws[0][rows]), walk.stream

    def mixed():
        for w in stream:
            w = torch.as_tensor(w).clone()
            w[rows] = style.to(w)
            yield w

    walk.stream = mixed()
    walk.recipe |= {"styles": rows, "styles_from": fixed.recipes[0]}

"""The one file of latents: `.npz` with `w`, NVIDIA's projected_w.npz included. Ours adds names, recipes and the model's hash."""

import dataclasses
import itertools
import json
import os

import numpy as np

from sgtool import __version__
from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.latents.npz import parsed_recipe, read_arrays

MOST_BYTES = 1 << 30  # of an array that is read into memory
LONGEST_NAME = 80  # bytes
REMEDY = "Give a file written by sgtool, or NVIDIA's projected_w.npz."


@dataclasses.dataclass
class Latents:
    """Latents of one network, in order."""

    ws: np.ndarray  # `[N, num_ws, w_dim]` float32
    names: list  # of files made from them: "seed0003", "face"
    recipes: list  # a dict for each: how it was made
    network_sha256: str | None = None  # of the network they belong to, where it is known

    def __len__(self):
        return len(self.ws)

    def noise_seed(self, index):
        """Return the seed from which random noise is drawn for one of them: that of its z, or 0."""
        return self.recipes[index].get("seed", 0)

    def rows(self, indices):
        """Return some of them, in the order of `indices`."""
        indices = list(indices)
        chosen = [self.names[i] for i in indices], [self.recipes[i] for i in indices]
        return Latents(self.ws[indices], *chosen, self.network_sha256)


def joined(parts):
    """Return several `Latents` of one network as one."""
    names, recipes = [name for part in parts for name in part.names], [recipe for part in parts for recipe in part.recipes]
    return Latents(np.concatenate([part.ws for part in parts]), names, recipes, parts[0].network_sha256)


def write_latents(path, latents, recipe=None):
    """Write latents as a file that sgtool and NVIDIA's `generate.py --projected-w` read.

    Args:
        path: the file, `.npz`; written whole or not at all.
        latents: `Latents`.
        recipe: dict on all of them: network, options; None = nothing more than each one's.
    Raises:
        UserError: it cannot be written.
    """
    about = {"version": __version__, **(recipe or {}), "network_sha256": latents.network_sha256}
    about |= {"names": latents.names, "rows": latents.recipes}
    with atomic_write(path) as file:
        np.savez(file, w=np.asarray(latents.ws, np.float32), recipe=np.array(json.dumps(about)))


def read_latents(path):
    """Read a file of latents. Nothing in it can run; nothing is allocated that the file does not hold.

    Args:
        path: an `.npz` with `w`, `[N, num_ws, w_dim]`, `[num_ws, w_dim]` or `[N, 1, w_dim]`, of any real type.
    Returns:
        `Latents`. Without a recipe of ours, rows are told apart by the file's name and their number.
    Raises:
        UserError: there is no such file, or it is none, or its numbers are not finite.
    """
    arrays = read_arrays(path, ("w", "recipe"), "latents", MOST_BYTES, REMEDY)
    if "w" not in arrays:
        raise UserError(f"{path} has no array `w`, so it holds no latents. {REMEDY}")
    ws = arrays["w"]
    if ws.ndim == 2:
        ws = ws[np.newaxis]
    if ws.ndim != 3 or not ws.size or ws.dtype.kind not in "fiu":
        raise UserError(f"{path}: `w` is {list(ws.shape)} {ws.dtype}; latents are [N, num_ws, w_dim] numbers. {REMEDY}")
    with np.errstate(over="ignore"):  # becomes infinite
        ws = ws.astype(np.float32)
    if not np.isfinite(ws).all():
        raise UserError(f"{path}: `w` has values that are not finite numbers. Project the picture again.")
    about = parsed_recipe(path, arrays["recipe"]) if "recipe" in arrays else {}
    stem = os.path.splitext(os.path.basename(path))[0]
    names = about.get("names")
    if not (isinstance(names, list) and len(names) == len(ws) and all(isinstance(name, str) and name for name in names)):
        names = [stem] if len(ws) == 1 else [f"{stem}-{i:04d}" for i in range(len(ws))]
    digest = about.get("network_sha256")
    return Latents(
        ws, [plain_name(name) for name in names], _recipes(path, about, len(ws)), digest if isinstance(digest, str) else None
    )


def unique_names(names, recipes, taken=()):
    """Return a name for each latent that no other has, on file systems too that do not tell `A` from `a`.

    Latents with one name and one recipe are the same, and keep one name. None gets a name that is `taken`.
    """
    given, used, unique = {}, set(taken), []
    for name, recipe in zip(names, recipes, strict=True):
        key = name, json.dumps(recipe)
        if key not in given:
            ways = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
            given[key] = next(way for way in ways if way.casefold() not in used)
            used.add(given[key].casefold())
        unique.append(given[key])
    return unique


def plain_name(name):
    """Return a name that is safe as part of a file's name."""
    name = "".join(sign if sign.isalnum() or sign in "-_.+@" else "_" for sign in name).lstrip(".")
    return name.encode()[:LONGEST_NAME].decode(errors="ignore") or "w"


def _recipes(path, about, number):
    """Return each row's recipe: the file and the row, and what the file says of it."""
    rows = about.get("rows")
    if not (isinstance(rows, list) and len(rows) == number and all(isinstance(row, dict) for row in rows)):
        rows = [{}] * number
    return [{"file": os.path.basename(path), "row": i} | ({"made": row} if row else {}) for i, row in enumerate(rows)]

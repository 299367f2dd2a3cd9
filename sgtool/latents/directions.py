"""Directions in W that change a picture in one way, as a small file, and how latents move along them."""

import dataclasses
import json

import numpy as np

from sgtool import __version__
from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.latents.npz import parsed_recipe, read_arrays
from sgtool.snapshots.inert import shown

MOST_BYTES = 1 << 26  # of an array in a file of directions
LARGEST_SCALE = 1e6  # of a standard deviation of W, which is about 1
REMEDY = "Give a file that sgtool edit wrote."
ARRAYS = ("directions", "scales", "recipe")


@dataclasses.dataclass
class Directions:
    """Directions in the W of one network."""

    vectors: np.ndarray  # `[K, w_dim]` float32, each of length 1
    scales: np.ndarray  # `[K]` float32: one standard deviation of W along each
    names: list  # `[K]` texts, no two the same
    layers: list  # `[K]` rows of `ws` that each moves, a list of numbers or None for all
    network_sha256: str | None = None  # of the network they belong to
    recipe: dict = dataclasses.field(default_factory=dict)  # how they were found

    def __len__(self):
        return len(self.vectors)

    def step(self, index):
        """Return what strength 1 adds to w along direction `index`, `[w_dim]` float32: one standard deviation of W."""
        return self.vectors[index] * self.scales[index]

    def index(self, name, option="--use"):
        """Return the number of the direction that `name` means: its name, or its number as text.

        Raises:
            UserError: there is none; the text lists those that exist.
        """
        if name in self.names:
            return self.names.index(name)
        if len(name) < 10 and name.isascii() and name.isdigit() and int(name) < len(self):
            return int(name)
        known = ", ".join(shown(name, most=40) for name in self.names[:20]) + (", ..." if len(self) > 20 else "")
        raise UserError(f"{option} {name}: there is no such direction, but {known}. Give one of them, or its number from 0.")


def moved(ws, vector, strength, rows=None):
    """Return latents moved along a direction: ws + strength * vector.

    Args:
        ws: `[..., num_ws, w_dim]`, an array or a tensor; it is not changed.
        vector: `[w_dim]`, what strength 1 adds: `Directions.step(index)` for strengths in standard deviations of W.
        strength: a number.
        rows: rows of `ws` to move, `Directions.layers[index]`; None = all.
    Returns:
        A new array or tensor, of the shape and type of `ws`.
    """
    if isinstance(ws, np.ndarray):
        change, result = np.asarray(vector, ws.dtype) * float(strength), ws.copy()
    else:
        change, result = ws.new_tensor(np.asarray(vector)) * strength, ws.clone()
    if rows is None:
        result += change
    else:
        result[..., list(rows), :] += change
    return result


def write_directions(path, directions):
    """Write directions as an `.npz` with `directions` and `scales`, and the rest as JSON in `recipe`.

    Raises:
        UserError: it cannot be written.
    """
    about = {"version": __version__, **directions.recipe, "network_sha256": directions.network_sha256}
    about |= {"names": directions.names, "layers": directions.layers}
    vectors, scales = np.asarray(directions.vectors, np.float32), np.asarray(directions.scales, np.float32)
    with atomic_write(path) as file:
        np.savez(file, directions=vectors, scales=scales, recipe=np.array(json.dumps(about)))


def read_directions(path):
    """Read a file of directions. Nothing in it can run; nothing is allocated that the file does not hold.

    Returns:
        `Directions`, its vectors brought to length 1 exactly.
    Raises:
        UserError: there is no such file, or it is none, or it is damaged.
    """
    arrays = read_arrays(path, ARRAYS, "directions", MOST_BYTES, REMEDY)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"{path} has no array `{missing[0]}`, so it is no file of directions. {REMEDY}")
    vectors, scales = arrays["directions"], arrays["scales"]
    kinds = {vectors.dtype.kind, scales.dtype.kind}
    if vectors.ndim != 2 or not vectors.size or scales.shape != vectors.shape[:1] or kinds != {"f"}:
        raise UserError(f"{path}: directions {list(vectors.shape)} and scales {list(scales.shape)} do not go together. {REMEDY}")
    about = parsed_recipe(path, arrays["recipe"])
    names, layers = about.pop("names", None), about.pop("layers", None)
    if not (_are_names(names, len(vectors)) and _are_layers(layers, len(vectors))):
        raise UserError(f"{path}: its names or layers are damaged. Copy the file again, or write it anew.")
    with np.errstate(over="ignore", invalid="ignore"):
        vectors, scales = vectors.astype(np.float64), scales.astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 1e-6).all() and _are_scales(scales)):
        raise UserError(
            f"{path}: it has values that are no directions, such as NaN, zeros or huge ones. Find the directions again."
        )
    digest = about.pop("network_sha256", None)
    digest = digest if isinstance(digest, str) else None
    return Directions((vectors / lengths).astype(np.float32), scales, names, layers, digest, about)


def check_fit(directions, model, path, warn):
    """Refuse directions of a network of another shape; warn of those of another network.

    Args:
        directions: `Directions`.
        model: `Model` that they are to be used with.
        path: their file, for messages.
        warn: called with a text.
    Raises:
        UserError: they cannot be used with it.
    """
    G = model.G
    if directions.vectors.shape[1] != G.w_dim:
        raise UserError(
            f"{path} holds directions of {directions.vectors.shape[1]} numbers, but latents of {model.path.name} have {G.w_dim}. "
            "Give directions that were found with this model."
        )
    if any(row >= G.num_ws for rows in directions.layers for row in rows or []):
        raise UserError(f"{path} is for a model of more than {G.num_ws} layers. Say which ones to move with --layers.")
    if directions.network_sha256 not in (None, model.sha256):
        warn(f"{path} was found with another model than {model.path.name}: its directions may mean something else.")


def _are_scales(scales):
    """Tell whether all are standard deviations; NaN is none."""
    return ((scales >= 0) & (scales <= LARGEST_SCALE)).all()


def _are_names(names, number):
    """Tell whether they are as many texts, all different."""
    if not isinstance(names, list) or len(names) != number:
        return False
    return all(isinstance(name, str) and name for name in names) and len(set(names)) == number


def _are_layers(layers, number):
    """Tell whether they are as many lists of numbers, or None."""
    if not isinstance(layers, list) or len(layers) != number:
        return False
    lists = [rows for rows in layers if rows is not None]
    return all(isinstance(rows, list) and rows and all(type(row) is int and row >= 0 for row in rows) for rows in lists)

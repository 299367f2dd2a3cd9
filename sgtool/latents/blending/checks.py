"""What can be refused before anything is computed."""

import math
import os

import torch

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.recipes import is_ours
from sgtool.networks.blend import are_equal, differences, resolutions

WIDEST = 20  # octaves
REMEDY = "Blend a model with one that was trained from it (sgtool train --resume): they have the same layers."


def check_wishes(at, width, weights, places):
    """Refuse options that contradict one another.

    Args:
        at, width, weights: as for `blend_files`.
        places: {"out" | "preview" | "sweep": path or None}.
    """
    shows_blend, has_cut = places["out"] or places["preview"], at is not None or weights is not None
    if not (math.isfinite(width) and 0 <= width <= WIDEST):
        raise UserError(f"--width {width:g} is out of range: it goes from 0, a hard cut, to {WIDEST} octaves.")
    if not any(places.values()):
        raise UserError("Nothing is to be written: add --out blended.pkl, --preview sheet.png or --sweep sheet.png.")
    if at is not None and weights is not None:
        raise UserError("--at and --weights both say which layers are whose. Give one of them.")
    if width and at is None and not places["sweep"]:
        raise UserError("--width makes a cut smooth; give it with --at or --sweep.")
    if shows_blend and not has_cut:
        raise UserError("Which layers are whose is not told: add --at 32, or --weights. --sweep sheet.png shows all cuts.")
    if has_cut and not shows_blend:
        raise UserError("--at and --weights make a blend: add --out blended.pkl, or --preview sheet.png to look at it first.")


def check_places(places, sources):
    """Refuse files that cannot be written: their folders must be there, and what they replace must be their like.

    Args:
        places: as for `check_wishes`.
        sources: paths of the models.
    """
    for name, path in places.items():
        if path is None:
            continue
        try:
            _check_place(name, path, sources)
        except OSError as error:  # the name is too long, or the folder may not be looked into
            raise UserError(f"--{name} {path} cannot be written: {error.strerror or error}. Choose another name.") from error
    if places["sweep"] is not None and places["sweep"] == places["preview"]:
        raise UserError(f"--sweep and --preview are both {places['sweep']}. Give one of them another name.")


def _check_place(name, path, sources):
    option, folder = f"--{name} {path}", path.absolute().parent
    ending = ".pkl" if name == "out" else ".png"
    if path.suffix.lower() != ending:
        more = ", which sgtool convert turns into other kinds" if name == "out" else ""
        raise UserError(f"{option}: it is written as {ending}{more}. Choose a name that ends in {ending}.")
    if not folder.is_dir():
        raise UserError(f"{option}: there is no folder {folder}. Make it first.")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{option}: the folder {folder} may not be written to. Choose another one.")
    if path.exists() and any(path.samefile(source) for source in sources):
        raise UserError(f"{option} is one of the models to blend. Choose another name.")
    if path.exists() and not (_is_blend(path) if name == "out" else is_ours(path)):
        what = "blend" if name == "out" else "picture"
        raise UserError(f"{option} is there already and is no {what} made by sgtool. Choose another name.")


def _is_blend(path):
    """Tell whether a file is a blend that sgtool wrote."""
    if not path.is_file():
        return False
    try:
        with snapshots.opened(path) as contents:
            return contents.format == "sgtool" and "blend" in contents.config
    except UserError:
        return False


def check_models(A, B):
    """Refuse two `Model`s that cannot be blended, or are one, or of which one holds no numbers."""
    for model in (A, B):
        if not all(torch.isfinite(tensor).all() for tensor in model.G.state_dict().values()):
            raise UserError(
                f"{model.path} has weights that are not finite numbers: its training diverged. Use an earlier snapshot."
            )
    wrong = differences(A.G, B.G)
    if wrong:
        raise UserError(
            f"{A.path.name} (A) and {B.path.name} (B) cannot be blended. They differ in {'; '.join(wrong)} (A and B). {REMEDY}"
        )
    if are_equal(A.G, B.G):
        raise UserError(f"{A.path} and {B.path} hold the same network: a blend would be the same again. Give two models.")


def check_cut(at, weights, G):
    """Refuse a cut where there is no block, and weights that are too few, too many, or no numbers from 0 to 1."""
    known = resolutions(G)
    listed = ", ".join(map(str, known))
    if at is not None and at not in known:
        raise UserError(f"--at {at:g}: no block of these models has this resolution. They have {listed}; give one of them.")
    if weights is None:
        return
    if len(weights) not in (len(known), G.num_ws):
        numbers = "1 number" if len(weights) == 1 else f"{len(weights)} numbers"
        raise UserError(
            f"--weights has {numbers}. Give {len(known)}, one for each block ({listed}), or {G.num_ws}, one for each layer."
        )
    wrong = next((weight for weight in weights if not 0 <= weight <= 1), None)
    if wrong is not None:
        raise UserError(f"--weights: {wrong:g} is out of range. Weights go from 0, all of A, to 1, all of B.")

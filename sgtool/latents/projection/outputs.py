"""What a projection writes: under which names, whose files may be replaced, and which pictures are finished already."""

import json
from typing import NamedTuple

import numpy as np

from sgtool import images, snapshots
from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.latents import recipes
from sgtool.latents.file import Latents, read_latents, write_latents

ALL_LATENTS, SCORES, SHEET, PREVIEW, TUNED = "projected_w.npz", "scores.json", "projections.png", "preview.png", "tuned.pkl"


class Names(NamedTuple):
    """The files of one picture."""

    target: str
    picture: str
    latents: str
    video: str
    network: str


def names_of(name, single):
    """Return the `Names` of a picture: NVIDIA's where it is the only one, else with the picture's name before them."""
    before = "" if single else f"{name}-"
    return Names(*(before + after for after in ("target.png", "proj.png", "projected_w.npz", "proj.mp4", "tuned.pkl")))


def refuse_strangers(outdir, names):
    """Raise UserError if a file would be replaced that sgtool has not written.

    Args:
        outdir: `Path`.
        names: of files in it.
    """
    for name in names:
        path = outdir / name
        if path.exists() and not _is_ours(path):
            raise UserError(f"{path} was not made by sgtool project, so it is not replaced. Move it or choose another --outdir.")


def _is_ours(path):
    """Tell whether a file carries a recipe of sgtool."""
    if not path.is_file():
        return False
    if path.suffix == ".npz":
        return made_of(path) is not None
    if path.suffix == ".json":
        return "sgtool" in _json(path)
    if path.suffix == ".pkl":
        return _projected_in(path) is not None
    return recipes.is_ours(path)


def _json(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _projected_in(path):
    """Return what a tuned network tells of its pivots, None if it is no such file."""
    try:
        with snapshots.opened(path) as contents:
            return contents.config.get("project")
    except UserError:
        return None


def made_of(path):
    """Return the recipe of the first latents in a file, None if there is no such file or it is not ours."""
    try:
        return read_latents(path).recipes[0].get("made")
    except UserError:
        return None


def finished(outdir, names, fingerprint):
    """Tell whether all `names` of a picture are there, made with the same options of the same picture by the same model.

    The latents are written last, so that they stand for the others.

    Args:
        outdir: `Path`.
        names: of the files that are wanted; one of them ends with projected_w.npz.
        fingerprint: that the recipe must have.
    """
    if not all((outdir / name).is_file() for name in names):
        return False
    latents = next(name for name in names if name.endswith(ALL_LATENTS))
    made = made_of(outdir / latents)
    return made is not None and made.get("fingerprint") == fingerprint


def write_target(path, target, recipe):
    """Write a target as the network's size has it."""
    images.save_png(path, target.pixels, recipes.texts(recipe))


def read_pixels(path):
    """Read a PNG that was written here: uint8 `[H, W, C]`.

    Raises:
        UserError: it is gone or damaged.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return images.from_pil(picture)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}), so something else has changed it. Give the command again.") from error


def write_row(path, ws, name, recipe, network_sha256):
    """Write the latents `[num_ws, w_dim]` of one picture."""
    write_latents(path, Latents(np.asarray(ws)[np.newaxis], [name], [recipe], network_sha256))


def write_network(path, snapshot, G, about):
    """Write a tuned network as a snapshot: for `generate` and all others the model of its pivots.

    Args:
        path: the file.
        snapshot: `Snapshot` of the model it was tuned from. Its discriminator is not kept, since it has not seen these pictures.
        G: the tuned generator.
        about: plain values on what it was tuned to.
    """
    config = {**snapshot.config, "project": about}
    tuned = snapshots.Snapshot(G, augment_p=snapshot.augment_p, nimg=snapshot.nimg, config=config, dataset=snapshot.dataset)
    snapshots.save(tuned, path)


def write_scores(path, recipe, scores, skipped):
    """Write the table of scores as JSON.

    Args:
        path: the file.
        recipe: dict on all of them.
        scores: list of dicts of plain values.
        skipped: list of (source, reason).
    """
    content = {"sgtool": recipe.get("version"), **recipe, "pictures": scores}
    content["skipped"] = [{"target": source, "reason": reason} for source, reason in skipped]
    write_text(path, json.dumps(content, indent=1) + "\n")

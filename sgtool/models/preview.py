"""One sheet that shows what a network makes."""

import math
import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sgtool import __version__, images, snapshots
from sgtool.errors import UserError
from sgtool.latents import generate
from sgtool.latents.recipes import is_ours, texts

SEEDS, COLUMNS = range(8), 4


def write_preview(path, target, truncation_psi=1.0, progress=False):
    """Write a sheet of 4 x 2 pictures: seeds 0 to 7, of class 0, 1, 2 ... in turn if the network has labels.

    Args:
        path: the model file.
        target: the PNG; made anew, or in the place of a picture that sgtool made.
        truncation_psi: 1 = none.
        progress: show a bar with the time left on stderr.
    Raises:
        UserError: the network cannot be run, or `target` is a file of another kind.
    """
    target = Path(target)
    if target.suffix.lower() != ".png":
        raise UserError(f"--preview {target}: it is written as PNG. Choose a name that ends in .png.")
    if os.path.exists(target) and not is_ours(target):
        raise UserError(f"--preview {target} is there already and is no picture made by sgtool. Choose another name.")
    if not math.isfinite(truncation_psi):
        raise UserError(f"--trunc {truncation_psi} is not a number to work with. Give 1 for no truncation, or less, like 0.7.")
    G = snapshots.load(path, networks=()).G_ema
    if truncation_psi != 1 and not hasattr(G.mapping, "w_avg"):
        raise UserError(f"--trunc {truncation_psi}: {path} has no average to truncate to. Leave --trunc out.")
    classes = [seed % G.c_dim for seed in SEEDS] if G.c_dim else None
    pictures = generate(G, SEEDS, classes, truncation_psi=truncation_psi)
    pictures = list(tqdm(pictures, total=len(SEEDS), unit="img", disable=None if progress else True))
    recipe = {"version": __version__, "network": path.name, "network_sha256": snapshots.network_hash(path)}
    recipe |= {"truncation_psi": truncation_psi, "noise_mode": "const", "seeds": "0-7", "classes": classes}
    images.save_png(target, images.grid(np.stack(pictures), COLUMNS), texts(recipe))

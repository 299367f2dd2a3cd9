"""Files to project and what became of them; a kill without a process that dies."""

import numpy as np
from PIL import Image

from sgtool import snapshots
from sgtool.latents.generate import generate


def save_seeds(folder, path, seeds, size=None):
    """Write what a model makes of seeds as PNGs; return the folder."""
    folder.mkdir(exist_ok=True)
    G = snapshots.load(path).G_ema
    classes = [0] * len(seeds) if G.c_dim else None
    for seed, picture in zip(seeds, generate(G, seeds, classes), strict=True):
        image = Image.fromarray(picture if picture.shape[2] != 1 else picture[..., 0])
        (image.resize(size) if size else image).save(folder / f"s{seed}.png")
    return folder


def pixels(path):
    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """Stands for a kill: nothing is saved when it comes."""


def kill_at(monkeypatch, cls, number):
    """Let the `number`-th step of a search or tuning from now on be the last."""
    step, count = cls.step, [0]

    def counted(self):
        if count[0] == number:
            raise Killed
        count[0] += 1
        return step(self)

    monkeypatch.setattr(cls, "step", counted)

"""Whether mixed pictures take their shape from coarse layers and their colours from fine ones, as correlations.

Of N x N mixtures, shape and colour are described by a vector each, and compared with those of the two sources:

- shape: gradients of the luminance, which is first brought to mean 0 and deviation 1, so that colours cannot help;
- colour: mean colour of the pixels that are neither background (the border's median colour) nor dark (outlines).

Reported is the correlation of each mixture's vector with its row's and with its column's, after the mean vector of all
sources is taken away; the layers named come from the column. `python benchmarks/mixing.py MODEL`
"""

import argparse
from pathlib import Path

import measure
import numpy as np
import torch

from sgtool.latents.generate import render
from sgtool.latents.layers import WORDS, rows_of
from sgtool.latents.mix import mixed
from sgtool.latents.model import open_model
from sgtool.latents.sources import gather


def shape_of(pictures):
    """Describe shapes: `[N, H, W, C]` uint8 -> `[N, F]`."""
    grey = pictures.astype(np.float64).mean(axis=3)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    grey /= grey.std(axis=(1, 2), keepdims=True) + 1e-6
    return np.concatenate([np.diff(grey, axis=axis).reshape(len(grey), -1) for axis in (1, 2)], axis=1)


def colour_of(pictures):
    """Describe the colour of what is neither background nor dark: `[N, H, W, C]` uint8 -> `[N, C]`."""
    pictures = pictures.astype(np.float64)
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    background = np.median(border, axis=1)[:, None, None]
    counted = (np.abs(pictures - background).max(axis=3) > 16) & (pictures.max(axis=3) > 60)
    counted |= ~counted.any(axis=(1, 2), keepdims=True)  # of a plain picture, all
    return np.stack([picture[inside].mean(axis=0) for picture, inside in zip(pictures, counted, strict=True)])


def agreement(mixtures, sources):
    """Return the mean correlation of vectors `[N, N, F]` with those of their rows and of their columns, `[N, F]` each."""
    centre = np.concatenate(sources).mean(axis=0)
    mixtures, rows, columns = (unit(vectors - centre) for vectors in (mixtures, *sources))
    return (mixtures * rows[:, None]).sum(axis=2).mean(), (mixtures * columns[None]).sum(axis=2).mean()


def unit(vectors):
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def crossovers(num_ws):
    """Return which layers come from the column, by name."""
    named = {word: rows_of(word, num_ws) for word in WORDS}
    return named if named["middle"] != named["fine"] else {word: named[word] for word in ("coarse", "fine")}


def results(model, number, truncation_psi):
    """Return a row for each crossover: which layers, and correlations of shape and colour with row and column."""
    label = 0 if model.G.c_dim else None
    sides = [list(range(number)), list(range(number, 2 * number))]
    ws = [gather(seeds, model, None, label=label, truncation_psi=truncation_psi).ws for seeds in sides]
    shown = [np.stack(list(render(model.G, side))) for side in ws]
    G, made = model.G, []
    for name, styles in crossovers(G.num_ws).items():
        pictures = np.stack(list(render(G, (mixed(row, column, styles) for row in ws[0] for column in ws[1]))))
        row = [name, f"{styles[0]}-{styles[-1]}"]
        for described in (shape_of, colour_of):
            vectors = described(pictures).reshape(number, number, -1)
            row += [f"{value:.2f}" for value in agreement(vectors, [described(side) for side in shown])]
        made.append(row)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--number", type=int, default=20, help="rows, and columns, of the mixtures [20]")
    parser.add_argument("--trunc", type=float, default=1.0)
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = results(open_model(options.model), options.number, options.trunc)
    measure.print_table(["from the column", "layers", "shape: row", "column", "colour: row", "column"], rows)


if __name__ == "__main__":
    main()

"""Pictures of a run: reals.png, fakes_init.png and a sheet of fakes with each snapshot."""

import math

import numpy as np
import torch

from sgtool import images
from sgtool.latents import latents_of_seeds

MOST_CPU_PIXELS = 1 << 20  # a sheet with more takes minutes to render without a GPU


class PictureGrid:
    """reals.png at the start, fakes_init.png, then fakesNNNNNN.png with each snapshot. Cell k is always the same latent."""

    def __init__(self, folder, dataset, config, device):
        self.folder = folder
        self.columns, self.rows = self._layout(dataset.resolution, device)
        chosen = self._choose(dataset, config)
        self.z, self.c = latents_of_seeds(range(len(chosen)), config.z_dim), None
        if config.c_dim:
            self.c = torch.from_numpy(dataset.label_vectors(chosen))
        if not (folder / "reals.png").exists():
            reals = np.stack([dataset[int(i)][0] for i in chosen]).transpose(0, 2, 3, 1)
            images.save_png(folder / "reals.png", images.grid(reals, self.columns))

    def _layout(self, resolution, device):
        height, width = resolution
        columns, rows = min(max(7680 // width, 7), 32), min(max(4320 // height, 4), 32)
        if torch.device(device).type == "cpu":
            side = math.sqrt(MOST_CPU_PIXELS / (height * width))
            columns, rows = min(columns, max(round(side), 2)), min(rows, max(round(side), 2))
        return columns, rows

    def _choose(self, dataset, config):
        """Indices of real pictures; with labels, each row shows one class."""
        order = np.random.RandomState(config.seed).permutation(len(dataset))
        if not config.c_dim or dataset.labels.ndim != 1:
            return np.resize(order, self.columns * self.rows)
        labels = dataset.labels[order]
        classes = [order[labels == label] for label in np.unique(labels)]
        rows = []
        for row in range(self.rows):
            members = classes[row % len(classes)]
            rows.append(np.resize(np.roll(members, -(row // len(classes)) * self.columns), self.columns))
        return np.concatenate(rows)

    def __call__(self, state, tick):
        if tick.is_snapshot:
            self.save(state.G_ema, f"fakes{state.nimg // 1000:06d}.png")

    def save(self, G, name):
        """Render the grid with generator `G`."""
        pictures = render(G, self.z, self.c)
        images.save_png(self.folder / name, images.grid(pictures, self.columns))


@torch.no_grad()
def render(G, z, c, batch=32):
    """Render latents `[M, z_dim]` with labels `[M, c_dim]` (or None) and the stored noise: uint8 `[M, H, W, C]`."""
    device = next(G.parameters()).device
    parts = []
    for i in range(0, len(z), batch):
        labels = None if c is None else c[i : i + batch].to(device)
        parts.append(images.to_uint8(G(z[i : i + batch].to(device), labels, noise_mode="const")))
    return np.concatenate(parts)

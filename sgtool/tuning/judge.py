"""Rungs are judged alike: the same latents, against the same real pictures."""

import math

import numpy as np
import torch

from sgtool.latents import latents_of_seeds
from sgtool.metrics import diversity, sliced_wasserstein
from sgtool.training.pictures import render

MOST_PICTURES = 2000
MOST_PIXELS = {"cpu": 1 << 22}  # of the generated sample; elsewhere GPU_PIXELS
GPU_PIXELS = 1 << 26
FEWEST = 16
PAIRS = 1000  # of MS-SSIM
COLUMNS = 12  # pictures of a rung on the sheet


class Judge:
    """Measures generators.

    Args:
        dataset: `ImageDataset`, with --subset and --mirror as in the trainings.
        device: torch device; a CPU measures fewer pictures.
        conditional: whether the generators take the dataset's labels.
        seed: of the choice of real pictures.

    Attributes:
        count: how many pictures are compared.
        msssim_reals: MS-SSIM of pairs of the real ones.
    """

    def __init__(self, dataset, device, conditional, seed=0):
        height, width = dataset.resolution
        pixels = MOST_PIXELS.get(torch.device(device).type, GPU_PIXELS)
        self.count = max(min(MOST_PICTURES, pixels // (height * width)), FEWEST)
        order = np.random.RandomState(seed).permutation(len(dataset))
        self.reals, self.device = dataset.batch(order[: self.count]), device
        self.c = torch.from_numpy(dataset.label_vectors(np.resize(order, self.count))) if conditional else None
        self.msssim_reals = diversity(self.reals, pairs=PAIRS)

    def __call__(self, G):
        """Return {"swd", "msssim"} of a generator: nan if its weights are not all finite."""
        if not all(bool(tensor.isfinite().all()) for tensor in G.state_dict().values() if tensor.is_floating_point()):
            return {"swd": math.nan, "msssim": math.nan}
        fakes = render(G.to(self.device), latents_of_seeds(range(self.count), G.z_dim), self.c).transpose(0, 3, 1, 2)
        return {"swd": sliced_wasserstein(self.reals, fakes), "msssim": diversity(fakes, pairs=PAIRS)}

    def row(self, G):
        """Return the first pictures of a generator as a row of the sheet: uint8 `[COLUMNS, H, W, C]`."""
        c = None if self.c is None else self.c[:COLUMNS]
        return render(G.to(self.device), latents_of_seeds(range(COLUMNS), G.z_dim), c)

    @property
    def real_row(self):
        """Real pictures as a row of the sheet, with the labels of the generated ones; few are repeated."""
        return np.resize(self.reals, [COLUMNS, *self.reals.shape[1:]]).transpose(0, 2, 3, 1)

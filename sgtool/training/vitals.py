"""What is measured of a run's health, on a small fixed sample: how varied its pictures are, and whether D knows its own."""

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.images import to_float
from sgtool.latents import latents_of_seeds
from sgtool.metrics import diversity
from sgtool.training.pictures import render

PICTURES = 64  # whose variety is measured, and of each kind that D is asked about
PAIRS = 200  # of them
SIDE = 64  # pixels; larger pictures are averaged down: pictures that are alike are that at any size
TOO_ALIKE = 0.95  # similarity of the reals from which there is no variety to lose


class Sample:
    """Fixed latents, fixed training pictures, and fixed held-out pictures where there are some.

    Args:
        dataset: `ImageDataset`, of the training.
        held_out: `ImageDataset` of pictures that are not trained on, or None.
        config: `TrainConfig`.
        device: of the networks.
    """

    def __init__(self, dataset, held_out, config, device):
        self.part = config.batch_gpu  # pictures that D is asked about at a time: what its minibatch statistics are made for
        count = self.part * max(round(PICTURES / self.part), 1)
        self.trained = _pictures(dataset, count, config, device)
        self.held_out = None if held_out is None else _pictures(held_out, count, config, device)
        reals, c = _pictures(dataset, PICTURES, config, "cpu")
        self.z, self.c = latents_of_seeds(range(PICTURES), config.z_dim), c if config.c_dim else None
        self.likeness = likeness(reals.numpy())  # of the reals

    def measure(self, state, vitals, stats):
        """Measure, and fill in `vitals.variety` and `vitals.rv` and the rows "Health/..." of a tick's `stats`."""
        fakes = render(state.G_ema, self.z, self.c).transpose(0, 3, 1, 2)
        if self.likeness < TOO_ALIKE and len(self.z) > 1:
            vitals.variety = (1 - likeness(fakes)) / (1 - self.likeness)
            stats["Health/diversity"] = _row(vitals.variety)
        if self.held_out is None:
            return
        c = torch.zeros([len(fakes), 0]) if self.c is None else self.c
        count = max(len(fakes) // self.part, 1) * self.part
        fakes = np.resize(fakes, (count, *fakes.shape[1:]))
        c = torch.from_numpy(np.resize(c.numpy(), (count, c.shape[1])))
        real, other, fake = (self._mean_logit(state.D, *of) for of in (self.trained, self.held_out, (torch.from_numpy(fakes), c)))
        stats["Health/real_minus_heldout"] = _row(real - other)
        if real > fake:
            vitals.rv = (real - other) / (real - fake)
            stats["Health/rv"] = _row(vitals.rv)

    @torch.no_grad()
    def _mean_logit(self, D, pictures, c):
        device = next(D.parameters()).device
        parts = zip(pictures.split(self.part), c.split(self.part), strict=True)
        return float(torch.cat([D(to_float(img.to(device)), labels.to(device)) for img, labels in parts]).mean())


def _row(value):
    return {"num": 1, "mean": float(value), "std": 0.0}


def _pictures(dataset, count, config, device):
    """Give `count` pictures of a dataset, uint8 `[count, C, H, W]`, again from the first where it has fewer, and their labels."""
    order = np.random.RandomState(config.seed).permutation(len(dataset))
    chosen = np.resize(order, count)
    pictures = torch.from_numpy(np.stack([dataset[int(i)][0] for i in chosen]))
    c = torch.from_numpy(dataset.label_vectors(chosen)) if config.c_dim else torch.zeros([count, 0])
    return pictures.to(device), c.to(device)


def likeness(pictures):
    """Mean MS-SSIM of pairs of uint8 pictures `[N, C, H, W]`, averaged down to at most about `SIDE` pixels: 1 = all the same."""
    factor = max(min(pictures.shape[2:]) // SIDE, 1)
    height, width = (side // factor * factor for side in pictures.shape[2:])
    blocks = pictures[:, :, :height, :width].reshape(*pictures.shape[:2], height // factor, factor, width // factor, factor)
    return diversity(blocks.mean(axis=(3, 5), dtype=np.float32), pairs=PAIRS, data_range=255)


def check_held_out(held_out, dataset, config):
    """Raise UserError unless the held-out pictures can be shown to D beside those of the training."""
    name = f"--held-out {held_out.name}"
    if (held_out.resolution, held_out.channels) != (dataset.resolution, dataset.channels):
        (h, w), (height, width) = held_out.resolution, dataset.resolution
        raise UserError(
            f"{name}: its pictures are {w}x{h} with {held_out.channels} channels, those of the training {width}x{height} with "
            f"{dataset.channels}. Prepare both alike: sgtool prepare --holdout makes both at once."
        )
    if config.c_dim and held_out.label_dim != config.c_dim:
        raise UserError(
            f"{name}: its labels have width {held_out.label_dim}, those of the training {config.c_dim}. Prepare both alike."
        )
    if held_out.fingerprint == dataset.fingerprint:
        raise UserError(
            f"{name}: these are the pictures of the training. Name some that are not trained on (sgtool prepare --holdout)."
        )

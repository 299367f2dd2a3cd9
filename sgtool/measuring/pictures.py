"""Where pictures come from: a dataset, or a model that makes them. Both give uint8 batches `[N, C, H, W]` by number."""

import contextlib
import math

import numpy as np
import torch

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents.generate import default_batch, picture_size
from sgtool.latents.seeds import latents_of_seeds
from sgtool.measuring.detector import exactly

SEEDS = 2**32
READ_AT_ONCE = 32  # pictures of a dataset; Inception-v3 takes about half a gigabyte for as many
READ_PIXELS = 1 << 23  # of them: several batches wait to be looked at


class Stored:
    """Pictures of a dataset, perhaps mirrored.

    Attributes:
        name: of the dataset, for messages.
        number: how many there are.
        shape: (C, H, W).
        at_once: how many to ask for at a time.
        key: hexadecimal digits that change with the pictures.
    """

    def __init__(self, dataset):
        self.dataset, self.name, self.number, self.key = dataset, dataset.name, len(dataset), dataset.fingerprint
        self.shape = (dataset.channels, *dataset.resolution)
        self.at_once = max(1, min(READ_AT_ONCE, READ_PIXELS // math.prod(dataset.resolution)))

    def choose(self, count, choice, seed):
        """Return the numbers of `count` pictures, ascending: the "first", or a "random" sample of that seed. None = all."""
        if count is None or count >= self.number:
            return np.arange(self.number)
        if choice == "first":
            return np.arange(count)
        return np.sort(np.random.RandomState(seed).permutation(self.number)[:count])

    def batch(self, indices):
        """Return pictures, uint8 array `[N, C, H, W]`."""
        return self.dataset.batch(indices)


class Made:
    """Pictures of a model: picture i is that of the seed `first_seed` + i, with noise drawn anew and, if the model needs one,
    the label of a random picture of the dataset. No truncation.

    They are computed in batches of a fixed size, each with the noise of its own seed, so that picture i is the same however
    many there are, and in whatever order they are asked for.

    Attributes: as `Stored`, but that there is no end to them: `number` is None, and so is `key`.
    """

    def __init__(self, model, first_seed=0, label_source=None, label_seed=(0, 0)):
        self.model, self.first_seed, self.labels, self.label_seed = model, first_seed, label_source, label_seed
        self.name, self.number, self.key = model.path.name, None, None
        self.shape, self.at_once = (model.G.img_channels, *picture_size(model.G)), default_batch(model.G)

    def choose(self, count, choice, seed):
        """Return the numbers 0 to `count` - 1: pictures of seeds are random as they come."""
        return np.arange(count)

    def batch(self, indices):
        """Return pictures, uint8 array `[N, C, H, W]`.

        Raises:
            UserError: the network gives values that are not finite.
        """
        indices = np.asarray(indices, np.int64)
        made = {number: self._made(number) for number in np.unique(indices // self.at_once)}
        return np.stack([made[i // self.at_once][i % self.at_once] for i in indices])

    def label_vectors(self, first, count):
        """Return labels of the pictures from number `first` on, float32 `[count, c_dim]` tensor; None without labels."""
        if self.labels is None:
            return None
        drawn = np.random.RandomState(self.label_seed).randint(len(self.labels), size=first + count)[first:]
        return torch.from_numpy(self.labels.label_vectors(drawn))

    def _made(self, number):
        """Compute one whole batch, uint8 `[at_once, C, H, W]`."""
        G, device, first = self.model.G, self.model.device, int(number) * self.at_once
        seeds = [(self.first_seed + first + i) % SEEDS for i in range(self.at_once)]
        z, c = latents_of_seeds(seeds, G.z_dim).to(device), self.label_vectors(first, self.at_once)
        with torch.inference_mode(), exactly(), _noise_from(seeds[0], device):
            img = G(z, None if c is None else c.to(device), noise_mode="random")
        if not torch.isfinite(img).all():
            raise UserError(
                f"{self.name}: the network's pictures are not finite numbers; its training diverged. Use an earlier snapshot."
            )
        return images.to_uint8(img).transpose(0, 3, 1, 2)


@contextlib.contextmanager
def _noise_from(seed, device):
    """Seed torch's global random numbers, which noise is drawn from, and put them back after."""
    of_mps = torch.mps.get_rng_state() if device.type == "mps" else None  # which fork_rng cannot put back
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if of_mps is not None:
                torch.mps.set_rng_state(of_mps)

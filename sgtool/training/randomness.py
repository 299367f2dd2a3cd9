"""The random numbers of training: functions of seed, step, phase and place in the batch, and of nothing else.

A run that goes on needs no states of generators; a phase that is computed again, or in smaller parts, or by more processes, draws
the same.
"""

import torch

# Kinds of streams of one place in the batch
LATENTS, AUGMENTATION, REAL_AUGMENTATION, SHARED = range(4)
BLOCK = 64  # numbers drawn ahead for each picture


def stream_seed(seed, attempt, step, phase, kind, place):
    """Return the seed, 0 <= s < 2^63, of one kind of numbers of one place in the batch, in one phase of one step."""
    mixed = 0
    for part in (seed, attempt, step, phase, kind, place):
        mixed = _scrambled(mixed ^ part)
    return mixed >> 1


def _scrambled(x):
    """Mix 64 bits (the finalizer of SplitMix64; Steele et al. 2014, figure 19)."""
    x = (x + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return x ^ (x >> 31)


class Draws:
    """Random numbers for some pictures of a batch: each picture has a stream of its own.

    Small ones (`uniform`, `normal`, `below`) come from the CPU and stay there, so that they are the same on every device.

    Args:
        seeds: of the streams, one for each picture.
        device: of large ones (`normals`).
    """

    def __init__(self, seeds, device="cpu"):
        self._seeds, self._device = list(seeds), torch.device(device)
        self._small = [torch.Generator().manual_seed(seed) for seed in self._seeds]
        self._large = None
        self._blocks = {"rand": iter(()), "randn": iter(())}

    def __len__(self):
        return len(self._seeds)

    def __add__(self, other):
        """Return draws for these pictures and then those of `other`; neither of the two may have been used."""
        return Draws(self._seeds + other._seeds, self._device)

    def uniform(self):
        """Uniform in [0, 1): `[N]` float32."""
        return self._next("rand")

    def normal(self):
        """Standard normal: `[N]` float32."""
        return self._next("randn")

    def below(self, high):
        """Whole numbers from 0 to high - 1: `[N]` int64."""
        return torch.cat([torch.randint(high, [1], generator=generator) for generator in self._small])

    def normals(self, *shape):
        """Standard normal: `[N, *shape]` float32 on the device."""
        if self._large is None:
            self._large = [torch.Generator(self._device).manual_seed(seed) for seed in self._seeds]
        drawn = torch.empty([len(self), *shape], device=self._device)
        for row, generator in zip(drawn, self._large, strict=True):
            row.normal_(generator=generator)
        return drawn

    def _next(self, kind):
        """Hand out a column of numbers that were drawn ahead."""
        column = next(self._blocks[kind], None)
        if column is None:
            drawn = torch.stack([getattr(torch, kind)(BLOCK, generator=generator) for generator in self._small], dim=1)
            self._blocks[kind] = iter(drawn)
            column = next(self._blocks[kind])
        return column


class Noise:
    """The noise maps of a synthesis network's layers, as `synthesis(ws, noise_mode=Noise(draws, synthesis))`.

    All are drawn at once and handed out in the order of the layers.
    """

    def __init__(self, draws, synthesis):
        self._drawn = draws.normals(sum(height * width for height, width in synthesis.noise_shapes))
        self._first = 0

    def __call__(self, height, width):
        """Return the next layer's map: `[N, 1, height, width]`."""
        first, self._first = self._first, self._first + height * width
        return self._drawn[:, first : self._first].unflatten(1, (1, height, width))

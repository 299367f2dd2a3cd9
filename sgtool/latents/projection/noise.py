"""Noise maps as variables: one of each kind for each picture, held to what noise looks like.

StyleGAN2 (Karras et al. 2020), appendix D.
"""

import torch
from torch.nn import functional

SMALLEST = 8  # pixels: maps are looked at down to this size


class NoiseMaps:
    """Which noise maps of a synthesis network are optimised, and where each lies in a row of numbers.

    Those are the maps that change the picture: a layer whose noise strength is zero is left out. Maps of one size lie side
    by side, so that they are handled together.

    Args:
        synthesis: `SynthesisNetwork`.
    """

    def __init__(self, synthesis):
        self.groups = {}  # {(height, width): names of the buffers}
        for name, layer in synthesis.named_modules():
            if getattr(layer, "use_noise", False) and bool(layer.noise_strength != 0):
                self.groups.setdefault(tuple(layer.noise_shape), []).append(f"{name}.noise_const")
        self.sizes = [len(names) * height * width for (height, width), names in self.groups.items()]
        self.total = sum(self.sizes)  # numbers of one picture

    def stacks(self, flat):
        """Cut `[N, total]` into views `[N, maps, H, W]`, one for each size."""
        parts = flat.split(self.sizes, dim=1) if self.groups else ()
        return [part.unflatten(1, (len(names), *size)) for part, (size, names) in zip(parts, self.groups.items(), strict=True)]

    def by_name(self, flat):
        """Cut `[N, total]` into {name of the buffer: view `[N, 1, H, W]`}, which a layer takes in place of its own map."""
        stacks = zip(self.stacks(flat), self.groups.values(), strict=True)
        return {name: stack[:, i : i + 1] for stack, names in stacks for i, name in enumerate(names)}

    def regularization(self, flat):
        """Sum `regularization` over the maps of each picture: `[N, total]` to `[N]`."""
        return sum((regularization(stack).sum(dim=1) for stack in self.stacks(flat)), flat.new_zeros(len(flat)))

    def normalize_(self, flat):
        """Bring each map in `[N, total]` to mean 0 and variance 1, in place."""
        for stack in self.stacks(flat):
            normalize_(stack)


def regularization(maps):
    """Measure how much neighbours in noise maps are alike, on every scale.

    With m the map averaged over blocks of 1, 2, 4 ... pixels, down to 8 pixels a side: the sum over scales of
    mean(m[y, x] * m[y, x - 1]) ** 2 + mean(m[y, x] * m[y - 1, x]) ** 2, where the map goes on at the opposite edge. Independent
    numbers give almost zero.

    Args:
        maps: `[N, maps, H, W]`.
    Returns:
        `[N, maps]`.
    """
    total = maps.new_zeros(maps.shape[:2])
    while True:
        for axis in (2, 3):
            total = total + (maps * maps.roll(1, axis)).mean(dim=(2, 3)).square()
        if min(maps.shape[2:]) <= SMALLEST or any(side % 2 for side in maps.shape[2:]):
            return total
        maps = functional.avg_pool2d(maps, 2)


def normalize_(maps):
    """Bring each map of `[N, maps, H, W]` to mean 0 and mean square 1, in place; a map without contrast becomes zero."""
    with torch.no_grad():
        maps -= maps.mean(dim=(2, 3), keepdim=True)
        maps *= (maps.square().mean(dim=(2, 3), keepdim=True) + 1e-8).rsqrt()

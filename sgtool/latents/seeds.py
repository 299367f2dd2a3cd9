"""Seeds are addresses: one seed is one latent, in every program of the family, whatever the batch or the device."""

import numpy as np
import torch


def latents_of_seeds(seeds, z_dim):
    """Return the input latents of seeds.

    z of a seed is `numpy.random.RandomState(seed).randn(1, z_dim)`, as in NVIDIA's tools.

    Args:
        seeds: whole numbers 0..2^32 - 1.
        z_dim: length of z.
    Returns:
        `[N, z_dim]` float32 on the CPU.
    """
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(rows).astype(np.float32)) if rows else torch.zeros(0, z_dim)


def one_hot(classes, c_dim):
    """Return the label of each class number.

    Args:
        classes: whole numbers below `c_dim`, or None for no class: zeros.
        c_dim: number of classes; 0 for a network without labels.
    Returns:
        `[N, c_dim]` float32 on the CPU.
    Raises:
        ValueError: a class outside 0..c_dim - 1.
    """
    labels = torch.zeros(len(classes), c_dim)
    for label, number in zip(labels, classes, strict=True):
        if number is None:
            continue
        if not 0 <= number < c_dim:
            raise ValueError(f"class {number} is outside 0..{c_dim - 1}.")
        label[number] = 1
    return labels

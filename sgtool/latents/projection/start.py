"""Where in W a search begins: the mean of w and its spread, for a label or without one."""

import math

import numpy as np
import torch

MAPPED_AT_ONCE = 1024
SEED = 123  # of the latents whose mean is taken: the published projector's
FEWEST = 100  # latents for the rough mean of a class


def statistics_of_w(G, samples, label=None):
    """Return the mean and the spread of w over random latents.

    z is `numpy.random.RandomState(123).randn(samples, z_dim)`; the spread is sqrt(sum |w - mean| ** 2 / samples), the length of
    a typical step from the mean. StyleGAN2 (Karras et al. 2020), appendix D.

    Args:
        G: generator.
        samples: number of latents.
        label: `[c_dim]`; None in a conditional network: all classes in turn, equally often.
    Returns:
        (`[w_dim]` float32 on G's device, a number).
    """
    device = next(G.parameters()).device
    z = torch.from_numpy(np.random.RandomState(SEED).randn(samples, G.z_dim).astype(np.float32))
    if label is not None:
        c = label.cpu().float().expand(samples, -1)
    else:
        c = torch.eye(G.c_dim)[torch.arange(samples) % G.c_dim] if G.c_dim else torch.zeros(samples, 0)
    with torch.no_grad():
        parts = zip(z.split(MAPPED_AT_ONCE), c.split(MAPPED_AT_ONCE), strict=True)
        w = torch.cat([G.mapping(z.to(device), c.to(device))[:, 0].float().cpu() for z, c in parts]).double()
    mean = w.mean(dim=0)
    return mean.float().to(device), math.sqrt((w - mean).square().sum().item() / samples)


def start_of_each(G, samples, labels, number):
    """Return where each of `number` pictures begins: means `[N, w_dim]` and spreads `[N]`, on G's device.

    Args:
        labels: `[N, c_dim]`, or None.
    """
    if labels is None or not G.c_dim:
        mean, spread = statistics_of_w(G, samples)
        return mean.repeat(number, 1), mean.new_full([number], spread)
    known = {}
    for label in labels:
        key = tuple(label.tolist())
        known[key] = known.get(key) or statistics_of_w(G, samples, label)
    found = [known[tuple(label.tolist())] for label in labels]
    return torch.stack([mean for mean, _ in found]), labels.new_tensor([spread for _, spread in found], dtype=torch.float32)


def nearest_labels(G, targets, distance, samples):
    """Choose the class of each target whose mean picture is the least distant.

    w is searched without regard to a label, so that the label decides only where the search begins. A choice among the classes
    is therefore enough; a mixture of classes, which the network has never seen, would begin no better.

    Args:
        targets: `[N, C, H, W]`, -1..1.
        distance: its `features`.
        samples: latents in all, shared among the classes, but 100 for each at the least.
    Returns:
        `[N, c_dim]` one-hot, on G's device.
    """
    classes = torch.eye(G.c_dim, device=targets.device)
    with torch.no_grad():
        wanted, columns = distance.features(targets), []
        for label in classes:
            mean, _ = statistics_of_w(G, max(samples // G.c_dim, FEWEST), label)
            img = G.synthesis(mean.expand(1, G.num_ws, -1), noise_mode="const")
            columns.append((distance.features(img) - wanted).square().sum(dim=1))
    return classes[torch.stack(columns, dim=1).argmin(dim=1)]

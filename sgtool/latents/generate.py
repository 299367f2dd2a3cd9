"""Pictures of seeds, one by one."""

import contextlib
import itertools

import torch

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents.seeds import latents_of_seeds, one_hot

BATCH_PIXELS, LARGEST_BATCH = 1 << 21, 32  # what is computed at once if nothing is said


def generate(G, seeds, classes=None, truncation_psi=1.0, truncation_cutoff=None, noise_mode="const", batch=None):
    """Yield the pictures of seeds, in order.

    The batch changes a picture by float rounding at most. With random noise each picture is computed alone, its noise
    drawn from its own seed, so that it can be made again (on the same device and PyTorch).

    Args:
        G: a generator in eval mode.
        seeds: iterable of whole numbers.
        classes: iterable of class numbers, one for each seed; None for a network without labels.
        truncation_psi: 1 = none, 0 = the average picture.
        truncation_cutoff: number of leading rows of `ws` to truncate; None = all.
        noise_mode: "const", "random" or "none".
        batch: pictures computed at once; None takes as many as make 2 million pixels, at most 32.
    Yields:
        uint8 `[H, W, C]` for each seed.
    Raises:
        UserError: the network gives values that are not finite.
    """
    device = next(G.parameters()).device
    pairs = ((seed, None) for seed in seeds) if classes is None else zip(seeds, classes, strict=True)
    size = 1 if noise_mode == "random" else batch or default_batch(G)
    while part := list(itertools.islice(pairs, size)):
        z = latents_of_seeds([seed for seed, _ in part], G.z_dim).to(device)
        c = one_hot([number for _, number in part], G.c_dim).to(device)
        with torch.inference_mode(), _noise_of(part[0][0] if noise_mode == "random" else None, device):
            ws = G.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
            img = G.synthesis(ws, noise_mode=noise_mode)  # [N, C, H, W]
        if not torch.isfinite(img).all():
            raise UserError("The network's pictures are not finite numbers: its training diverged. Use an earlier snapshot.")
        yield from images.to_uint8(img)


def default_batch(G):
    """Return how many pictures of `G` to compute at once: 2 million pixels, at most 32 pictures."""
    height, width = picture_size(G)
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (height * width)))


def picture_size(G):
    """Return the (height, width) of the pictures of `G`."""
    size = G.img_resolution
    return (size, size) if isinstance(size, int) else tuple(size)


@contextlib.contextmanager
def _noise_of(seed, device):
    """Seed torch's global random numbers, from which random noise is drawn, and put them back after. None: do nothing."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield

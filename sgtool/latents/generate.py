"""Pictures of seeds and of latents, one by one."""

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
    for part in _parts(pairs, size):
        z = latents_of_seeds([seed for seed, _ in part], G.z_dim).to(device)
        c = one_hot([number for _, number in part], G.c_dim).to(device)
        with torch.inference_mode():
            ws = G.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        yield from _pictures(G, ws, noise_mode, part[0][0])


def render(G, ws, noise_mode="const", batch=None, noise_seeds=None):
    """Yield the pictures of latents, in order. `ws` is consumed batch by batch, so it may be endless.

    Args:
        G: a generator in eval mode.
        ws: iterable of arrays or tensors `[num_ws, w_dim]` float32.
        noise_mode: "const", "random" or "none".
        batch: pictures computed at once, see `generate`.
        noise_seeds: iterable of the seeds of random noise, one for each picture; None = 0, 1, 2 ...
    Yields:
        uint8 `[H, W, C]` for each.
    Raises:
        UserError: the network gives values that are not finite.
    """
    device = next(G.parameters()).device
    size = 1 if noise_mode == "random" else batch or default_batch(G)
    seeds = itertools.count() if noise_seeds is None else noise_seeds
    for part in _parts(zip(ws, seeds, strict=False), size):
        rows = torch.stack([torch.as_tensor(w, dtype=torch.float32) for w, _ in part]).to(device)
        yield from _pictures(G, rows, noise_mode, part[0][1])


def _parts(things, size):
    things = iter(things)
    while part := list(itertools.islice(things, size)):
        yield part


def _pictures(G, ws, noise_mode, seed):
    """Return the pictures of one batch, uint8 `[N, H, W, C]`; random noise is drawn from `seed`."""
    with torch.inference_mode(), _noise_of(seed if noise_mode == "random" else None, ws.device):
        img = G.synthesis(ws, noise_mode=noise_mode)  # [N, C, H, W]
    if not torch.isfinite(img).all():
        raise UserError("The network's pictures are not finite numbers: its training diverged. Use an earlier snapshot.")
    return images.to_uint8(img)


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

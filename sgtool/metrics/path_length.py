"""Perceptual path length: how far a picture moves for a small step of its latent."""

import contextlib

import numpy as np
import torch

from sgtool import images

SPACES, SAMPLINGS = ("z", "w"), ("full", "end")
JUDGED = 256  # pixels: larger pictures are averaged down before they are compared


def path_length_distances(G, features, z, c=None, t=None, space="w", sampling="end", epsilon=1e-4, crop=False, noise=None):
    """Return the squared perceptual distance of two near points on a path between latents, divided by epsilon^2.

    The points lie at t and t + epsilon: on the great circle from one z to another, each then mapped (space z), or on the
    straight line from one mapped w to another (space w). Distance: |f(x1) - f(x2)|^2 with `features` f, of pictures scaled to
    0..255, averaged down to 256 pixels where they are larger, grey ones in three channels. Truncation 1, stored noise.
    Karras et al. (2019), "A Style-Based Generator Architecture", section 4.1, equations 2 and 3.

    Args:
        G: generator; nothing of it is changed.
        features: function from `[N, 3, H, W]` float32 in 0..255 to `[N, ...]` floats whose squared difference is the
            perceptual distance: LPIPS' VGG16, weighted, in the published metric.
        z: `[2 N, z_dim]`: N starts, then N ends.
        c: `[N, c_dim]` labels; None for a generator without.
        t: `[N]` in 0..1, where on the path; not used, and 0, for sampling "end".
        space: "z" or "w".
        sampling: "full": anywhere on the path; "end": at its start.
        epsilon: the step.
        crop: look at rows 3/8 to 7/8 and columns 2/8 to 6/8 only, where FFHQ and CelebA-HQ have the face.
        noise: torch.Generator on G's device: draw all noise maps anew, the same for both points and all pictures, as the
            published metric does for each batch. None: the stored ones.
    Returns:
        `[N]` float64 tensor.
    Raises:
        ValueError: a space or sampling that is none, or counts that do not belong together.
    """
    _check(z, t, space, sampling)
    number = len(z) // 2
    device = next(G.parameters()).device
    place = torch.zeros([number]) if sampling == "end" else torch.as_tensor(t, dtype=torch.float32)
    with torch.no_grad(), _noise_maps(G, noise):
        ws = _two_points(G, z.to(device), c, place.to(device), space, epsilon)
        img = G.synthesis(ws, noise_mode="const")
        near, far = features(judged(img, crop)).double().flatten(1).split(number)
        return (near - far).square().sum(dim=1) / epsilon**2


def path_length(distances):
    """Return the mean of the distances from the 1st to the 99th percentile, both included.

    The percentiles are samples: the 1st is rounded down to one, the 99th up. Karras et al. (2019), the published code.

    Args:
        distances: `[N]`, from `path_length_distances`.
    Returns:
        float: PPL.
    Raises:
        ValueError: no distances, or values that are not finite.
    """
    return float(within_percentiles(distances).mean())


def within_percentiles(distances):
    """Return the distances that `path_length` averages, float64; `bootstrap_interval` of them tells its spread."""
    distances = np.asarray(torch.as_tensor(distances).cpu(), np.float64)
    if distances.ndim != 1 or not len(distances) or not np.isfinite(distances).all():
        raise ValueError(f"distances of the shape {list(distances.shape)} have no mean; give at least one finite number [N].")
    lowest = np.percentile(distances, 1, method="lower")
    highest = np.percentile(distances, 99, method="higher")
    return distances[(distances >= lowest) & (distances <= highest)]


def lerp(a, b, t):
    """Return the point at t (0..1) on the straight line from a to b; shapes broadcast."""
    return a + (b - a) * t


def slerp(a, b, t):
    """Return the point at t (0..1) on the great circle from a to b, rows of unit length. Shoemake (1985), section 3.3.

    Args:
        a, b: `[..., D]`, of any length but 0.
        t: `[..., 1]`.
    """
    a, b = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
    cosine = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    across = b - cosine * a
    across = across / across.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(a.dtype).tiny)  # of equal ends: nowhere to go
    angle = t * torch.acos(cosine)
    point = a * torch.cos(angle) + across * torch.sin(angle)
    return point / point.norm(dim=-1, keepdim=True)


def judged(img, crop):
    """Return what the perceptual network sees of network images `[N, C, H, W]`: cropped, averaged down, 0..255, colour."""
    height, width = img.shape[2:]
    if crop:
        img = img[:, :, height // 8 * 3 : height // 8 * 7, width // 8 * 2 : width // 8 * 6]
    if (factor := min(height, width) // JUDGED) > 1:
        img = torch.nn.functional.avg_pool2d(img, factor)
    img = images.to_levels(img)
    return img.expand(-1, 3, -1, -1) if img.shape[1] == 1 else img


def _check(z, t, space, sampling):
    if space not in SPACES or sampling not in SAMPLINGS:
        raise ValueError(f"space is {space!r} and sampling {sampling!r}; they are one of {SPACES} and one of {SAMPLINGS}.")
    if z.ndim != 2 or len(z) < 2 or len(z) % 2:
        raise ValueError(f"z has the shape {list(z.shape)}; give [2 N, z_dim], N starts and then N ends.")
    if sampling == "full" and (t is None or len(t) != len(z) // 2):
        raise ValueError(f"sampling 'full' needs t, the places of the {len(z) // 2} paths.")


def _two_points(G, z, c, t, space, epsilon):
    """Latents at t, then those at t + epsilon: `[2 N, num_ws, w_dim]`."""
    c = torch.zeros([len(t), 0], device=z.device) if c is None else c.to(z.device)
    t = t[:, None]
    if space == "z":
        return G.mapping(torch.cat([slerp(*z.chunk(2), t), slerp(*z.chunk(2), t + epsilon)]), torch.cat([c, c]))
    start, end = G.mapping(z, torch.cat([c, c])).chunk(2)
    return torch.cat([lerp(start, end, t[..., None]), lerp(start, end, t[..., None] + epsilon)])


@contextlib.contextmanager
def _noise_maps(G, random):
    """Draw the stored noise maps anew while it lasts; they are put back."""
    maps = [buffer for name, buffer in G.named_buffers() if name.endswith(".noise_const")] if random is not None else []
    before = [noise.clone() for noise in maps]
    try:
        for noise in maps:
            noise.copy_(torch.randn(noise.shape, generator=random, device=noise.device, dtype=noise.dtype))
        yield
    finally:
        for noise, old in zip(maps, before, strict=True):
            noise.copy_(old)

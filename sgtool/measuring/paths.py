"""Perceptual path length of a model, path by path."""

import numpy as np
import torch
from tqdm import tqdm

from sgtool import metrics
from sgtool.errors import UserError
from sgtool.latents.seeds import latents_of_seeds
from sgtool.measuring.compute import Measured
from sgtool.measuring.pictures import SEEDS
from sgtool.metrics.path_length import JUDGED, within_percentiles

PIXELS_AT_ONCE, LARGEST_BATCH = 1 << 18, 16  # VGG16 takes about 6 kB for each pixel that it looks at
SMALLEST_CROP = 8  # pixels of a picture whose middle is looked at


def measured_paths(protocol, made, perceptual, *, seed=0, progress=False):
    """Measure the path length of a model: `Measured`.

    Path i goes from the latent of the seed `made.first_seed` + i to that of the seed `protocol.count` further on. Noise maps are
    drawn anew for each batch, labels as for pictures.

    Args:
        protocol: `Protocol` of path length.
        made: `pictures.Made`.
        perceptual: `Detector` "lpips".
        seed: of noise and of the places on the paths.
        progress: show a bar on stderr.
    Raises:
        UserError: the pictures are too small to be cropped, or the network gives values that are not finite.
    """
    settings = dict(protocol.settings)
    side = min(made.shape[1:])
    if settings["crop"] and side < SMALLEST_CROP:
        raise UserError(f"{protocol.name} looks at the middle of pictures, and {side} pixels have none. Use ppl2_wend.")
    batch = max(1, min(LARGEST_BATCH, PIXELS_AT_ONCE // min(side, JUDGED) ** 2))
    noise = torch.Generator(made.model.device).manual_seed(seed)
    places = np.random.RandomState(seed).rand(protocol.count).astype(np.float32)
    parts = []
    with tqdm(total=protocol.count, unit="path", desc=protocol.name, disable=None if progress else True) as bar:
        for first in range(0, protocol.count, batch):
            number = min(batch, protocol.count - first)
            parts.append(_distances(made, first, number, protocol.count, settings, places, perceptual, noise))
            bar.update(number)
    distances = np.concatenate(parts)
    if not np.isfinite(distances).all():
        raise UserError(f"{made.name}: its path lengths are not finite; its training diverged. Use an earlier snapshot.")
    kept = within_percentiles(distances)
    intervals = {protocol.name: metrics.bootstrap_interval(kept)} if len(kept) > 1 else {}
    return Measured({protocol.name: metrics.path_length(distances)}, intervals, {**settings, "batch": batch})


def _distances(made, first, number, count, settings, places, perceptual, noise):
    seeds = [(made.first_seed + start + first + i) % SEEDS for start in (0, count) for i in range(number)]
    z = latents_of_seeds(seeds, made.model.G.z_dim)
    c, t = made.label_vectors(first, number), torch.from_numpy(places[first : first + number])
    found = metrics.path_length_distances(made.model.G, perceptual.features, z, c, t, **settings, noise=noise)
    return found.cpu().numpy()

"""Perceptual path length of a model, path by path."""

import contextlib

import numpy as np
import torch
from tqdm import tqdm

from sgtool import metrics
from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.latents.seeds import latents_of_seeds
from sgtool.measuring.compute import Measured
from sgtool.measuring.detector import exactly
from sgtool.measuring.pictures import SEEDS
from sgtool.measuring.rounds import by_the_first, in_rounds
from sgtool.metrics.path_length import JUDGED, within_percentiles
from sgtool.networks import set_precision
from sgtool.networks.layers import Block

PIXELS_AT_ONCE, LARGEST_BATCH = 1 << 18, 16  # VGG16 takes about 6 kB for each pixel that it looks at
SMALLEST_CROP = 8  # pixels of a picture whose middle is looked at


def measured_paths(protocol, made, perceptual, *, seed=0, progress=False, world=ALONE, stop=None):
    """Measure the path length of a model.

    Path i goes from the latent of the seed `made.first_seed` + i to that of the seed `protocol.count` further on. Noise maps are
    drawn anew for each batch, labels as for pictures.

    Args:
        protocol: `Protocol` of path length.
        made: `pictures.Made`.
        perceptual: `Detector` "lpips".
        seed: of noise and of the places on the paths.
        progress: show a bar on stderr.
        world, stop: as for `rounds.in_rounds`.
    Returns:
        `Measured`; None in other processes than the first.
    Raises:
        UserError: the pictures are too small to be cropped, or the network gives values that are not finite.
    """
    settings = dict(protocol.settings)
    side = min(made.shape[1:])
    if settings["crop"] and side < SMALLEST_CROP:
        raise UserError(f"{protocol.name} looks at the middle of pictures, and {side} pixels have none. Use ppl2_wend.")
    batch = max(1, min(LARGEST_BATCH, PIXELS_AT_ONCE // min(side, JUDGED) ** 2))
    places = np.random.RandomState(seed).rand(protocol.count).astype(np.float32)
    parts, shown = [], progress and world.is_first

    def measured(first):
        number = min(batch, protocol.count - first)
        noise = torch.Generator(made.model.device).manual_seed(_noise_seed(seed, first))
        return _distances(made, first, number, protocol.count, settings, places, perceptual, noise)

    with tqdm(total=protocol.count, unit="path", desc=protocol.name, disable=None if shown else True) as bar:

        def take(first, distances):
            parts.append(distances)
            bar.update(len(distances))

        in_rounds(range(0, protocol.count, batch), measured, take, world=world, stop=stop)
    return by_the_first(
        lambda: _summed_up(protocol, made, np.concatenate(parts), {**settings, "batch": batch, "precision": "fp32"}),
        world=world,
        stop=stop,
    )


def _summed_up(protocol, made, distances, settings):
    if not np.isfinite(distances).all():
        raise UserError(f"{made.name}: its path lengths are not finite; its training diverged. Use an earlier snapshot.")
    kept = within_percentiles(distances)
    intervals = {protocol.name: metrics.bootstrap_interval(kept)} if len(kept) > 1 else {}
    return Measured({protocol.name: metrics.path_length(distances)}, intervals, settings)


def _noise_seed(seed, first):
    """The seed of a batch's noise: each has its own, so that a batch is the same whoever computes it."""
    return int(np.random.SeedSequence([seed, first]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _distances(made, first, number, count, settings, places, perceptual, noise):
    seeds = [(made.first_seed + start + first + i) % SEEDS for start in (0, count) for i in range(number)]
    z = latents_of_seeds(seeds, made.model.G.z_dim)
    c, t = made.label_vectors(first, number), torch.from_numpy(places[first : first + number])
    features = _where_float64_is(perceptual.features, made.model.device)
    with exactly(), _in_float32(made.model.G) as G:
        return metrics.path_length_distances(G, features, z, c, t, **settings, noise=noise).cpu().numpy()


def _where_float64_is(features, device):
    """Return a function of features whose values can become float64, in which distances are summed: MPS has none."""
    return (lambda img: features(img).cpu()) if device.type == "mps" else features


@contextlib.contextmanager
def _in_float32(G):
    """Have a generator compute in float32 while it lasts, as the published metric does: two points of a path differ by less
    than the steps of float16.
    """
    blocks = [module for module in G.modules() if isinstance(module, Block)]
    before = [block.half_type for block in blocks]
    set_precision(G, "fp32")
    try:
        yield G
    finally:
        for block, half_type in zip(blocks, before, strict=True):
            block.half_type = half_type

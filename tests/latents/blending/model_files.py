"""Small models on disk."""

import torch

from sgtool import snapshots
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot

SIZES = {"channel_base": 256, "channel_max": 16}


def models(path, start=1, learned=(), synthesis=(), **changes):
    """Write a snapshot whose networks start from the seed `start` and then learn what the seeds `learned` say."""
    torch.manual_seed(start)
    size = {"c_dim": 0, "img_resolution": 16, "img_channels": 3} | changes
    G = build_generator(z_dim=16, w_dim=16, **size, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=SIZES | dict(synthesis))
    D = build_discriminator(**size, **SIZES)
    for seed, amount in learned:
        noise = torch.Generator().manual_seed(seed)
        for tensor in [*G.parameters(), G.mapping.w_avg]:
            tensor.data += torch.randn(tensor.shape, generator=noise) * amount
    return Snapshot(G, None, D, dataset={"name": path.stem, "class_names": [*"abcdefghijkl"[: G.c_dim]]}), path


def write(snapshot, path, **config):
    snapshot.config = config
    snapshots.save(snapshot, path)
    return path


def related(folder, c_dims=(0, 0), **changes):
    """Write two models, the second learned from the first."""
    further = ("a", []), ("b", [(2, 0.1)])
    return [
        write(*models(folder / f"{name}.pkl", learned=[(1, 0.5), *more], c_dim=c_dim, **changes))
        for (name, more), c_dim in zip(further, c_dims, strict=True)
    ]

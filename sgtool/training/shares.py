"""Which pictures of a batch are computed together, and by which process.

The whole batch is cut into parts of `batch_gpu` pictures, and each process gets as many parts. What is in a part follows from the
groups of minibatch standard deviation: however the batch is cut, the same pictures form a group, so that training is the same.
"""

from dataclasses import dataclass

import torch

from sgtool.training.randomness import AUGMENTATION, LATENTS, REAL_AUGMENTATION, SHARED, Draws, stream_seed


def places_of(number, parts, batch, group):
    """Return the places in the batch of the pictures of a part, in the part's order.

    In a batch of N, picture n belongs to the minibatch-std group n mod (N / group).

    Args:
        number: of the part, from 0.
        parts: how many there are.
        batch: pictures of the whole batch.
        group: pictures in a group of minibatch standard deviation; None = all that are computed at a time.
    """
    size = batch // parts
    members = size if group is None or size % min(group, size) else min(group, size)
    groups, own = batch // members, size // members
    return [k * groups + number * own + j for k in range(members) for j in range(own)]


def own_parts(config, world):
    """Return the numbers of the parts of a batch that this process computes."""
    each = config.batch // config.batch_gpu // world.size
    return range(world.rank * each, (world.rank + 1) * each)


def own_places(config, world):
    """Return the places in the batch of the pictures that this process computes, in rising order.

    They do not depend on how many are computed at a time, as long as a group of minibatch standard deviation fits.
    """
    parts = config.batch // config.batch_gpu
    own = (places_of(number, parts, config.batch, config.mbstd_group) for number in own_parts(config, world))
    return sorted(place for places in own for place in places)


@dataclass(frozen=True)
class Part:
    """Pictures of a batch that are computed at a time in one phase, with their random numbers.

    Attributes:
        images: float `[N, C, H, W]` in [-1, 1], real ones.
        c: `[N, c_dim]`, their labels.
        label_pool: all labels of the dataset, see `step.Batch`.
        number: of the part, from 0.
        places: its pictures' places in the whole batch.
        key: (seed, attempt, step, phase), on which all draws depend.
    """

    images: torch.Tensor
    c: torch.Tensor
    label_pool: torch.Tensor | None
    number: int
    places: list
    key: tuple

    def draws(self, count=None):
        """Latents and noise of as many generated pictures; or of `count`, if fewer, which are a part of a smaller batch."""
        return self._of(LATENTS, self.places if count is None else range(self.number * count, (self.number + 1) * count))

    def augmentation(self):
        """Augmentation of generated pictures."""
        return self._of(AUGMENTATION, self.places)

    def real_augmentation(self):
        """Augmentation of real pictures."""
        return self._of(REAL_AUGMENTATION, self.places)

    def shared(self):
        """What is drawn once for the whole batch: one stream."""
        return self._of(SHARED, [0])

    def _of(self, kind, places):
        return Draws([stream_seed(*self.key, kind, place) for place in places], self.images.device)


def parts_of(batch, config, world, key):
    """Cut a process's share of a batch into its parts.

    Args:
        batch: `step.Batch` with the pictures of `own_places`.
        config: `TrainConfig`.
        world: `World`.
        key: see `Part`.
    """
    count, cut = config.batch // config.batch_gpu, []
    row_of = {place: row for row, place in enumerate(own_places(config, world))}
    for number in own_parts(config, world):
        places = places_of(number, count, config.batch, config.mbstd_group)
        rows = torch.tensor([row_of[place] for place in places], device=batch.images.device)
        cut.append(Part(batch.images[rows], batch.c[rows], batch.label_pool, number, places, key))
    return cut

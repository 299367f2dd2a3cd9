"""Batches of real pictures, in an order that is a function of seed and position alone."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sgtool.datasets import epoch_order
from sgtool.distributed import ALONE
from sgtool.images import to_float
from sgtool.training.shares import own_places
from sgtool.training.step import Batch

KEEP_DECODED = 1 << 30  # bytes: a dataset of up to this size stays in memory once decoded
BATCHES_AHEAD = 3


class Loader:
    """Yields `Batch`es for ever, prepared ahead by threads (decoding pictures releases Python's lock).

    Picture k of a run is number k % N of the shuffled order of epoch k // N, so that a resumed run needs only the count.

    Args:
        dataset: `ImageDataset`.
        config: `TrainConfig`.
        position: pictures shown so far, over all processes.
        device: where the batches are to be.
        world: `World`; each process loads its own pictures.
    """

    def __init__(self, dataset, config, position, device, world=ALONE):
        self._dataset, self._config, self._position, self._device = dataset, config, position, torch.device(device)
        self._epoch, self._order = -1, None
        self._places = np.asarray(own_places(config, world))
        shape = (len(dataset), dataset.channels, *dataset.resolution)
        keep = np.prod(shape, dtype=np.int64) <= KEEP_DECODED
        self._decoded = np.empty(shape, np.uint8) if keep else None
        self._is_decoded = np.zeros(len(dataset), bool)
        self._pool = ThreadPoolExecutor(max(config.workers, 1), thread_name_prefix="loader")
        self._waiting = deque()
        labels = dataset.labels if config.c_dim else None
        self._label_pool = None if labels is None else torch.as_tensor(labels).to(self._device)

    def __iter__(self):
        return self

    def __next__(self):
        while len(self._waiting) < BATCHES_AHEAD:
            indices = self._next_indices()
            self._waiting.append((indices, [self._pool.submit(self._picture, int(i)) for i in indices]))
        indices, pictures = self._waiting.popleft()
        images = torch.from_numpy(np.stack([picture.result() for picture in pictures]))
        c = torch.zeros([len(indices), 0])
        if self._label_pool is not None:
            c = torch.from_numpy(self._dataset.label_vectors(indices))
        return Batch(to_float(images.to(self._device)), c.to(self._device), self._label_pool)

    def close(self):
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next_indices(self):
        number = len(self._dataset)
        indices = []
        for k in range(self._position, self._position + self._config.batch):
            epoch, place = divmod(k, number)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, epoch_order(number, self._config.seed, epoch)
            indices.append(self._order[place])
        self._position += self._config.batch
        return np.asarray(indices)[self._places]

    def _picture(self, index):
        if self._decoded is None:
            return self._dataset[index][0]
        if not self._is_decoded[index]:
            self._decoded[index] = self._dataset[index][0]
            self._is_decoded[index] = True
        return self._decoded[index]

"""Patches of many pictures, and their projections, without ever holding all the patches."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sgtool.metrics.pyramid import laplacian_pyramid, pyramid_sizes

PATCH = 7  # pixels, side of a patch
TILE = 64  # pictures of a tile
PART = 1 << 18  # numbers of pictures that are filtered at once
BLOCK = 16  # patches of a tile's pictures that are copied out and projected at once: they stay in the processor's cache


class Workers:
    """Threads that compute with one thread each, and memory that is used again: to get it anew takes longer than to fill it.

    PyTorch keeps the number of its threads for each thread apart, and hands the last one set to threads that begin later.
    """

    def __init__(self, threads):
        self.threads, self.arrays = threads, {}
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown()
        torch.set_num_threads(self.threads)

    def map(self, function, *inputs):
        """Return what a function returns of each input, as a list in their order."""
        return list(self.pool.map(function, *inputs))

    def memory(self, name, shape):
        """Return a float32 array of the shape, with anything in it; it shares memory with those before it of that name."""
        size = math.prod(shape)
        if name not in self.arrays or self.arrays[name].size < size:
            self.arrays[name] = np.empty(size, np.float32)
        return self.arrays[name][:size].reshape(shape)


class Patches:
    """The same patches of every picture of a set, at one level of the pyramid.

    Patches overlap, so what is kept is each pixel that lies in any of them, once.

    Attributes:
        tiles: list of `[C, U, n]` float32, the chosen pixels of n pictures each.
        rows: `[C * 49, P]`, which of the C * U rows of a tile are a patch's pixels.
        count: of patches in all pictures together.
    """

    def __init__(self, channels, width, ys, xs):
        offsets = np.arange(PATCH)
        inside = (offsets[:, np.newaxis] * width + offsets).reshape(-1, 1)  # [49, 1]
        self.pixels, rows, self.cover = np.unique(ys * width + xs + inside, return_inverse=True, return_counts=True)
        rows = rows.reshape(1, PATCH * PATCH, -1) + len(self.pixels) * np.arange(channels)[:, np.newaxis, np.newaxis]
        self.rows = rows.reshape(channels * PATCH * PATCH, -1)
        self.tiles, self.count = [], 0

    def chosen(self, level):
        """Return the pixels of patches, `[C, U, n]`, of this level of the pyramid of n pictures, `[n, C, H, W]`."""
        return level.reshape(*level.shape[:2], -1)[:, :, self.pixels].transpose(1, 2, 0)

    def add(self, tile):
        """Add the patches of pictures, given the pixels that lie in them: `[C, U, n]` float32."""
        self.tiles.append(tile)
        self.count += tile.shape[2] * self.rows.shape[1]

    def normalise(self):
        """Give each channel mean 0 and standard deviation 1 over all patches; a constant channel becomes 0."""
        for tiles in zip(*self.tiles, strict=True):  # of one channel
            largest = max(np.abs(tile).max() for tile in tiles)
            mean = self._mean(tiles)
            for tile in tiles:
                tile -= mean
            deviation = np.sqrt(self._mean(map(np.square, tiles)))
            for tile in tiles:
                if deviation > 1e-6 * largest:
                    tile /= deviation
                else:  # nothing there but rounding, which must not be blown up to 1
                    tile[:] = 0

    def _mean(self, tiles):
        """Mean over all patches of one channel, float64: each pixel counts as often as patches hold it."""
        return sum(self.cover @ tile.sum(axis=1, dtype=np.float64) for tile in tiles) / (self.count * PATCH * PATCH)

    def along(self, directions, workers, name):
        """Return the projections of all patches on directions `[D, C * 49]`: `[D, count]` float32, in no particular order.

        `name` is that of the memory they lie in.
        """
        result = workers.memory(name, [len(directions), self.count])
        ends = np.cumsum([tile.shape[2] * self.rows.shape[1] for tile in self.tiles])
        places = [result[:, end - n * self.rows.shape[1] : end] for n, end in zip(self._sizes(), ends, strict=True)]
        shares = range(workers.threads)
        blocks = [workers.memory(("block", i), [len(self.rows) * BLOCK * max(self._sizes())]) for i in shares]

        def work(i):
            for tile, place in zip(self.tiles[i :: len(shares)], places[i :: len(shares)], strict=True):
                self._project(tile, directions, blocks[i], place)

        workers.map(work, shares)
        return result

    def _sizes(self):
        return [tile.shape[2] for tile in self.tiles]

    def _project(self, tile, directions, block, out):
        """Write the projections of a tile's patches to `out` `[D, P * n]`."""
        number = tile.shape[2]
        source = tile.reshape(-1, number)
        for first in range(0, self.rows.shape[1], BLOCK):
            rows = self.rows[:, first : first + BLOCK]
            patches = block[: rows.size * number].reshape(*rows.shape, number)
            np.take(source, rows, 0, patches, "clip")
            place = out[:, first * number : (first + rows.shape[1]) * number]
            torch.mm(torch.from_numpy(directions), torch.from_numpy(patches.reshape(len(rows), -1)), out=torch.from_numpy(place))


def cut(pictures, places, workers):
    """Cut normalised patches out of every level of the Laplacian pyramid of pictures `[N, C, H, W]`.

    Args:
        pictures: uint8 or float array.
        places: for each level, top left corners (ys, xs) of its patches.
        workers: Workers.
    Returns:
        list of Patches, one for each level.
    """
    sizes = pyramid_sizes(*pictures.shape[2:])
    levels = [Patches(pictures.shape[1], width, *place) for (_, width), place in zip(sizes, places, strict=True)]
    firsts = range(0, len(pictures), TILE)
    for tiles in workers.pool.map(lambda i: _tiles(pictures[i : i + TILE], levels), firsts):
        for patches, tile in zip(levels, tiles, strict=True):
            patches.add(tile)
    workers.map(Patches.normalise, levels)
    return levels


def _tiles(pictures, levels):
    """Return a tile for each level, of some pictures; a few of them are filtered at a time."""
    channels, number = pictures.shape[1], len(pictures)
    tiles = [np.empty([channels, len(patches.pixels), number], np.float32) for patches in levels]
    step = max(1, PART // pictures[0].size)
    for i in range(0, number, step):
        pyramid = laplacian_pyramid(pictures[i : i + step].astype(np.float32))
        for tile, patches, level in zip(tiles, levels, pyramid, strict=True):
            tile[:, :, i : i + step] = patches.chosen(level)
    return tiles

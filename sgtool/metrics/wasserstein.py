"""Sliced Wasserstein distance between the local structure of two sets of pictures, scale by scale.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), section 5.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sgtool.metrics.pictures import as_pair

PATCH = 7  # pixels, side of a descriptor
SMALLEST = 16  # pixels, shorter side of the coarsest level
SCALE = 1000  # published tables give the distance times 1000
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # low-pass filter of the pyramid, sum 1
CHUNK = 1 << 24  # numbers held at once by projections (64 MB)
PART = 1 << 19  # numbers of pictures that are filtered at once: they stay in the processor's cache


def sliced_wasserstein(a, b, patches=128, projections=512, seed=0):
    """Return the sliced Wasserstein distance of two sets of pictures, times 1000, averaged over the levels.

    See `sliced_wasserstein_levels`, which gives the levels one by one and takes the same arguments.
    """
    return float(np.mean(list(sliced_wasserstein_levels(a, b, patches, projections, seed).values())))


def sliced_wasserstein_levels(a, b, patches=128, projections=512, seed=0):
    """Return the sliced Wasserstein distance of two sets of pictures at each level of a Laplacian pyramid, times 1000.

    1. A Laplacian pyramid of each picture, halving down to the last level whose shorter side is at least 16 pixels
       (smaller pictures have one level): each level is the detail of one scale, the last one the low-pass rest.
    2. At each level `patches` neighbourhoods of 7x7 pixels, all channels, from each picture.
    3. Each set: from each channel its mean over the set is subtracted, then it is divided by its standard deviation.
       So neither overall brightness nor contrast counts, only structure and colour balance within the picture.
    4. The mean, over random directions of unit length, of the 1-D Wasserstein distance of the projected sets.

    Karras et al. (2018), section 5: 128 patches, 512 projections. The paper draws positions anew for each picture; here
    one set of positions, drawn without replacement, serves all pictures of both sets. Then the order of the pictures is
    no input, a set against itself is exactly 0, and what is compared lies at the same places.

    Args:
        a, b: `[N, C, H, W]` arrays or tensors, uint8 or float, both in one value range (any: step 3 removes it). The
            two N may differ. H and W at least 7.
        patches: neighbourhoods per picture and level; all there are if there are fewer.
        projections: number of directions; the error of the mean falls with its root.
        seed: of positions and directions.
    Returns:
        dict from the level's (height, width) to its distance times 1000, finest level first; 0 is best.
    Raises:
        ValueError: shapes or types that cannot be compared, or pictures smaller than 7x7.
    """
    a, b = as_pair(a, b)
    if min(a.shape[2:]) < PATCH:
        raise ValueError(f"pictures of {a.shape[2]}x{a.shape[3]} pixels are too small: a patch takes {PATCH}x{PATCH}.")
    random = np.random.RandomState(seed)
    distances = {}
    for height, width in pyramid_sizes(*a.shape[2:]):
        ys, xs = _positions(height, width, patches, random)
        directions = _directions(projections, a.shape[1] * PATCH * PATCH, random)
        sets = [_normalise(_descriptors(pictures, (height, width), ys, xs)) for pictures in (a, b)]
        distances[height, width] = float(SCALE * _mean_distance(*sets, directions))
    return distances


def pyramid_sizes(height, width):
    """Return the (height, width) of each pyramid level, finest first: halved while the shorter side stays at least 16."""
    sizes = [(height, width)]
    while (min(sizes[-1]) + 1) // 2 >= SMALLEST:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def laplacian_pyramid(pictures):
    """Return the levels of the Laplacian pyramid of float pictures `[N, C, H, W]`, finest first.

    Each level but the last is the picture minus its low-pass version (halved and doubled again); adding a level to the
    doubled next one returns the finer picture. Burt and Adelson (1983), filter [1 4 6 4 1]/16, mirrored at the edges.
    """
    levels = []
    for _ in pyramid_sizes(*pictures.shape[2:])[1:]:
        smaller = halve(pictures)
        levels.append(pictures - double(smaller, pictures.shape[2:]))
        pictures = smaller
    return [*levels, pictures]


def halve(pictures):
    """Low-pass filter pictures `[N, C, H, W]` and keep every second row and column, the first included."""
    return _blur(_blur(pictures, 2)[:, :, ::2], 3)[:, :, :, ::2]


def double(pictures, size):
    """Enlarge pictures to `size` (height, width): every second pixel given, the others interpolated by the same filter."""
    number, channels, height, width = pictures.shape
    rows = np.zeros([number, channels, size[0], width], pictures.dtype)
    rows[:, :, ::2] = 2 * pictures
    both = np.zeros([number, channels, *size], pictures.dtype)
    both[:, :, :, ::2] = 2 * _blur(rows, 2)
    return _blur(both, 3)


def _blur(pictures, axis):
    """Filter pictures `[N, C, H, W]` along one axis with the binomial filter, mirrored at the edges."""
    margin = len(BINOMIAL) // 2
    padded = np.pad(pictures, [(margin, margin) if i == axis else (0, 0) for i in range(4)], mode="reflect")
    padded = padded.swapaxes(axis, 2)
    length = pictures.shape[axis]
    return sum(weight * padded[:, :, i : i + length] for i, weight in enumerate(BINOMIAL)).swapaxes(axis, 2)


def _positions(height, width, patches, random):
    """Draw top left corners of patches, no two alike: arrays ys, xs."""
    columns = width - PATCH + 1
    chosen = random.permutation((height - PATCH + 1) * columns)[:patches]
    return chosen // columns, chosen % columns


def _directions(number, dimensions, random):
    """Draw unit vectors `[number, dimensions]`, uniform over the sphere, float32."""
    vectors = random.randn(number, dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _descriptors(pictures, size, ys, xs):
    """Cut the patches out of one pyramid level: float32 `[C, 49, P * N]`, a few pictures at a time."""
    number, channels, height, width = pictures.shape
    result = np.empty([channels, PATCH * PATCH, len(ys), number], np.float32)
    step = max(1, PART // (channels * height * width))
    offsets = np.arange(PATCH)
    rows = ys + np.repeat(offsets, PATCH)[:, np.newaxis]  # [49, P]
    columns = xs + np.tile(offsets, PATCH)[:, np.newaxis]
    for first in range(0, number, step):
        part = pictures[first : first + step].astype(np.float32)
        level = laplacian_pyramid(part)[pyramid_sizes(height, width).index(size)]
        level = np.ascontiguousarray(level.transpose(1, 2, 3, 0))  # [C, H, W, N]: copies whole rows below
        result[..., first : first + step] = level[:, rows, columns]
    return result.reshape(channels, PATCH * PATCH, -1)


def _normalise(descriptors):
    """Give each channel of `[C, 49, n]` mean 0 and standard deviation 1, in place; a constant channel becomes 0."""
    for channel in descriptors:
        largest = np.abs(channel).max()
        channel -= channel.mean(dtype=np.float64)
        deviation = np.sqrt(np.square(channel).mean(dtype=np.float64))
        if deviation > 1e-6 * largest:
            channel /= deviation
        else:  # nothing there but rounding, which must not be blown up to 1
            channel[:] = 0
    return descriptors.reshape(-1, descriptors.shape[2])


def _mean_distance(a, b, directions):
    """Return the mean 1-D Wasserstein distance of the columns of `a` and `b` `[dimensions, n]` along `directions`."""
    step = max(1, CHUNK // max(a.shape[1], b.shape[1]))
    total, threads = 0.0, torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:  # numpy sorts with one thread, and lets others run meanwhile
        for first in range(0, len(directions), step):
            part = directions[first : first + step]
            rows = [np.array_split(part @ points, min(threads, len(part))) for points in (a, b)]
            total += np.concatenate(list(pool.map(wasserstein_1d, *rows))).sum()
    return total / len(directions)


def wasserstein_1d(a, b):
    """Return the Wasserstein-1 distance of samples on a line, row by row.

    The area between the two quantile functions; for equal counts, the mean distance of the sorted samples.

    Args:
        a, b: `[D, n]` and `[D, m]` float arrays of one type; their memory is used for the work.
    Returns:
        `[D]` float64.
    """
    a.sort(axis=1)
    b.sort(axis=1)
    n, m = a.shape[1], b.shape[1]
    if n == m:
        return np.abs(np.subtract(a, b, out=a), out=a).mean(axis=1).astype(np.float64)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # where a quantile function steps, in 1/(n m)
    widths = np.diff(ends, prepend=0) / (n * m)
    gaps = np.abs(a[:, (ends - 1) // m] - b[:, (ends - 1) // n])
    return gaps @ widths

"""Sliced Wasserstein distance between the local structure of two sets of pictures, scale by scale.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), section 5.
"""

import numpy as np
import torch

from sgtool.metrics.patches import PATCH, Workers, cut
from sgtool.metrics.pictures import as_pair
from sgtool.metrics.pyramid import pyramid_sizes

SCALE = 1000  # published tables give the distance times 1000
HELD = 100_000_000  # projections of each set held at once (400 MB)
CACHED = 1 << 16  # numbers handled at once where they should stay in the processor's cache


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
    random, sizes = np.random.RandomState(seed), pyramid_sizes(*a.shape[2:])
    draws = [(_positions(*size, patches, random), _directions(projections, a.shape[1] * PATCH * PATCH, random)) for size in sizes]
    places, directions = zip(*draws, strict=True)
    with Workers(torch.get_num_threads()) as workers:
        levels = zip(cut(a, places, workers), cut(b, places, workers), directions, strict=True)
        distances = [SCALE * _mean_distance(*level, workers) for level in levels]
    return dict(zip(sizes, distances, strict=True))


def _positions(height, width, patches, random):
    """Draw top left corners of patches, no two alike: arrays ys, xs."""
    columns = width - PATCH + 1
    chosen = random.permutation((height - PATCH + 1) * columns)[:patches]
    return chosen // columns, chosen % columns


def _directions(number, dimensions, random):
    """Draw unit vectors `[number, dimensions]`, uniform over the sphere, float32."""
    vectors = random.randn(number, dimensions)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _mean_distance(a, b, directions, workers):
    """Return the mean 1-D Wasserstein distance of two sets of patches along `directions`."""
    passes = -(-len(directions) * max(a.count, b.count) // HELD)
    total, steps = 0.0, _steps(a.count, b.count)
    for part in np.array_split(directions, min(passes, len(directions))):
        rows = a.along(part, workers, "a"), b.along(part, workers, "b")
        total += sum(workers.map(lambda *pair: _distance_of_rows(*pair, steps), *rows))
    return total / len(directions)


def wasserstein_1d(a, b):
    """Return the Wasserstein-1 distance of samples on a line, row by row.

    The area between the two quantile functions; for equal counts, the mean distance of the sorted samples.

    Args:
        a, b: `[D, n]` and `[D, m]` float arrays of one type; their memory is used for the work.
    Returns:
        `[D]` float64.
    """
    steps = _steps(a.shape[1], b.shape[1])
    return np.array([_distance_of_rows(*rows, steps) for rows in zip(a, b, strict=True)])


def _steps(n, m):
    """Return the intervals on which the quantile functions of n and m samples are constant: which sample of each, how wide.

    None for equal counts, where it is the i-th of both, 1/n wide.
    """
    if n == m:
        return None
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in 1/(n m)
    return (ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m)


def _distance_of_rows(a, b, steps):
    """Wasserstein-1 distance of two rows of samples, which are sorted in place."""
    a.sort()
    b.sort()
    if steps is None:
        parts = (slice(i, i + CACHED) for i in range(0, len(a), CACHED))
        return sum(float(np.abs(a[part] - b[part]).sum()) for part in parts) / len(a)
    of_a, of_b, widths = steps
    parts = (slice(i, i + CACHED) for i in range(0, len(widths), CACHED))
    return sum(float(np.abs(a[of_a[part]] - b[of_b[part]]) @ widths[part]) for part in parts)

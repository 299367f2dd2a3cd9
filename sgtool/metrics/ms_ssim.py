"""Multi-scale structural similarity, of pairs of pictures and as a measure of how varied a set is."""

import numpy as np

from sgtool.metrics.pictures import as_pair, as_pictures

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of the scales, finest first
WINDOW, SIGMA = 11, 1.5  # pixels, the Gaussian window at full size
K1, K2 = 0.01, 0.03
CHUNK = 1 << 16  # numbers of one picture set handled at once: they stay in the processor's cache


def ms_ssim(a, b, data_range=None):
    """Return the mean multi-scale structural similarity of the pairs a[i], b[i].

    At each scale luminance l, and contrast and structure together cs, come from means, variances and covariance under a
    sliding Gaussian window (11x11, sigma 1.5, inside the picture only), averaged over positions and channels. Between
    scales pictures are halved by averaging 2x2 pixels (an odd last row or column counts twice). The result is
    cs_1^w1 ... cs_{M-1}^w{M-1} (l_M cs_M)^wM, a negative average counting as 0.
    Wang, Simoncelli and Bovik (2003), equation 7, with its constants: 5 scales, K1 = 0.01, K2 = 0.03.

    Small pictures: where a scale's shorter side n is below 11 the window is n x n with sigma 1.5 n / 11. Scales whose
    shorter side would be below 2 pixels are left out and the remaining exponents divided by their sum; from 17x17
    up all five are used.

    Args:
        a, b: `[N, C, H, W]` arrays or tensors, the same number of each, H and W at least 2. uint8 (0..255) or float.
        data_range: largest minus smallest possible value: for uint8 always 255, for float it must be given
            (2 for -1..1, 1 for 0..1).
    Returns:
        float; 1 for equal pictures, at least 0.
    Raises:
        ValueError: shapes, types or counts that cannot be compared, or floats without `data_range`.
    """
    a, b = as_pair(a, b)
    if len(a) != len(b):
        raise ValueError(f"a holds {len(a)} pictures and b {len(b)}; pairs need as many of each.")
    limit = _data_range(a, data_range)
    step = max(1, CHUNK // a[0].size)
    total = sum(_of_pairs(a[i : i + step], b[i : i + step], limit).sum() for i in range(0, len(a), step))
    return float(total / len(a))


def diversity(images, pairs=1000, seed=0, data_range=None):
    """Return the mean multi-scale structural similarity between different pictures of one set: lower is more varied.

    0 would be pictures that share nothing, 1 is one picture over and over. Compare with the value of the real
    pictures. Karras et al. (2018), section 5 and table 1, after Odena et al. (2017).

    Args:
        images: `[N, C, H, W]`, at least two pictures, as for `ms_ssim`.
        pairs: number of pairs to draw, none twice; all of them if there are no more.
        seed: of the draw.
        data_range: as for `ms_ssim`.
    Returns:
        float in 0..1.
    """
    images = as_pictures(images, "images")
    if len(images) < 2:
        raise ValueError("one picture has no pairs; give at least two.")
    limit = _data_range(images, data_range)
    first, second = _draw_pairs(len(images), pairs, seed)
    step = max(1, CHUNK // images[0].size)
    total = 0.0
    for i in range(0, len(first), step):
        total += _of_pairs(images[first[i : i + step]], images[second[i : i + step]], limit).sum()
    return float(total / len(first))


def scale_weights(height, width):
    """Return the exponents of the scales that a picture of this size has, finest first, sum as published for all five."""
    scales, side = 1, min(height, width)
    if side < 2:
        raise ValueError(f"pictures of {height}x{width} pixels are too small for structural similarity.")
    while scales < len(WEIGHTS) and (side := (side + 1) // 2) >= 2:
        scales += 1
    weights = np.array(WEIGHTS[:scales])
    return weights if scales == len(WEIGHTS) else weights / weights.sum()


def _data_range(pictures, data_range):
    if pictures.dtype == np.uint8:
        if data_range not in (None, 255):
            raise ValueError(f"uint8 pictures have the data range 255, not {data_range}.")
        return 255.0
    if data_range is None or not data_range > 0:
        raise ValueError("float pictures need data_range: 2 for values in -1..1, 1 for 0..1, 255 for 0..255.")
    return float(data_range)


def _draw_pairs(number, pairs, seed):
    """Draw different pairs i < j of `number` things: two index arrays. A pair's rank is j (j - 1) / 2 + i."""
    existing = number * (number - 1) // 2
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}; ask for at least one.")
    random = np.random.default_rng(seed)
    ranks = np.arange(existing) if pairs >= existing else random.choice(existing, pairs, replace=False)
    second = ((1 + np.sqrt(1 + 8 * ranks.astype(np.float64))) / 2).astype(np.int64)
    second -= second * (second - 1) // 2 > ranks  # the root may have been rounded up
    return ranks - second * (second - 1) // 2, second


def _of_pairs(a, b, limit):
    """Return the multi-scale similarity of each pair of pictures `[N, C, H, W]`: `[N]` float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    weights = scale_weights(*a.shape[2:])
    result = np.ones(len(a))
    for scale, weight in enumerate(weights):
        luminance, structure = similarity_maps(a, b, limit)
        last = scale == len(weights) - 1
        value = (luminance * structure if last else structure).mean(axis=(1, 2, 3))
        result *= np.maximum(value, 0) ** weight
        if not last:
            a, b = _halve(a), _halve(b)
    return result


def similarity_maps(a, b, limit):
    """Return luminance and contrast-structure maps of two sets of pictures.

    Args:
        a, b: float64 arrays `[N, C, H, W]`.
        limit: largest minus smallest possible value.
    Returns:
        two arrays `[N, C, H', W']`: a number for each place of the window inside the picture.
    """
    window = _window(min(a.shape[2:]))
    mean_a, mean_b = _filter(a, window), _filter(b, window)
    variances = _filter(a * a, window) - mean_a**2 + _filter(b * b, window) - mean_b**2
    covariance = _filter(a * b, window) - mean_a * mean_b
    c1, c2 = (K1 * limit) ** 2, (K2 * limit) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _window(side):
    """Return one axis of the Gaussian window for pictures whose shorter side is `side` pixels, sum 1."""
    size = min(WINDOW, side)
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * (offsets / (SIGMA * size / WINDOW)) ** 2)
    return window / window.sum()


def _filter(pictures, window):
    """Weight pictures `[N, C, H, W]` by the window at every position inside them: `[N, C, H - n + 1, W - n + 1]`."""
    height, width = (n - len(window) + 1 for n in pictures.shape[2:])
    rows = sum(weight * pictures[:, :, i : i + height] for i, weight in enumerate(window))
    return sum(weight * rows[:, :, :, i : i + width] for i, weight in enumerate(window))


def _halve(pictures):
    """Average 2x2 pixels of `[N, C, H, W]`; an odd last row or column counts twice."""
    padded = np.pad(pictures, [(0, 0), (0, 0), (0, pictures.shape[2] % 2), (0, pictures.shape[3] % 2)], mode="edge")
    rows = padded[:, :, ::2] + padded[:, :, 1::2]
    return (rows[:, :, :, ::2] + rows[:, :, :, 1::2]) / 4

"""Multi-scale structural similarity: against a slow version from the definition, closed forms, conventions."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from sgtool.metrics import diversity, ms_ssim
from sgtool.metrics.ms_ssim import _draw_pairs, scale_weights

PUBLISHED = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def noise(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def smooth(*shape, seed=0):
    values = gaussian_filter(np.random.RandomState(seed).randn(*shape), (0, 0, 3, 3))
    return np.clip(127 + 500 * values, 0, 255).astype(np.uint8)


def slow_maps(a, b):
    """Luminance times contrast-structure, and contrast-structure, of two planes: window by window."""
    size = min(11, *a.shape)
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * (1.5 * size / 11) ** 2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity, structure = [], []
    for y in range(a.shape[0] - size + 1):
        for x in range(a.shape[1] - size + 1):
            p, q = a[y : y + size, x : x + size], b[y : y + size, x : x + size]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            covariance = (window * (p - mp) * (q - mq)).sum()
            structure.append((2 * covariance + c2) / (vp + vq + c2))
            similarity.append((2 * mp * mq + c1) / (mp**2 + mq**2 + c1) * structure[-1])
    return np.mean(similarity), np.mean(structure)


def slow_halve(plane):
    rows = [(plane[i] + plane[min(i + 1, len(plane) - 1)]) / 2 for i in range(0, len(plane), 2)]
    return np.array([[(row[j] + row[min(j + 1, len(row) - 1)]) / 2 for j in range(0, len(row), 2)] for row in rows])


def slow_ms_ssim(a, b, weights):
    """One pair `[C, H, W]`."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    result = 1.0
    for scale, weight in enumerate(weights):
        maps = np.array([slow_maps(p, q) for p, q in zip(a, b, strict=True)]).mean(axis=0)
        last = scale == len(weights) - 1
        result *= max(maps[0] if last else maps[1], 0) ** weight
        if not last:
            a, b = np.array([slow_halve(p) for p in a]), np.array([slow_halve(p) for p in b])
    return result


@pytest.mark.parametrize(
    ("shape", "weights"),
    [
        ((3, 40, 33), PUBLISHED),
        ((1, 32, 32), PUBLISHED),
        ((2, 16, 21), np.array(PUBLISHED[:4]) / sum(PUBLISHED[:4])),
        ((1, 8, 8), np.array(PUBLISHED[:3]) / sum(PUBLISHED[:3])),
        ((1, 2, 30), [1.0]),
    ],
)
def test_similarity_is_the_slow_definition(shape, weights):
    a = smooth(2, *shape, seed=0)
    b = np.clip(a + np.random.RandomState(1).normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    expected = np.mean([slow_ms_ssim(p, q, weights) for p, q in zip(a, b, strict=True)])
    assert 0.1 < expected < 0.99
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "scales"),
    [((2, 2), 1), ((4, 4), 2), ((8, 9), 3), ((16, 100), 4), ((17, 17), 5), ((32, 32), 5), ((512, 512), 5)],
)
def test_small_pictures_have_fewer_scales_and_exponents_of_the_same_sum(size, scales):
    weights = scale_weights(*size)
    assert len(weights) == scales
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(weights / weights[0], np.array(PUBLISHED[:scales]) / PUBLISHED[0])


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 16, 16), (4, 33, 20)])
def test_equal_pictures_are_one(shape):
    pictures = noise(4, *shape)
    assert ms_ssim(pictures, pictures) == pytest.approx(1, abs=1e-12)


def test_flat_pictures_have_the_luminance_term_alone():
    # no variance: every contrast term is 1 and what is left is l^0.1333
    a, b = np.full([1, 1, 32, 32], 100, np.uint8), np.full([1, 1, 32, 32], 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = ((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)) ** 0.1333
    assert ms_ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_less_contrast_is_the_closed_form():
    # b = m + k (a - m): every window has cov = k var; with tiny constants cs = 2k / (1 + k^2) at all scales, l = 1
    base = np.random.RandomState(0).randn(1, 1, 32, 32)
    a, b = 1e6 + 1000 * base, 1e6 + 500 * base
    assert ms_ssim(a, b, data_range=1e-3) == pytest.approx(0.8 ** sum(PUBLISHED), abs=1e-4)


def test_similarity_falls_with_noise_and_is_symmetric():
    a = smooth(3, 1, 48, 48)
    noisy = [np.clip(a + np.random.RandomState(1).normal(0, s, a.shape), 0, 255).astype(np.uint8) for s in (5, 20, 60)]
    values = [ms_ssim(a, b) for b in noisy]
    assert 1 > values[0] > values[1] > values[2] > 0
    assert ms_ssim(noisy[2], a) == pytest.approx(values[2], abs=1e-12)


def test_opposite_pictures_count_zero_and_not_nan():
    a = noise(2, 1, 32, 32)
    assert ms_ssim(a, 255 - a) == 0


def test_value_is_the_mean_over_pairs_whatever_the_batch():
    a, b = noise(70, 3, 32, 32), smooth(70, 3, 32, 32)
    b[:10] = a[:10]
    each = [ms_ssim(a[i : i + 1], b[i : i + 1]) for i in range(70)]
    assert ms_ssim(a, b) == pytest.approx(np.mean(each), abs=1e-12)


def test_tensors_and_floats_agree_with_bytes():
    a, b = smooth(3, 3, 32, 32), smooth(3, 3, 32, 32, seed=1)
    expected = ms_ssim(a, b)
    assert ms_ssim(torch.from_numpy(a), torch.from_numpy(b)) == expected
    assert ms_ssim(a.astype(np.float64), b.astype(np.float64), data_range=255) == pytest.approx(expected, abs=1e-12)
    assert ms_ssim(a / 255, b / 255, data_range=1) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ms_ssim(np.zeros([2, 1, 8, 8]), np.zeros([2, 1, 8, 8])), "need data_range"),
        (lambda: ms_ssim(noise(2, 1, 8, 8), noise(2, 1, 8, 8), data_range=1), "255, not 1"),
        (lambda: ms_ssim(noise(2, 1, 8, 8), noise(3, 1, 8, 8)), "as many of each"),
        (lambda: ms_ssim(noise(2, 1, 1, 8), noise(2, 1, 1, 8)), "1x8 pixels are too small"),
        (lambda: diversity(noise(1, 1, 8, 8)), "at least two"),
        (lambda: diversity(noise(3, 1, 8, 8), pairs=0), "at least one"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("number", [2, 3, 10, 50])
def test_all_pairs_are_each_pair_once(number):
    first, second = _draw_pairs(number, 10_000, seed=0)
    assert sorted(zip(first, second, strict=True)) == [(i, j) for i in range(number) for j in range(i + 1, number)]


def test_drawn_pairs_differ_and_are_of_different_pictures_even_among_very_many():
    first, second = _draw_pairs(3_000_000, 500, seed=0)
    assert len(set(zip(first, second, strict=True))) == 500
    assert (first >= 0).all()
    assert (first < second).all()
    assert (second < 3_000_000).all()


def test_diversity_is_one_for_a_collapsed_set_and_lower_for_a_varied_one():
    one = smooth(1, 3, 32, 32)
    assert diversity(np.repeat(one, 10, axis=0)) == pytest.approx(1)
    modes = np.concatenate([smooth(5, 3, 32, 32, seed=i % 2) for i in range(2)])
    varied = smooth(10, 3, 32, 32)
    assert diversity(varied) < diversity(np.concatenate([varied[:2]] * 5)) < 1
    assert diversity(modes) < 1


def test_diversity_is_the_mean_over_all_pairs_and_repeats_with_its_seed():
    images = smooth(8, 1, 16, 16)
    pairs = [ms_ssim(images[i : i + 1], images[j : j + 1]) for i in range(8) for j in range(i)]
    assert diversity(images) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert diversity(images, 5, seed=1) == diversity(images, 5, seed=1) != diversity(images, 5, seed=2)


def test_real_sprites_are_alike_but_not_equal(shared_data):
    sheet = np.asarray(Image.open(shared_data / "cryptopunks.png").convert("RGB"))
    punks = sheet.reshape(100, 24, 100, 24, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 24, 24)[:200]
    assert 0.2 < diversity(punks, pairs=300) < 0.9

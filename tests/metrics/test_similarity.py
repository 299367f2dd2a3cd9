"""PSNR in closed form; SSIM against a slow version of the published definition."""

import math

import numpy as np
import pytest

from sgtool.metrics.similarity import psnr, ssim


def noise(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def slow_ssim(a, b):
    """Wang et al. (2004), equation 13, window by window, of two pictures `[H, W, C]`."""
    size = min(11, *a.shape[:2])
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * (1.5 * size / 11) ** 2))
    window /= window.sum()
    values = []
    for plane in range(a.shape[2]):
        for y in range(a.shape[0] - size + 1):
            for x in range(a.shape[1] - size + 1):
                p, q = (array[y : y + size, x : x + size, plane].astype(float) for array in (a, b))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                covariance = (window * (p - mp) * (q - mq)).sum()
                values.append(
                    (2 * mp * mq + 2.55**2) * (2 * covariance + 7.65**2) / ((mp**2 + mq**2 + 2.55**2) * (vp + vq + 7.65**2))
                )
    return np.mean(values)


@pytest.mark.parametrize("difference", [1, 10, 255])
def test_psnr_of_a_constant_difference_is_its_closed_form(difference):
    a = np.zeros([2, 5, 7, 3], np.uint8)
    b = a + np.uint8(difference)
    np.testing.assert_allclose(psnr(a, b), 20 * math.log10(255 / difference))
    np.testing.assert_allclose(psnr(a, b, data_range=1), -20 * math.log10(difference))


def test_psnr_does_not_wrap_around_and_is_symmetric():
    a, b = np.full([1, 4, 4, 1], 3, np.uint8), np.full([1, 4, 4, 1], 250, np.uint8)
    assert psnr(a, b) == psnr(b, a) == pytest.approx(20 * math.log10(255 / 247))


def test_psnr_of_equal_pictures_is_infinite_beside_others():
    a = noise(2, 6, 6, 3)
    b = a.copy()
    b[1] = 255 - b[1]
    values = psnr(a, b)
    assert values[0] == math.inf
    assert 0 < values[1] < 20


@pytest.mark.parametrize("shape", [(11, 11, 3), (16, 13, 1), (12, 12, 4), (8, 20, 3), (5, 4, 1), (1, 6, 2)], ids=str)
def test_ssim_is_that_of_the_definition(shape):
    a = noise(2, *shape)
    b = np.clip(a.astype(int) + np.random.RandomState(1).randint(-60, 60, a.shape), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(ssim(a, b), [slow_ssim(p, q) for p, q in zip(a, b, strict=True)], rtol=1e-10)


def test_ssim_is_1_for_equal_pictures_and_falls_with_noise():
    a = np.repeat(np.repeat(noise(1, 8, 8, 3), 4, axis=1), 4, axis=2)
    steps = np.random.RandomState(1).randn(*a.shape)
    values = [ssim(a, np.clip(a + strength * steps, 0, 255).astype(np.uint8))[0] for strength in (0, 10, 30, 90)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.8


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_other_arrays_are_refused(measure):
    a = noise(1, 4, 4, 3)
    with pytest.raises(ValueError, match="must be uint8"):
        measure(a, a.astype(np.float32))
    for b in (noise(2, 4, 4, 3), noise(1, 4, 4, 1), noise(4, 4, 3), noise(0, 4, 4, 3)):
        with pytest.raises(ValueError, match=r"must be \[N, H, W, C\] twice"):
            measure(a, b)

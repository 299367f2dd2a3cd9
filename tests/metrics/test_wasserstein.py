"""Sliced Wasserstein distance: against the definition, closed forms, and what must not matter."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from PIL import Image

from sgtool.metrics import sliced_wasserstein, sliced_wasserstein_levels
from sgtool.metrics.pyramid import double, halve, laplacian_pyramid, pyramid_sizes
from sgtool.metrics.wasserstein import wasserstein_1d


def smooth_pictures(number, channels, height, width, seed, sigma=1.5):
    """Pictures with structure: blurred noise, stretched to 0..255."""
    noise = np.random.RandomState(seed).randn(number, channels, height, width)
    blurred = scipy.ndimage.gaussian_filter(noise, (0, 0, sigma, sigma))
    return np.clip(127 + 300 * blurred, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 30), (1, 7), (12, 18)])
def test_distance_on_a_line_is_scipys(n, m):
    random = np.random.RandomState(0)
    a, b = random.randn(4, n), random.randn(4, m) * 2 + 1
    expected = [scipy.stats.wasserstein_distance(*rows) for rows in zip(a, b, strict=True)]
    np.testing.assert_allclose(wasserstein_1d(a, b), expected, rtol=1e-12)


def test_distance_on_a_line_of_shifted_samples_is_the_shift():
    samples = np.random.RandomState(1).randn(1, 400)
    assert wasserstein_1d(samples.copy(), samples + 3) == pytest.approx([3])


def test_distance_on_a_line_of_two_gaussians_is_the_closed_form():
    # W1 of N(0, 1) and N(0, s^2) is |s - 1| E|x| = |s - 1| sqrt(2 / pi)
    quantiles = scipy.stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)[np.newaxis]
    assert wasserstein_1d(quantiles.copy(), 3 * quantiles) == pytest.approx([2 * np.sqrt(2 / np.pi)], rel=1e-4)


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((32, 32), [(32, 32), (16, 16)]),
        ((16, 16), [(16, 16)]),
        ((8, 8), [(8, 8)]),
        ((24, 24), [(24, 24)]),
        ((128, 64), [(128, 64), (64, 32), (32, 16)]),
        ((33, 41), [(33, 41), (17, 21)]),
    ],
)
def test_pyramid_halves_down_to_sixteen_pixels(size, levels):
    assert pyramid_sizes(*size) == levels
    pictures = np.random.RandomState(0).rand(2, 3, *size).astype(np.float32)
    assert [level.shape for level in laplacian_pyramid(pictures)] == [(2, 3, *level) for level in levels]


@pytest.mark.parametrize("size", [(64, 64), (35, 50)])
def test_pyramid_levels_add_up_to_the_picture(size):
    pictures = np.random.RandomState(0).rand(2, 3, *size).astype(np.float32)
    levels = laplacian_pyramid(pictures)
    rebuilt = levels[-1]
    for level in reversed(levels[:-1]):
        rebuilt = level + double(rebuilt, level.shape[2:])
    np.testing.assert_allclose(rebuilt, pictures, atol=1e-6)


def test_halving_and_doubling_are_the_filtered_definitions():
    picture = np.random.RandomState(0).rand(1, 1, 10, 12).astype(np.float32)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    expected = scipy.ndimage.convolve(picture[0, 0], kernel, mode="mirror")
    np.testing.assert_allclose(halve(picture)[0, 0], expected[::2, ::2], atol=1e-6)
    spread = np.zeros([20, 24])
    spread[::2, ::2] = picture[0, 0]
    expected = scipy.ndimage.convolve(spread, 4 * kernel, mode="mirror")
    np.testing.assert_allclose(double(picture, (20, 24))[0, 0], expected, atol=1e-6)


def test_constant_pictures_have_no_detail():
    levels = laplacian_pyramid(np.full([1, 3, 64, 64], 77, np.float32))
    assert [float(np.abs(level).max()) for level in levels] == [0, 0, 77]


def slow_distance(a, b, directions):
    """One level, all patches of small pictures, straight from the definition, in float64."""
    sets = []
    for pictures in (a, b):
        patches = [
            picture[:, y : y + 7, x : x + 7]
            for picture in pictures.astype(np.float64)
            for y in range(picture.shape[1] - 6)
            for x in range(picture.shape[2] - 6)
        ]
        patches = np.stack(patches)
        patches -= patches.mean(axis=(0, 2, 3), keepdims=True)
        patches /= patches.std(axis=(0, 2, 3), keepdims=True)
        sets.append(patches.reshape(len(patches), -1))
    return np.mean([scipy.stats.wasserstein_distance(sets[0] @ d, sets[1] @ d) for d in directions])


def test_distance_is_the_definition_with_enough_directions():
    a, b = smooth_pictures(6, 2, 9, 10, 0), smooth_pictures(6, 2, 9, 10, 1, sigma=1)
    directions = np.random.RandomState(5).randn(4000, 98)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = 1000 * slow_distance(a, b, directions)
    assert sliced_wasserstein(a, b, projections=4000) == pytest.approx(expected, rel=0.03)


def test_a_set_against_itself_is_zero_in_any_order():
    pictures = smooth_pictures(20, 3, 32, 32, 0)
    assert sliced_wasserstein(pictures, pictures) == 0
    assert sliced_wasserstein(pictures, pictures[::-1]) == pytest.approx(0, abs=1e-3)


def test_order_of_pictures_does_not_matter():
    a, b = smooth_pictures(20, 3, 32, 32, 0), smooth_pictures(20, 3, 32, 32, 1, sigma=1)
    shuffled = np.random.RandomState(0).permutation(20)
    assert sliced_wasserstein(a[shuffled], b) == pytest.approx(sliced_wasserstein(a, b), rel=1e-4)


def test_distance_grows_with_the_blur():
    a = smooth_pictures(60, 1, 32, 32, 0, sigma=1)
    distances = [sliced_wasserstein(a, smooth_pictures(60, 1, 32, 32, 1, sigma=s)) for s in (1, 1.3, 2, 4)]
    assert distances == sorted(distances)
    assert distances[3] > 4 * distances[0]


def test_each_level_sees_its_own_scale():
    # fine noise added to pictures without any fine detail changes the finest level most
    a = smooth_pictures(60, 1, 64, 64, 0, sigma=6)
    noise = np.random.RandomState(2).randint(-3, 4, a.shape)
    levels = sliced_wasserstein_levels(a, np.clip(a + noise, 0, 255).astype(np.uint8), projections=64)
    assert levels[64, 64] > 5 * levels[16, 16]


def test_brightness_and_contrast_of_a_whole_set_do_not_count():
    a = smooth_pictures(20, 3, 16, 16, 0).astype(np.float32)
    assert sliced_wasserstein(a, 0.5 * a + 20) == pytest.approx(0, abs=1e-2)


def test_other_structure_of_equal_brightness_counts():
    stripes = np.zeros([20, 1, 16, 16], np.uint8)
    stripes[:, :, ::2] = 255
    assert sliced_wasserstein(stripes, stripes.swapaxes(2, 3)) > 100


def test_turning_both_sets_changes_nothing_but_the_directions_drawn():
    a, b = smooth_pictures(40, 1, 16, 16, 0), smooth_pictures(40, 1, 16, 16, 1)
    turned = sliced_wasserstein(np.rot90(a, axes=(2, 3)), np.rot90(b, axes=(2, 3)))
    assert turned == pytest.approx(sliced_wasserstein(a, b), rel=0.25)


def test_average_is_of_the_levels():
    a, b = smooth_pictures(10, 3, 32, 64, 0), smooth_pictures(10, 3, 32, 64, 1)
    levels = sliced_wasserstein_levels(a, b)
    assert list(levels) == [(32, 64), (16, 32)]
    assert sliced_wasserstein(a, b) == pytest.approx(sum(levels.values()) / 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_any_number_of_channels_and_unequal_counts_are_measured(channels):
    a, b = smooth_pictures(12, channels, 16, 24, 0), smooth_pictures(9, channels, 16, 24, 1)
    assert 0 < sliced_wasserstein(a, b, projections=32) < 1000


def test_tensors_and_arrays_and_types_give_the_same():
    a, b = smooth_pictures(8, 3, 16, 16, 0), smooth_pictures(8, 3, 16, 16, 1)
    expected = sliced_wasserstein(a, b)
    assert sliced_wasserstein(torch.from_numpy(a), b) == expected
    as_network_values = [torch.from_numpy(x).float() / 127.5 - 1 for x in (a, b)]
    assert sliced_wasserstein(*as_network_values) == pytest.approx(expected, rel=1e-4)
    # uint8 values do not all fit into bfloat16's 8 bits
    assert sliced_wasserstein(*(x.bfloat16() for x in as_network_values)) == pytest.approx(expected, rel=0.02)


def test_a_collapsed_set_is_far_away_and_finite():
    a = smooth_pictures(30, 1, 32, 32, 0)
    flat = np.full_like(a, 128)
    distance = sliced_wasserstein(a, flat)
    assert np.isfinite(distance)
    assert distance > sliced_wasserstein(a, smooth_pictures(30, 1, 32, 32, 1))
    assert sliced_wasserstein(flat, flat) == 0


def test_real_pictures_are_nearer_to_each_other_than_to_blurred_ones(shared_data):
    sheet = np.asarray(Image.open(shared_data / "cryptopunks.png").convert("RGB"))
    punks = sheet.reshape(100, 24, 100, 24, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 24, 24)[:400]
    blurred = scipy.ndimage.uniform_filter(punks[200:].astype(np.float32), (0, 0, 2, 2)).astype(np.uint8)
    halves = sliced_wasserstein(punks[:200], punks[200:], projections=64)
    assert sliced_wasserstein(punks[:200], blurred, projections=64) > 3 * halves


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros([4, 3, 6, 16], np.uint8), np.zeros([4, 3, 6, 16], np.uint8), "6x16 pixels are too small"),
        (np.zeros([4, 3, 16, 16], np.uint8), np.zeros([4, 1, 16, 16], np.uint8), "cannot be compared"),
        (np.zeros([4, 3, 16, 16], np.uint8), np.zeros([4, 3, 16, 16], np.float32), "one value range"),
        (np.zeros([3, 16, 16], np.uint8), np.zeros([3, 16, 16], np.uint8), r"\[N, C, H, W\]"),
        (np.zeros([0, 3, 16, 16], np.uint8), np.zeros([4, 3, 16, 16], np.uint8), "none of them 0"),
        (np.zeros([4, 3, 16, 16], np.int64), np.zeros([4, 3, 16, 16], np.int64), "int64"),
        (np.full([4, 3, 16, 16], np.nan), np.zeros([4, 3, 16, 16]), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, words):
    with pytest.raises(ValueError, match=words):
        sliced_wasserstein(a, b)

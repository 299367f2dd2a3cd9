"""Each protocol hands its sets to the metric's function and names the numbers as stylegan2-ada-pytorch does."""

import numpy as np
import pytest

from sgtool import metrics
from sgtool.measuring.compute import METRICS, averaged, compute
from sgtool.measuring.protocols import NAMES, parse

RANDOM = np.random.RandomState(0)
REAL, FAKE = RANDOM.randn(60, 5).astype(np.float32), (RANDOM.randn(50, 5) * 1.2 + 0.3).astype(np.float32)
PICTURES = RANDOM.randint(0, 256, [2, 8, 3, 16, 16]).astype(np.uint8)


def measured(name, real, fake, **extra):
    return compute(parse(name), real, fake, **{"seed": 0, "held_out": None, **extra})


def test_every_metric_but_path_length_has_a_row():
    assert {parse(name).metric for name in NAMES} == {*METRICS, "ppl"}


@pytest.mark.parametrize("name", ["fid50k_full", "clean_fid"])
def test_frechet_distance_is_of_statistics(name):
    found = measured(name, metrics.mean_and_covariance(REAL), metrics.mean_and_covariance(FAKE))
    assert found.values == {name: metrics.frechet_distance_of(REAL, FAKE)}


def test_kernel_distance_has_smaller_subsets_where_there_are_fewer_rows():
    found = measured("kid50k_full", REAL, FAKE, seed=4)
    assert found.values == {"kid50k_full": metrics.kernel_distance(REAL, FAKE, 50, 100, 4)}
    assert found.settings["subset_size"] == 50
    low, high = found.intervals["kid50k_full"]
    assert low < found.values["kid50k_full"] < high


def test_precision_is_of_generated_pictures_and_recall_of_real_ones():
    collapsed = np.repeat(REAL[:1], 50, axis=0) + RANDOM.randn(50, 5).astype(np.float32) * 1e-3
    found = measured("pr50k3_full", REAL, collapsed).values
    assert found["pr50k3_full_precision"] == 1
    assert found["pr50k3_full_recall"] < 0.1


def test_density_and_coverage_keep_the_count_in_their_names():
    found = measured("density_coverage50", REAL, FAKE).values
    density, coverage = metrics.density_coverage(REAL, FAKE, 5)
    assert found == {"density50": density, "coverage50": coverage}


def test_inception_score_looks_at_no_real_picture():
    probs = np.eye(10)[np.arange(50) % 10] * 0.9 + 0.01
    found = measured("is50", None, probs)
    assert tuple(found.values.values()) == metrics.inception_score(probs, 10)
    assert list(found.values) == ["is50_mean", "is50_std"]


def test_pictures_themselves_are_measured_with_the_levels_beside_the_mean():
    real, fake = PICTURES
    assert measured("swd8", real, fake, seed=2).values == {"swd8": metrics.sliced_wasserstein(real, fake, 128, 512, 2)}
    found = measured("msssim8", real, fake).values
    assert found == {"msssim8": metrics.diversity(fake, 4), "msssim8_reals": metrics.diversity(real, 4)}


def test_memorization_tells_its_baseline():
    alone, unseen = measured("memorization50", REAL, REAL[:50]), measured("memorization50", REAL, REAL[:50], held_out=FAKE)
    assert alone.settings["baseline"] != unseen.settings["baseline"] == "held out"
    assert unseen.values["memorization50_distance_ratio"] == 0
    assert unseen.values["memorization50_copying"] < -3
    np.testing.assert_array_equal(unseen.memorization.indices, np.arange(50))


def test_repeats_are_averaged():
    a, b = (measured("kid50", REAL, FAKE, seed=seed) for seed in (0, 1))
    mean = averaged([a, b]).values["kid50"]
    assert mean == pytest.approx((a.values["kid50"] + b.values["kid50"]) / 2)

"""Between latents: ends, constant speed, closed paths; the published numbers; noise that comes back."""

import numpy as np
import pytest
from scipy.interpolate import interp1d

from sgtool.latents.interpolate import NoiseLoop, Path, lerp, slerp


def angle(a, b):
    return np.arccos(np.clip(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))


@pytest.mark.parametrize("suffix", ["", "_eps"])
def test_slerp_and_lerp_equal_the_published_ones(golden, suffix):
    with np.load(golden / "metrics.npz") as data:
        a, b, t = (data[f"ppl/interp/{name}"].astype(np.float64) for name in ("a", "b", "t"))
        t = t.reshape(len(a)) + (1e-4 if suffix else 0)
        u, v = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
        np.testing.assert_allclose(slerp(u, v, t), data[f"ppl/interp/slerp{suffix}"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(lerp(a, b, t), data[f"ppl/interp/lerp{suffix}"], rtol=0, atol=2e-6)


def test_slerp_turns_at_constant_speed_and_its_length_goes_evenly():
    a, b = np.random.RandomState(0).randn(2, 50)
    points = [slerp(a, 3 * b, t) for t in np.linspace(0, 1, 6)]
    np.testing.assert_allclose(points[0], a, atol=1e-12)
    np.testing.assert_allclose(points[-1], 3 * b, atol=1e-12)
    steps = [angle(p, q) for p, q in zip(points, points[1:], strict=False)]
    np.testing.assert_allclose(steps, angle(a, b) / 5, rtol=1e-6)
    np.testing.assert_allclose(np.diff([np.linalg.norm(p) for p in points]), (np.linalg.norm(3 * b) - np.linalg.norm(a)) / 5)


def test_slerp_in_the_plane_is_the_circle():
    np.testing.assert_allclose(slerp([1.0, 0.0], [0.0, 1.0], 1 / 3), [np.cos(np.pi / 6), np.sin(np.pi / 6)], atol=1e-12)


@pytest.mark.parametrize("b", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 1e-12]])
def test_slerp_is_finite_and_has_its_ends_where_the_great_circle_is_not_defined(b):
    a, b = np.array([1.0, 0.0]), np.array(b)
    for t, end in ((0, a), (1, b)):
        np.testing.assert_allclose(slerp(a, b, t), end, atol=1e-9)
    np.testing.assert_allclose(slerp(a, b, 0.5), (a + b) / 2, atol=1e-9)


@pytest.mark.parametrize("kind", ["linear", "slerp", "cubic"])
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_path_is_at_keyframe_i_at_time_i_and_a_loop_returns(kind, loop, number):
    keys = np.random.RandomState(0).randn(number, 3, 4)
    path = Path(keys, kind, loop, centre=np.full(4, 0.3))
    assert path.length == (number if loop else number - 1)
    for i, key in enumerate(keys):
        np.testing.assert_allclose(path.at(i), key, atol=1e-9)
    if loop:
        np.testing.assert_allclose(path.at(path.length), keys[0], atol=1e-9)
    times = np.linspace(0, path.length, 2001)
    steps = np.linalg.norm(np.diff([path.at(t) for t in times], axis=0), axis=(1, 2))
    assert steps.max() < 20 * path.length / 2000 * np.abs(keys).max()  # nowhere a jump


def test_the_closed_spline_has_no_kink_anywhere():
    path = Path(np.random.RandomState(0).randn(4, 6), "cubic", True)
    h = 1e-4
    for time in (0, 1, 2, 3):
        before = (path.at((time - h) % 4) - path.at((time - 2 * h) % 4)) / h
        after = (path.at((time + 2 * h) % 4) - path.at((time + h) % 4)) / h
        np.testing.assert_allclose(before, after, atol=0.02)
    straight = Path(np.random.RandomState(0).randn(4, 6), "linear", True)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(straight.at(1) - straight.at(0.99), straight.at(1.01) - straight.at(1), atol=1e-3)


@pytest.mark.parametrize(("number", "tolerance"), [(2, 5e-2), (3, 2e-3), (8, 1e-6)])
def test_the_closed_spline_is_what_gen_video_makes_of_repeated_keyframes(number, tolerance):
    keys, wraps = np.random.RandomState(0).randn(number, 5), 2
    strung = interp1d(np.arange(-wraps * number, (wraps + 1) * number), np.tile(keys, [2 * wraps + 1, 1]), kind="cubic", axis=0)
    path = Path(keys, "cubic", True)
    for time in np.linspace(0, number, 41)[:-1]:
        np.testing.assert_allclose(path.at(time), strung(time), atol=tolerance)


def test_slerp_keeps_the_distance_from_its_centre():
    centre, rng = np.array([5.0, 5.0, 5.0]), np.random.RandomState(0)
    keys = rng.randn(3, 3)
    keys = centre + keys / np.linalg.norm(keys, axis=1, keepdims=True)
    path = Path(keys, "slerp", True, centre)
    np.testing.assert_allclose([np.linalg.norm(path.at(t) - centre) for t in np.linspace(0, 3, 31)], 1)


def test_one_keyframe_is_no_open_path():
    with pytest.raises(ValueError, match="needs two keyframes"):
        Path(np.zeros([1, 4]), "linear", loop=False)
    with pytest.raises(ValueError, match="kind 'wild'"):
        Path(np.zeros([2, 4]), "wild")


def test_noise_is_standard_normal_at_any_time_comes_back_and_depends_on_its_seed_alone():
    loops = [NoiseLoop(seed, 64, 0.05) for seed in range(60)]
    for time in (0, 0.37):
        z = np.stack([loop.at(time) for loop in loops])
        assert abs(z.mean()) < 0.05
        assert abs(z.std() - 1) < 0.05
    np.testing.assert_allclose(loops[3].at(0), loops[3].at(1), atol=1e-9)
    np.testing.assert_array_equal(loops[3].at(0.2), NoiseLoop(3, 64, 0.05).at(0.2))
    assert np.abs(loops[3].at(0.2) - loops[4].at(0.2)).max() > 0.5


@pytest.mark.parametrize("smooth", [0.02, 0.08])
def test_noise_has_the_correlation_of_filtered_white_noise(smooth):
    # White noise through a Gaussian of standard deviation s has correlation exp(-d^2 / (4 s^2)) at distance d.
    loops = [NoiseLoop(seed, 512, smooth) for seed in range(20)]
    for distance in (smooth, 2 * smooth):
        found = np.mean([np.mean(loop.at(0.1) * loop.at(0.1 + distance)) for loop in loops])
        mean = np.sqrt(4 * np.pi) * smooth  # what leaving out the mean takes away
        expected = (np.exp(-(distance**2) / (4 * smooth**2)) - mean) / (1 - mean)
        assert abs(found - expected) < 0.04


def test_noise_moves_however_much_it_is_smoothed():
    loop = NoiseLoop(0, 256, 50.0)
    assert angle(loop.at(0), loop.at(0.25)) > 1
    assert angle(loop.at(0), loop.at(0.5)) > 3  # one circle: the other side

"""Path length: the published code's numbers on a reference network, the two interpolations, the cut, and linear networks."""

import json

import numpy as np
import pytest
import torch

from sgtool.metrics import path_length, path_length_distances
from sgtool.metrics.path_length import judged, lerp, slerp, within_percentiles
from sgtool.networks import build_generator


def toy_features(pictures):
    """What the reference data took in place of a perceptual network."""
    f = torch.nn.functional.avg_pool2d(pictures.double() / 255, 2)
    return f - f.square() / 2


@pytest.fixture
def reference_generator(golden, reference):
    """The network of the reference data, and its cases."""
    with np.load(golden / "networks.npz") as arrays:
        case = next(case for case in json.loads(str(arrays["meta"]))["cases"] if case["id"] == "n0")
        state = {name.removeprefix("n0/G/"): torch.from_numpy(arrays[name]) for name in arrays if name.startswith("n0/G/")}
    G = build_generator(**case["G_kwargs"]).eval()
    G.load_state_dict(state, strict=True)
    return G


def tiny_generator(**options):
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "channel_base": 256, "channel_max": 16, "z_dim": 16, "w_dim": 16, "img_channels": 3}
    return build_generator(**{"c_dim": 0, **sizes, **options}).eval()


def test_distances_are_those_of_the_published_code(reference_generator, reference):
    cases = [case for case in reference["meta"]["cases"] if case["kind"] == "ppl_toy"]
    assert len(cases) == 8
    for case in cases:
        z, t = (torch.from_numpy(reference[f"ppl/{case['id']}/{name}"]) for name in "zt")
        options = {name: case[name] for name in ("space", "sampling", "crop", "epsilon")}
        found = path_length_distances(reference_generator, toy_features, z, t=t, **options)
        np.testing.assert_allclose(found, reference[f"ppl/{case['id']}/dist"], rtol=2e-2, err_msg=str(case))


def test_interpolations_are_those_of_the_published_code(reference):
    a, b, t = (torch.from_numpy(reference[f"ppl/interp/{name}"]).double() for name in "abt")
    for function in (slerp, lerp):
        for name, place in ((function.__name__, t), (f"{function.__name__}_eps", t + 1e-4)):
            np.testing.assert_allclose(function(a, b, place), reference[f"ppl/interp/{name}"], rtol=1e-6, atol=1e-7)


def test_mean_is_cut_as_in_the_published_code(reference):
    assert path_length(reference["ppl/cut/dist"]) == pytest.approx(float(reference["ppl/cut/value"]), rel=1e-6)


def test_the_cut_takes_one_percent_from_each_end_and_keeps_the_percentiles():
    assert within_percentiles(np.arange(101.0)).tolist() == list(range(1, 100))
    assert within_percentiles(torch.arange(5.0)).tolist() == [0, 1, 2, 3, 4]
    assert path_length([3.0]) == 3


def test_the_great_circle_is_walked_at_even_speed():
    a, b = torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[0.0, 5.0]]).double()
    for t in (0, 0.25, 0.5, 1):
        angle = t * np.pi / 2
        expected = torch.tensor([[np.cos(angle), np.sin(angle)]])
        torch.testing.assert_close(slerp(a, b, torch.tensor([[t]])), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(slerp(a, a, torch.tensor([[0.3]])), a / 2)  # nowhere to go


class Linear(torch.nn.Module):
    """A generator whose picture is linear in w, and w in z: its path length is known."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(48, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64))

    def mapping(self, z, c):
        return z[:, None].double()

    def synthesis(self, ws, noise_mode):
        return (ws[:, 0] @ self.weight.T / 100).reshape(-1, 3, 4, 4)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_linear_generator_has_the_closed_form(epsilon, sampling):
    G, z = Linear(), torch.randn(10, 6, generator=torch.Generator().manual_seed(2))
    expected = (127.5 * (z[5:] - z[:5]).double() @ G.weight.T.detach() / 100).square().sum(dim=1)
    found = path_length_distances(G, lambda x: x, z, t=torch.rand(5), sampling=sampling, epsilon=epsilon)
    torch.testing.assert_close(found, expected, rtol=3e-7 / epsilon, atol=0)  # t + epsilon is float32


def test_distance_of_latents_does_not_depend_on_the_batch():
    G, z, t = tiny_generator(), torch.randn(8, 16), torch.rand(4)
    options = {"space": "z", "sampling": "full", "epsilon": 1e-2}
    whole = path_length_distances(G, toy_features, z, t=t, **options)
    single = [path_length_distances(G, toy_features, z[[i, i + 4]], t=t[[i]], **options) for i in range(4)]
    torch.testing.assert_close(torch.cat(single), whole, rtol=1e-2, atol=0)


def test_labels_reach_both_ends():
    G, z = tiny_generator(c_dim=3), torch.randn(8, 16)
    distances = [path_length_distances(G, toy_features, z, torch.eye(3)[[i] * 4], epsilon=1e-2) for i in range(2)]
    assert not torch.allclose(*distances)


def test_drawn_noise_is_the_same_for_both_ends_and_put_back():
    G, z = tiny_generator(), torch.randn(8, 16)
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
    before = {name: buffer.clone() for name, buffer in G.named_buffers()}
    stored, drawn, again = (
        path_length_distances(G, toy_features, z, epsilon=1e-2, noise=noise)
        for noise in (None, torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    )
    assert torch.equal(drawn, again)
    assert not torch.allclose(stored, drawn)
    assert drawn.max() < 100 * stored.max()  # different noise at the two ends would add 1 / epsilon^2
    for name, buffer in G.named_buffers():
        assert torch.equal(buffer, before[name])


def test_grey_and_large_pictures_are_judged_in_colour_at_256_pixels():
    img = torch.rand(1, 1, 512, 1024) * 2 - 1
    seen = judged(img, crop=False)
    assert seen.shape == (1, 3, 256, 512)
    torch.testing.assert_close(seen[0, 2, 0, 0], (img[0, 0, :2, :2].mean() + 1) * 127.5)
    assert judged(torch.zeros(1, 3, 64, 32), crop=True).shape == (1, 3, 32, 16)
    assert judged(torch.zeros(1, 3, 1024, 1024), crop=True).shape == (1, 3, 128, 128)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"z": torch.randn(3, 16)}, "N starts and then N ends"),
        ({"space": "w+"}, "space is 'w\\+'"),
        ({"sampling": "start"}, "sampling 'start'"),
        ({"sampling": "full"}, "needs t, the places of the 2 paths"),
        ({"sampling": "full", "t": torch.zeros(3)}, "needs t"),
    ],
)
def test_what_is_no_path_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        path_length_distances(tiny_generator(), toy_features, **{"z": torch.randn(4, 16), **options})


@pytest.mark.parametrize("distances", [[], [1.0, np.nan], np.ones([2, 2])])
def test_what_has_no_mean_is_refused(distances):
    with pytest.raises(ValueError, match="have no mean"):
        path_length(distances)

"""One network from two: whose tensors go where, weights around a cut, and which networks fit."""

import copy
import math

import pytest
import torch

from sgtool.networks import build_generator
from sgtool.networks.blend import (
    are_equal,
    blend,
    cut_weights,
    differences,
    layers,
    relation,
    resolutions,
    weights_of_layers,
)

SYNTHESIS = {"channel_base": 256, "channel_max": 16}


def generator(seed, synthesis=(), mapping=(), **changes):
    """A small generator whose tensors are all of its own, biases, noise strengths and w_avg included."""
    torch.manual_seed(seed)
    size = {"z_dim": 16, "c_dim": 0, "w_dim": 16, "img_resolution": 16, "img_channels": 3} | changes
    kwargs = {"mapping_kwargs": {"num_layers": 2, **dict(mapping)}, "synthesis_kwargs": SYNTHESIS | dict(synthesis)}
    G = build_generator(**size, **kwargs).eval().requires_grad_(False)
    for name, tensor in G.state_dict().items():
        if not name.endswith("resample_filter"):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return G


@pytest.fixture
def pair():
    return generator(1), generator(2)


def ws_of(G, number=2):
    return G.mapping(torch.randn(number, G.z_dim, generator=torch.Generator().manual_seed(3)))


def picture(G, ws):
    return G.synthesis(ws, noise_mode="const")


def test_cut_at_the_first_resolution_is_the_synthesis_of_b_with_the_mapping_of_a(pair):
    A, B = pair
    G = blend(A, B, cut_weights(resolutions(A), 4))
    ws = ws_of(A)
    assert torch.equal(ws_of(G), ws)
    assert torch.equal(picture(G, ws), picture(B, ws))


def test_cut_beyond_the_last_resolution_is_a(pair):
    A, B = pair
    G = blend(A, B, cut_weights(resolutions(A), 32))
    assert are_equal(G, A)
    assert G.init_kwargs == A.init_kwargs
    assert torch.equal(picture(G, ws_of(G)), picture(A, ws_of(A)))


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("size", [{}, {"img_resolution": (16, 24), "img_channels": 1}, {"img_channels": 4}])
def test_hard_cut_equals_a_state_dict_made_by_hand(architecture, size):
    A, B = (generator(seed, {"architecture": architecture}, **size) for seed in (1, 2))
    expected = generator(4, {"architecture": architecture}, **size)
    theirs = tuple(f"synthesis.b{r}." for r in resolutions(A)[1:])
    states = A.state_dict(), B.state_dict()
    expected.load_state_dict({name: states[name.startswith(theirs)][name] for name in states[0]})
    assert are_equal(blend(A, B, cut_weights(resolutions(A), 8)), expected)


def test_the_mapping_network_is_taken_whole_from_either_with_its_w_avg(pair):
    A, B = pair
    for name, source in (("a", A), ("b", B)):
        G = blend(A, B, [0, 0, 1], name)
        z = torch.randn(2, 16)
        assert torch.equal(G.mapping(z, truncation_psi=0.3), source.mapping(z, truncation_psi=0.3))
        assert torch.equal(G.mapping.w_avg, source.mapping.w_avg)


def test_mapping_networks_may_differ_in_latents_labels_and_depth():
    A, B = generator(1), generator(2, mapping={"num_layers": 3}, z_dim=8, c_dim=5)
    assert differences(A, B) == []
    G = blend(A, B, [0, 1, 1], "b")
    assert (G.z_dim, G.c_dim, G.mapping.num_layers) == (8, 5, 3)
    z, c = torch.randn(2, 8), torch.eye(5)[:2]
    assert torch.equal(G.mapping(z, c), B.mapping(z, c))
    assert (blend(A, B, [0, 1, 1], "a").z_dim, blend(A, B, [0, 1, 1], "a").c_dim) == (16, 0)


def test_what_a_blend_was_made_of_makes_it_again(pair):
    G = blend(*pair, [0, 0.5, 1], "b")
    again = build_generator(**G.init_kwargs)
    again.load_state_dict(G.state_dict())
    assert torch.equal(picture(again.eval(), ws_of(G)), picture(G, ws_of(G)))


def test_making_a_blend_changes_neither_model(pair):
    before = copy.deepcopy([G.state_dict() for G in pair])
    picture(blend(*pair, [0, 0.5, 1]), ws_of(pair[0]))
    for G, state in zip(pair, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in G.state_dict().items())


def test_tensors_between_are_the_weighted_mean(pair):
    A, B = (G.state_dict() for G in pair)
    G = blend(*pair, [0, 0.25, 1]).state_dict()
    for name in A:
        alpha = {"b4": 0, "b8": 0.25, "b16": 1}.get(name.split(".")[1], 0)
        if not name.endswith("resample_filter"):
            torch.testing.assert_close(G[name], (1 - alpha) * A[name] + alpha * B[name])


def test_weights_of_layers_reach_the_tensors_of_that_layer_alone(pair):
    A, B = pair
    assert layers(A) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b16.torgb"]
    assert len(layers(A)) == A.num_ws
    G, names = blend(A, B, [0, 0, 1, 0, 0, 0]).state_dict(), A.state_dict()
    changed = {name for name in names if not torch.equal(G[name], names[name])}
    theirs = ("synthesis.b8.conv1.", "synthesis.b8.torgb.")  # a ToRGB goes with the convolution that it shows
    assert changed == {name for name in names if name.startswith(theirs) and not name.endswith("resample_filter")}
    G = blend(A, B, [0, 0, 0, 0, 0, 1]).state_dict()
    assert {name.rpartition(".")[0].removesuffix(".affine") for name in names if not torch.equal(G[name], names[name])} == {
        "synthesis.b16.torgb"
    }


def test_one_weight_for_each_block_is_the_same_weight_for_its_layers(pair):
    assert weights_of_layers(pair[0], [0, 0.5, 1]) == [0, 0.5, 0.5, 1, 1, 1]
    assert are_equal(blend(*pair, [0, 0.5, 1]), blend(*pair, [0, 0.5, 0.5, 1, 1, 1]))


@pytest.mark.parametrize(
    ("at", "width", "expected"),
    [
        (16, 0, [0, 0, 1, 1, 1]),
        (16, 1, [0, 0, 1, 1, 1]),  # no block lies between the ends
        (16, 2, [0, 0.25, 0.75, 1, 1]),
        (16, 3, [0, 1 / 3, 2 / 3, 1, 1]),
        (16, 5, [0.2, 0.4, 0.6, 0.8, 1]),
        (4, 0, [1] * 5),
        (128, 0, [0] * 5),
        (4, 2, [0.75, 1, 1, 1, 1]),
    ],
)
def test_weights_around_a_cut(at, width, expected):
    assert cut_weights([4, 8, 16, 32, 64], at, width) == pytest.approx(expected, abs=1e-12)


def test_pictures_change_steadily_with_the_weights(pair):
    ws = ws_of(pair[0])
    shown = [picture(blend(*pair, [0, alpha, 1]), ws) for alpha in torch.linspace(0, 1, 33).tolist()]
    steps = [float((b - a).abs().mean()) for a, b in zip(shown, shown[1:], strict=False)]
    whole = float((shown[-1] - shown[0]).abs().mean())
    assert whole > 0.05
    assert max(steps) < whole / 8  # no jump, at the ends neither, where tensors are taken as they are
    assert min(steps) > 0


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"conv_clamp": 256, "num_fp16_res": 2}, {}, (None, 0)),
        ({"conv_clamp": 256, "num_fp16_res": 2}, {"conv_clamp": 64, "num_fp16_res": 1}, (256, 1)),
        ({"conv_clamp": 8, "num_fp16_res": 1}, {"conv_clamp": 8, "num_fp16_res": 1}, (8, 1)),
    ],
)
def test_limits_of_a_blend_change_neither_model(ours, theirs, expected):
    A, B = generator(1, ours), generator(2, theirs)
    init = blend(A, B, [0, 1, 1]).init_kwargs["synthesis_kwargs"]
    assert (init["conv_clamp"], init["num_fp16_res"]) == expected
    init = blend(A, B, [1, 1, 1]).init_kwargs["synthesis_kwargs"]
    assert (init["conv_clamp"], init["num_fp16_res"]) == (theirs.get("conv_clamp"), theirs.get("num_fp16_res", 0))


def test_a_clamp_that_only_a_has_does_not_cut_what_b_shows():
    A, B = generator(1, {"conv_clamp": 0.01}), generator(2)
    ws = ws_of(A)
    assert torch.equal(picture(blend(A, B, [1, 1, 1]), ws), picture(B, ws))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"img_resolution": 32}, "pictures of 16x16 and 32x32"),
        ({"img_resolution": (16, 24)}, "pictures of 16x16 and 24x16"),
        ({"img_channels": 1}, "channels 3 and 1"),
        ({"w_dim": 8}, "w_dim 16 and 8"),
        ({"synthesis": {"architecture": "resnet"}}, "architecture skip and resnet"),
        ({"synthesis": {"channels": [16, 16, 8]}}, "feature maps 16 16 16 and 16 16 8"),
        ({"synthesis": {"activation": "relu"}}, "activation lrelu and relu"),
        ({"synthesis": {"resample_filter": [1, 2, 1]}}, "resample filter [0.125, 0.375, 0.375, 0.125] and [0.25, 0.5, 0.25]"),
        ({"synthesis": {"use_noise": False}}, "synthesis layers: b16.conv0.noise_const is [16, 16] and missing"),
    ],
)
def test_networks_that_do_not_fit_are_refused_by_what_differs(changes, words):
    A, B = generator(1), generator(2, **changes)
    assert words in differences(A, B)
    with pytest.raises(ValueError, match="and"):
        blend(A, B, [0, 0, 1])


@pytest.mark.parametrize("weights", [[0, 1], [0, 1, 2], [0, math.nan, 1], [0, -0.1, 1], [0] * 5, []])
def test_weights_of_another_number_or_range_are_refused(pair, weights):
    with pytest.raises(ValueError, match="weights must be"):
        blend(*pair, weights)


@pytest.mark.parametrize(("at", "width"), [(0, 0), (math.nan, 0), (16, -1), (16, math.inf)])
def test_impossible_cuts_are_refused(at, width):
    with pytest.raises(ValueError, match="at must be positive"):
        cut_weights([4, 8, 16], at, width)


def test_an_unknown_mapping_is_refused(pair):
    with pytest.raises(ValueError, match="mapping must be one of a, b"):
        blend(*pair, [0, 0, 1], "c")


def test_a_single_block_can_be_blended():
    A, B = (generator(seed, img_resolution=4) for seed in (1, 2))
    assert layers(A) == ["b4.conv1", "b4.torgb"]
    assert are_equal(blend(A, B, [0]), A)
    assert torch.equal(picture(blend(A, B, [1]), ws_of(A)), picture(B, ws_of(A)))


def test_networks_that_go_back_to_one_are_related_and_others_are_not(pair):
    A, B = pair
    child = copy.deepcopy(A)
    for tensor in child.state_dict().values():
        tensor.add_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7)) * 0.05)
    assert (relation(A, A).word, relation(A, A).mean) == ("related", pytest.approx(1))
    assert relation(A, child).word == "related"
    assert relation(A, B).word == "unrelated"
    assert relation(A, B).lowest < relation(A, B).mean < 0.2
    assert relation(A, B).where in layers(A)


def test_the_same_random_start_alone_makes_no_relation():
    A, B = (build_generator(**generator(1).init_kwargs) for _ in range(2))
    B.load_state_dict(A.state_dict())
    for seed, G in enumerate((A, B)):  # each learns something of its own
        learned = torch.Generator().manual_seed(seed)
        for parameter in G.parameters():
            parameter.data += torch.randn(parameter.shape, generator=learned) * 0.1
    weights = torch.stack([G.synthesis.b8.conv0.weight.detach().flatten() for G in (A, B)])
    assert torch.corrcoef(weights)[0, 1] > 0.9
    assert relation(A, B).word == "unrelated"

"""The networks against reference numbers, and what must hold for any of them."""

import json

import numpy as np
import pytest
import torch

from sgtool.networks import build_discriminator, build_generator, set_precision
from sgtool.networks.layers import Conv2dLayer

PAIRS = [f"n{i}" for i in range(6)]
SMALL = {"channel_base": 64, "channel_max": 8}


def tensors(arrays, prefix):
    return {name.removeprefix(prefix): torch.from_numpy(arrays[name]) for name in arrays if name.startswith(prefix)}


@pytest.fixture
def pair(request, golden):
    """(case, inputs, expected outputs, G, D) of one pair of reference networks."""
    with np.load(golden / "networks.npz") as arrays:
        case = next(case for case in json.loads(str(arrays["meta"]))["cases"] if case["id"] == request.param)
        parts = [tensors(arrays, f"{request.param}/{part}/") for part in ("in", "out", "G", "D")]
    G, D = build_generator(**case["G_kwargs"]).eval(), build_discriminator(**case["D_kwargs"]).eval()
    G.load_state_dict(parts[2], strict=True)
    D.load_state_dict(parts[3], strict=True)
    return case, parts[0], parts[1], G, D


def outputs(case, given, G, D):
    """Everything that the reference data has a value for, by its name there."""
    z, c = given["z"], given["c"]
    ws = G.mapping(z, c)
    psi07 = G.mapping(z, c, truncation_psi=0.7)
    cut3 = G.mapping(z, c, truncation_psi=0.7, truncation_cutoff=3)
    at = int(given["mix_at"])
    mix = torch.cat([ws[:, :at], ws.flip(0)[:, at:]], dim=1)
    img_const = G.synthesis(ws, noise_mode="const")
    return {
        "ws": ws,
        "ws_psi07": psi07,
        "ws_psi07_cut3": cut3,
        "img_const": img_const,
        "img_none": G(z, c, noise_mode="none"),
        "img_psi07_const": G(z, c, truncation_psi=0.7, noise_mode="const"),
        "img_psi07_cut3_const": G(z, c, truncation_psi=0.7, truncation_cutoff=3, noise_mode="const"),
        "ws_mix": mix,
        "img_mix_const": G.synthesis(mix, noise_mode="const"),
        "logits_fake": D(img_const, c),
        "logits_real": D(given["real"], given["real_c"]),
    }


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
@torch.no_grad()
def test_every_output_equals_the_reference(pair):
    case, given, expected, G, D = pair
    found = outputs(case, given, G, D)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert (found[name] - value).abs().max() <= 1e-4 * value.abs().max(), name


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
def test_num_ws_and_parameter_names_are_the_references(pair):
    case, _, _, G, D = pair
    assert G.num_ws == G.synthesis.num_ws == case["num_ws"]
    again = build_generator(**G.init_kwargs)
    assert again.state_dict().keys() == G.state_dict().keys()


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
@torch.no_grad()
def test_flat_keywords_of_the_stylegan3_repository_give_the_same_network(pair):
    case, given, expected, G, _ = pair
    nested = dict(case["G_kwargs"])
    flat = build_generator(**nested.pop("synthesis_kwargs"), **nested).eval()
    flat.load_state_dict(G.state_dict(), strict=True)
    assert torch.equal(flat(given["z"], given["c"], noise_mode="const"), G(given["z"], given["c"], noise_mode="const"))


@pytest.mark.parametrize("pair", ["n1", "n4"], indirect=True)
@torch.no_grad()
def test_memory_layout_of_the_input_does_not_matter(pair):
    _, given, expected, _, D = pair
    logits = D(given["real"].to(memory_format=torch.channels_last), given["real_c"])
    assert (logits - expected["logits_real"]).abs().max() <= 1e-4 * expected["logits_real"].abs().max()
    wide = torch.zeros(*given["real"].shape[:3], given["real"].shape[3] * 2)
    wide[..., ::2] = given["real"]
    assert (D(wide[..., ::2], given["real_c"]) - logits).abs().max() <= 1e-4 * logits.abs().max()


@torch.no_grad()
def test_w_avg_moves_as_in_the_reference_and_only_when_asked(golden):
    with np.load(golden / "losses.npz") as arrays:
        meta = json.loads(str(arrays["meta"]))
        weights, average, given = tensors(arrays, "G/"), tensors(arrays, "w_avg/"), tensors(arrays, "in/")
    kwargs = meta["G_kwargs"] | {"mapping_kwargs": meta["G_kwargs"]["mapping_kwargs"] | {"w_avg_beta": float(average["beta"])}}
    G = build_generator(**kwargs)
    G.load_state_dict(weights)
    G.mapping.w_avg.copy_(average["before"])
    G.mapping(given["z"], given["c"])
    assert torch.equal(G.mapping.w_avg, average["before"])
    G.mapping(given["z"], given["c"], update_w_avg=True)
    assert torch.allclose(G.mapping.w_avg, average["after"], rtol=1e-5, atol=1e-6)


def small_generator(size=16, channels=3, c_dim=0, **kwargs):
    torch.manual_seed(0)
    G = build_generator(
        z_dim=16,
        c_dim=c_dim,
        w_dim=16,
        img_resolution=size,
        img_channels=channels,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs=SMALL | kwargs,
    ).eval()
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    torch.nn.init.normal_(G.mapping.w_avg)
    return G


def small_discriminator(size=16, channels=3, c_dim=0, **kwargs):
    torch.manual_seed(1)
    return build_discriminator(c_dim=c_dim, img_resolution=size, img_channels=channels, **SMALL, **kwargs).eval()


@torch.no_grad()
def test_truncation_psi_1_changes_nothing_and_0_gives_the_average():
    G, z = small_generator(), torch.randn(3, 16)
    ws = G.mapping(z)
    assert torch.equal(G.mapping(z, truncation_psi=1, truncation_cutoff=2), ws)
    average = G.mapping.w_avg.expand(3, G.num_ws, 16)
    assert torch.allclose(G.mapping(z, truncation_psi=0), average, atol=1e-6)
    half = G.mapping(z, truncation_psi=0.5)
    assert torch.allclose(half, (ws + average) / 2, atol=1e-6)


@pytest.mark.parametrize("cutoff", [0, 2, 6])
@torch.no_grad()
def test_truncation_stops_at_the_cutoff(cutoff):
    G, z = small_generator(), torch.randn(3, 16)
    ws, cut, every = G.mapping(z), G.mapping(z, truncation_psi=0.3, truncation_cutoff=cutoff), G.mapping(z, truncation_psi=0.3)
    assert torch.equal(cut[:, cutoff:], ws[:, cutoff:])
    assert torch.equal(cut[:, :cutoff], every[:, :cutoff])
    assert not torch.equal(every, ws)


@pytest.mark.parametrize("cutoff", [-1, 7])
def test_a_cutoff_outside_the_layers_is_refused(cutoff):
    with pytest.raises(ValueError, match="cutoff"):
        small_generator().mapping(torch.randn(1, 16), truncation_psi=0.5, truncation_cutoff=cutoff)


SHAPES = [((48, 32), 4), ((32, 64), 1), ((40, 24), 2), ((16, 16), 5), ((12, 8), 3), ((6, 10), 3), (32, 3)]


@pytest.mark.parametrize(("size", "channels"), SHAPES, ids=str)
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_any_shape_and_number_of_channels_goes_through_both_networks(size, channels, architecture):
    height, width = (size, size) if isinstance(size, int) else size
    G = small_generator(size, channels, c_dim=2, architecture=architecture)
    D = small_discriminator(size, channels, c_dim=2, architecture=architecture, num_fp16_res=4)
    c = torch.eye(2)
    img = G(torch.randn(2, 16), c, noise_mode="random")
    logits = D(img, c)
    assert img.shape == (2, channels, height, width)
    assert logits.shape == (2, 1)
    logits.sum().backward()
    untouched = [name for network in (G, D) for name, p in network.named_parameters() if p.grad is None]
    assert untouched == []


def test_what_cannot_be_judged_or_rendered_is_refused():
    D, G = small_discriminator((48, 32)), small_generator(c_dim=3)
    with pytest.raises(ValueError, match=r"img must be \[N, 3, 48, 32\], not \[2, 3, 32, 48\]"):
        D(torch.zeros(2, 3, 32, 48))
    with pytest.raises(ValueError, match=r"c must be \[N, 3\], not None"):
        G(torch.zeros(2, 16))
    with pytest.raises(ValueError, match=r"z must be \[N, 16\], not \[2, 15\]"):
        G.mapping(torch.zeros(2, 15), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"ws must be \[N, 6, 16\], not \[1, 5, 16\]"):
        G.synthesis(torch.zeros(1, 5, 16))
    with pytest.raises(ValueError, match="noise_mode must be one of random, const, none, not 'fixed'"):
        G.synthesis(torch.zeros(1, 6, 16), noise_mode="fixed")


@torch.no_grad()
def test_noise_is_random_constant_or_absent():
    G, z = small_generator(), torch.randn(2, 16)
    torch.manual_seed(3)
    random = [G(z, noise_mode="random") for _ in range(2)]
    torch.manual_seed(3)
    assert torch.equal(G(z, noise_mode="random"), random[0])
    assert not torch.equal(random[0], random[1])
    const, none = G(z, noise_mode="const"), G(z, noise_mode="none")
    assert torch.equal(const, G(z, noise_mode="const"))
    assert not torch.allclose(const, none, atol=1e-3)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    assert torch.allclose(G(z, noise_mode="const"), none, atol=1e-6)
    assert torch.allclose(G(z, noise_mode="random"), none, atol=1e-6)


@torch.no_grad()
def test_pictures_do_not_depend_on_the_batch_they_are_made_in():
    G, z = small_generator(), torch.randn(5, 16)
    alone = torch.cat([G(z[i : i + 1], noise_mode="const") for i in range(5)])
    assert torch.allclose(G(z, noise_mode="const"), alone, atol=1e-5)


@pytest.mark.parametrize(("number", "expected"), [(0, set()), (1, {"b32"}), (2, {"b32", "b16"}), (9, {"b32", "b16", "b8"})])
def test_half_precision_is_for_the_top_resolutions_and_never_for_the_first_block(number, expected):
    G, D = small_generator(32, num_fp16_res=number), small_discriminator(32, num_fp16_res=number)
    for network in (G.synthesis, D):
        halves = {name for name in network.block_names if getattr(network, name).use_fp16}
        assert halves == expected
    set_precision(G, "bf16")
    kinds = {name: getattr(G.synthesis, name).compute_type(torch.device("cpu")) for name in G.synthesis.block_names}
    assert {name for name, kind in kinds.items() if kind == torch.bfloat16} == expected


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.06), ("fp16", 0.01)])
@torch.no_grad()
def test_half_precision_is_close_to_full(precision, tolerance):
    G, D = small_generator(32, num_fp16_res=2, conv_clamp=256), small_discriminator(32, num_fp16_res=2, conv_clamp=256)
    z = torch.randn(4, 16)
    img = G(z, noise_mode="const")
    logits = D(img)
    for network in (G, D):
        set_precision(network, precision)
    half = G(z, noise_mode="const")
    assert half.dtype == D(img).dtype == torch.float32
    assert 0 < (half - img).abs().max() <= tolerance * img.abs().max()
    assert 0 < (D(img) - logits).abs().max() <= tolerance * logits.abs().max()
    for network in (G, D):
        set_precision(network, "auto")
    assert torch.equal(G(z, noise_mode="const"), img)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of auto, fp32, fp16, bf16, not 'half'"):
        set_precision(small_generator(), "half")


@torch.no_grad()
def test_conv_clamp_limits_every_layer():
    G, D = small_generator(conv_clamp=0.1), small_discriminator(conv_clamp=0.1)
    block, w = G.synthesis.b16, torch.randn(2, 16)
    layers = dict.fromkeys((block.conv0, block.conv1, block.torgb), (w,))
    layers |= dict.fromkeys((D.b16.fromrgb, D.b16.conv0, D.b16.conv1, D.b4.conv), ())
    for layer, more in layers.items():
        side = 8 if layer is block.conv0 else 16
        x = torch.randn(2, layer.weight.shape[1], side, side) * 1000
        assert float(layer(x, *more).abs().max()) == pytest.approx(0.1)
    assert float(D.b16.conv1(torch.randn(2, 4, 16, 16) * 1000, gain=0.5).abs().max()) == pytest.approx(0.05)


def test_unclamped_layers_go_beyond():
    layer = Conv2dLayer(3, 4, 3, activation="lrelu")
    assert layer(torch.randn(2, 3, 8, 8) * 1000).abs().max() > 256


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_gradients_of_gradients_pass_through_the_discriminator(architecture):
    """What R1 needs, by finite differences in float64: logits by picture and parameters, then once more."""
    torch.manual_seed(0)
    D = build_discriminator(
        c_dim=2, img_resolution=8, img_channels=1, architecture=architecture, channel_base=16, channel_max=2, conv_clamp=256
    ).double()
    img = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = D.b8.conv0.weight.detach().clone().requires_grad_(True)

    def logits(img, weight):
        return torch.func.functional_call(D, {"b8.conv0.weight": weight}, (img, torch.eye(2, dtype=torch.float64)))

    assert torch.autograd.gradcheck(logits, (img, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(logits, (img, weight), fast_mode=True)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_gradients_of_gradients_pass_through_the_synthesis(architecture):
    """What path length regularization needs: pictures by ws and parameters, then once more."""
    torch.manual_seed(0)
    kwargs = {"channel_base": 16, "channel_max": 2, "architecture": architecture, "conv_clamp": 256}
    G = build_generator(z_dim=2, c_dim=0, w_dim=2, img_resolution=8, img_channels=1, synthesis_kwargs=kwargs).double()
    ws = torch.randn(2, G.num_ws, 2, dtype=torch.float64, requires_grad=True)
    weight = G.synthesis.b8.conv0.weight.detach().clone().requires_grad_(True)

    def pictures(ws, weight):
        parameters = {"b8.conv0.weight": weight}
        return torch.func.functional_call(G.synthesis, parameters, (ws,), {"noise_mode": "const"})[:, :, ::3, ::3]

    assert torch.autograd.gradcheck(pictures, (ws, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(pictures, (ws, weight), fast_mode=True)


@torch.no_grad()
def test_discriminator_without_groups_judges_each_picture_alone():
    D = small_discriminator(epilogue_kwargs={"mbstd_num_channels": 0})
    img = torch.randn(6, 3, 16, 16)
    alone = torch.cat([D(img[i : i + 1]) for i in range(6)])
    assert torch.allclose(D(img), alone, atol=1e-5)


@torch.no_grad()
def test_a_picture_is_judged_with_its_group_alone():
    """8 pictures in groups of 4: picture i is in group i mod 2; the other group does not matter to it."""
    D, img = small_discriminator(), torch.randn(8, 3, 16, 16)
    logits = D(img)
    shuffled = img[[2, 1, 0, 5, 6, 7, 4, 3]]  # even places among themselves, odd ones too
    assert torch.allclose(D(shuffled), logits[[2, 1, 0, 5, 6, 7, 4, 3]], atol=1e-5)
    other = img.clone()
    other[1::2] = 0
    assert torch.allclose(D(other)[::2], logits[::2], atol=1e-5)
    other = img.clone()
    other[2] = -img[2]
    assert (D(other)[[0, 4, 6]] - logits[[0, 4, 6]]).abs().min() > 1e-6


def test_label_of_a_picture_matters_to_the_discriminator():
    D, img = small_discriminator(c_dim=3), torch.randn(1, 3, 16, 16)
    logits = [float(D(img, torch.eye(3)[i : i + 1]).detach()) for i in range(3)]
    assert len(set(logits)) == 3


COUNTED = {"resnet": ["b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0", "b8.conv1", "b8.skip"]}
COUNTED["skip"] = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b8.fromrgb", "b8.conv0", "b8.conv1"]
COUNTED["orig"] = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b8.conv0", "b8.conv1"]


@pytest.mark.parametrize("architecture", COUNTED)
def test_freeze_layers_counts_layers_from_the_picture(architecture):
    for number in range(9):
        D = small_discriminator(architecture=architecture, block_kwargs={"freeze_layers": number})
        frozen = {name.rpartition(".")[0] for name, p in D.named_parameters() if not p.requires_grad}
        assert frozen == set(COUNTED[architecture][:number])

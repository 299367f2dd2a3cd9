"""Bare state dicts: the networks that shapes describe are the networks that were written."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.errors import UserError
from sgtool.networks import PictureShape, build_discriminator, build_generator
from sgtool.ops import setup_filter
from sgtool.snapshots import Snapshot, load, statedict
from sgtool.snapshots.contents import assemble
from sgtool.snapshots.infer import ASSUMED, discriminator_keywords, generator_keywords, taps_of
from sgtool.snapshots.lazy import LATENTS, SIDE_LIMIT
from sgtool.snapshots.spans import Refused

SMALL = {"channel_base": 64, "channel_max": 8}
GENERATOR = {"z_dim": 6, "c_dim": 0, "w_dim": 6, "img_resolution": 16, "img_channels": 3, "mapping_kwargs": {"num_layers": 2}}
CASES = ["n0", "n1", "n2", "n3", "n4", "n5"]


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


def generator(**changes):
    torch.manual_seed(0)
    return moved(build_generator(**GENERATOR | {"synthesis_kwargs": SMALL} | changes))


def discriminator(**changes):
    torch.manual_seed(1)
    return moved(build_discriminator(**{"c_dim": 0, "img_resolution": 16, "img_channels": 3} | SMALL | changes))


def moved(network):
    """Move parameters and w_avg away from where they start, so that each matters."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                value.add_(torch.randn_like(value) * 0.3)
    return network.eval().requires_grad_(False)


def rebuilt(value):
    """Read a value and make its networks."""
    assert statedict.recognise(value)
    contents = statedict.describe(value)
    return {name: assemble("file", name, packed) for name, packed in contents.networks.items()}, contents


def render(G, seed=0):
    draw = torch.Generator().manual_seed(seed)
    z, c = torch.randn([2, G.z_dim], generator=draw), torch.eye(max(G.c_dim, 1))[[0, G.c_dim - 1]]
    return G(z, c if G.c_dim else None, truncation_psi=0.7, noise_mode="const")


@pytest.mark.parametrize("case", CASES)
def test_the_published_networks_keep_their_shapes_and_where_nothing_is_hidden_their_pictures(golden, case):
    data = np.load(golden / "networks.npz")
    about = next(entry for entry in json.loads(str(data["meta"]))["cases"] if entry["id"] == case)
    states = {key: {} for key in "GD"}
    for name in data:
        if name.startswith((f"{case}/G/", f"{case}/D/")):
            states[name[3]][name[5:]] = torch.from_numpy(data[name])
    networks, contents = rebuilt(states)
    for key in "GD":
        expected = states[key]
        found = networks[key].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert contents.notes == [ASSUMED]
    if case == "n4" or about["G_kwargs"]["synthesis_kwargs"]["conv_clamp"] not in (None, 256):
        return  # its learning rate factors and its clamp are in no shape
    z, c = (torch.from_numpy(data[f"{case}/in/{name}"]) for name in "zc")
    expected = torch.from_numpy(data[f"{case}/out/img_psi07_const"])
    found = networks["G"](z, c, truncation_psi=0.7, noise_mode="const")
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    logits = networks["D"](*(torch.from_numpy(data[f"{case}/in/{name}"]) for name in ("real", "real_c")))
    expected = torch.from_numpy(data[f"{case}/out/logits_real"])
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


@st.composite
def generators(draw):
    """Keywords of generators that a state dict describes wholly."""
    mapping = {"num_layers": draw(st.integers(1, 4))}
    mapping |= draw(
        st.fixed_dictionaries({}, optional={"layer_features": st.integers(1, 9), "embed_features": st.integers(1, 9)})
    )
    size = draw(st.sampled_from([4, 8, 16, [16, 8], [8, 16], [12, 20], [6, 8]]))
    blocks = PictureShape.of(size).doublings + 1
    synthesis = draw(
        st.fixed_dictionaries(
            {"architecture": st.sampled_from(["skip", "resnet", "orig"])},
            optional={
                "channel_base": st.integers(16, 90),
                "channel_max": st.integers(1, 9),
                "use_noise": st.booleans(),
                "resample_filter": st.sampled_from([[1, 2, 1], [1, 3, 3, 1], [1, 1], [1, 4, 6, 5, 1], list(range(1, 9))]),
            },
        )
    )
    if draw(st.booleans()):
        synthesis["channels"] = draw(st.lists(st.integers(1, 9), min_size=blocks, max_size=blocks))
    synthesis.setdefault("channel_max", 8)
    widths = {name: draw(st.integers(0 if name == "c_dim" else 1, 9)) for name in ("z_dim", "c_dim", "w_dim")}
    rest = {"img_resolution": size, "img_channels": draw(st.integers(1, 4))}
    return {**widths, **rest, "mapping_kwargs": mapping, "synthesis_kwargs": synthesis}


@settings(max_examples=60, deadline=None)
@given(generators())
def test_a_generator_is_inferred_from_its_shapes(keywords):
    before = moved(build_generator(**keywords))
    networks, _ = rebuilt({name: value.clone() for name, value in before.state_dict().items()})
    after = networks["G_ema"]
    assert list(after.state_dict()) == list(before.state_dict())
    assert torch.equal(render(after), render(before))
    assert (after.z_dim, after.c_dim, after.img_resolution) == (before.z_dim, before.c_dim, before.img_resolution)


@st.composite
def discriminators(draw):
    """Keywords of discriminators that a state dict describes wholly."""
    c_dim = draw(st.integers(0, 5))
    keywords = {"c_dim": c_dim, "img_resolution": draw(st.sampled_from([8, 16])), "img_channels": draw(st.integers(1, 4))}
    keywords |= draw(
        st.fixed_dictionaries(
            {"channel_max": st.sampled_from([2, 4, 6]), "architecture": st.sampled_from(["skip", "resnet", "orig"])},
            optional={
                "channel_base": st.integers(16, 90),
                "block_kwargs": st.sampled_from([{}, {"resample_filter": [1, 2, 1]}]),
                "epilogue_kwargs": st.sampled_from([{}, {"mbstd_num_channels": 0}, {"mbstd_num_channels": 2}]),
            },
        )
    )
    if c_dim:
        keywords |= draw(st.fixed_dictionaries({}, optional={"cmap_dim": st.integers(1, 9)}))
        mapping = {"num_layers": st.integers(1, 3), "embed_features": st.integers(1, 9), "layer_features": st.integers(1, 9)}
        keywords["mapping_kwargs"] = draw(st.fixed_dictionaries({}, optional=mapping))
    return keywords


@settings(max_examples=60, deadline=None)
@given(discriminators())
def test_a_discriminator_is_inferred_from_its_shapes(keywords):
    before = moved(build_discriminator(**keywords))
    networks, _ = rebuilt(before.state_dict())
    img = torch.linspace(-1, 1, 4 * before.img_channels * before.img_resolution**2)
    img = img.reshape(4, before.img_channels, before.img_resolution, before.img_resolution)
    c = torch.eye(before.c_dim)[[0, -1, 0, -1]] if before.c_dim else None
    maps = before.b4.mbstd.num_channels if before.b4.mbstd else 1
    if before.b4.conv.weight.shape[0] % maps == 0:
        assert torch.equal(networks["D"](img, c), before(img, c))
    assert list(networks["D"].state_dict()) == list(before.state_dict())


@pytest.mark.parametrize("size", [[8, 16], [16, 12]])
def test_a_discriminator_beside_a_generator_has_its_picture_shape(size):
    G, D = generator(img_resolution=size), discriminator(img_resolution=size)
    networks, _ = rebuilt({"G_ema": G.state_dict(), "D": D.state_dict()})
    assert networks["D"].img_resolution == size
    img = render(G)
    assert torch.equal(networks["D"](img), D(img))


def test_a_discriminator_alone_whose_picture_shape_cannot_be_told_says_so():
    contents = statedict.describe(discriminator(img_resolution=[16, 12]).state_dict())
    assert "not square" in contents.networks["D"].unsupported


@pytest.mark.parametrize("order", [sorted, reversed])
@pytest.mark.parametrize("taps", [[1, 2, 1], [1, 2, 2, 1]])
def test_the_filter_is_that_of_layers_that_resample_whatever_comes_first_in_the_file(order, taps):
    G = generator(synthesis_kwargs=SMALL | {"resample_filter": taps, "architecture": "resnet"})
    D = discriminator(block_kwargs={"resample_filter": taps})
    for keywords, network in ((generator_keywords, G), (discriminator_keywords, D)):
        state = network.state_dict()
        found = keywords({name: state[name] for name in order(list(state))})
        assert found.get("synthesis_kwargs", found.get("block_kwargs"))["resample_filter"] == taps


@pytest.mark.parametrize(("size", "base"), [(1024, 32768), (256, 16384), (512, 32768)])
def test_the_published_channel_counts_are_inferred_as_published(size, base):
    with torch.device("meta"):
        G = build_generator(**GENERATOR | {"img_resolution": size, "synthesis_kwargs": {"channel_base": base}})
        D = build_discriminator(c_dim=0, img_resolution=size, img_channels=3, channel_base=base)
    for keywords, network in ((generator_keywords, G), (discriminator_keywords, D)):
        state = {name: value for name, value in network.state_dict().items() if not name.endswith("resample_filter")}
        found = keywords(state)
        found = found.get("synthesis_kwargs", found)
        assert (found["channel_base"], found["channel_max"]) == (base, 512)


def test_odd_channel_counts_become_a_list():
    G = generator(synthesis_kwargs={"channels": [5, 7, 2]})
    assert statedict.describe(G.state_dict()).networks["G_ema"].init["synthesis_kwargs"]["channels"] == [5, 7, 2]


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda state: state, "G_ema"),
        (lambda state: {"state_dict": state, "epoch": 3}, "G_ema"),
        (lambda state: {"model": {"params_ema": state, "params": {}}}, "G_ema"),
        (lambda state: {f"module.{key}": item for key, item in state.items()}, "G_ema"),
        (lambda state: {f"G_ema.{key}": item for key, item in state.items()}, "G_ema"),
        (lambda state: {"state_dict": {f"G_ema.module.{key}": item for key, item in state.items()}}, "G_ema"),
        (lambda state: {f"G.{key}": item for key, item in state.items()}, "G"),
        (lambda state: {f"generator.{key}": item for key, item in state.items()}, "G"),
        (lambda state: {"g_ema": state, "optimizer": {"lr": 0.1}}, "G_ema"),
    ],
)
def test_a_state_dict_is_found_in_its_wrappings(wrap, name):
    G = generator()
    networks, _ = rebuilt(wrap(G.state_dict()))
    assert list(networks) == [name]
    assert torch.equal(render(networks[name]), render(G))


def test_parts_with_prefixes_are_told_apart():
    G, D = generator(), discriminator()
    flat = {f"G_ema.{key}": item for key, item in G.state_dict().items()}
    flat |= {f"D.{key}": item for key, item in D.state_dict().items()}
    networks, _ = rebuilt(flat)
    assert torch.equal(render(networks["G_ema"]), render(G))
    assert torch.equal(networks["D"](render(G)), D(render(G)))


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"a": torch.zeros(1)},
        {"synthesis": torch.zeros(1), 3: torch.zeros(1)},
        {"G_ema": {"layer1.weight": torch.zeros(2, 2)}},
        {"state_dict": {"state_dict": {"state_dict": {"state_dict": {"synthesis.b4.const": torch.zeros(1)}}}}},
        {"synthesis.b4.const": "no tensor"},
    ],
)
def test_other_values_are_not_recognised(value):
    assert not statedict.recognise(value)


def test_what_lies_as_a_discriminator_and_is_none_is_left_out_and_said():
    contents = statedict.describe({"G_ema": generator().state_dict(), "D": {"conv.weight": torch.zeros(1)}})
    assert list(contents.networks) == ["G_ema"]
    assert any("D is no StyleGAN2 network" in note for note in contents.notes)


def test_resampling_filters_may_be_missing():
    G = generator()
    state = {name: value for name, value in G.state_dict().items() if not name.endswith("resample_filter")}
    networks, _ = rebuilt(state)
    assert torch.equal(render(networks["G_ema"]), render(G))


@pytest.mark.parametrize("c_dim", [0, 3])
def test_a_missing_mean_latent_is_the_mean_of_mapped_latents_and_said(c_dim):
    G = generator(c_dim=c_dim)
    state = G.state_dict()
    del state["mapping.w_avg"]
    networks, contents = rebuilt(state)
    draw = torch.Generator().manual_seed(5)
    z = torch.randn([20_000, G.z_dim], generator=draw)
    w = G.mapping(z, torch.eye(c_dim)[torch.arange(20_000) % c_dim] if c_dim else None)[:, 0]
    error = 5 * w.std(dim=0) * (1 / LATENTS + 1 / 20_000) ** 0.5
    assert ((networks["G_ema"].mapping.w_avg - w.mean(dim=0)).abs() <= error).all()
    assert any("w_avg" in note and "10,000" in note for note in contents.notes)
    assert torch.equal(rebuilt(state)[0]["G_ema"].mapping.w_avg, networks["G_ema"].mapping.w_avg)


def test_missing_noise_maps_are_drawn_from_a_fixed_seed_and_said():
    G = generator()
    state = {name: value for name, value in G.state_dict().items() if not name.endswith("noise_const")}
    networks, contents = rebuilt(state)
    maps = {name: value for name, value in networks["G_ema"].state_dict().items() if name.endswith("noise_const")}
    again = rebuilt(state)[0]["G_ema"].state_dict()
    assert len(maps) == 5
    assert all(torch.equal(value, again[name]) for name, value in maps.items())
    assert not torch.equal(maps["synthesis.b8.conv0.noise_const"], maps["synthesis.b8.conv1.noise_const"])
    assert 0.8 < torch.cat([value.flatten() for value in maps.values()]).std() < 1.2
    assert any("Noise maps are not in the file" in note for note in contents.notes)


def test_a_small_file_cannot_ask_for_large_noise_maps():
    state = generator().state_dict()
    for k in range(3, 12):
        for conv in ("conv0", "conv1"):
            for name in ("weight", "noise_strength"):
                state[f"synthesis.b{4 << k}.{conv}.{name}"] = state[f"synthesis.b16.{conv}.{name}"]
        state[f"synthesis.b{4 << k}.torgb.weight"] = state["synthesis.b16.torgb.weight"]
    assert SIDE_LIMIT < 4 << 11
    with pytest.raises(Refused, match="8192x8192 pixels without its noise maps"):
        statedict.describe(state)
    for k in range(12, 20):
        state[f"synthesis.b{4 << k}.conv1.weight"] = state["synthesis.b16.conv1.weight"]
    with pytest.raises(Refused, match="more than 15 resolutions"):
        statedict.describe(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("mapping.fc0.weight"), "mapping.fc0.weight is missing"),
        (lambda state: state.pop("synthesis.b16.torgb.weight"), "synthesis.b16.torgb.weight is missing"),
        (lambda state: state.update({"synthesis.b4.const": torch.zeros(4)}), r"synthesis.b4.const has the shape \[4\]"),
        (lambda state: state.update({"mapping.embed.weight": torch.zeros(9, 2)}), "a label is wider than"),
        (lambda state: state.update({"synthesis.b4.resample_filter": torch.zeros(4, 4)}), "sums up to nothing"),
        (lambda state: state.update({"synthesis.b4.resample_filter": torch.ones(65, 65)}), r"filter of the shape \[65, 65\]"),
        (lambda state: state.update({"synthesis.b4.resample_filter": torch.ones(4, 4).cfloat()}), "which is none of StyleGAN2's"),
    ],
)
def test_what_is_damaged_is_refused_in_a_sentence(change, words):
    state = generator().state_dict()
    change(state)
    with pytest.raises(Refused, match=words):
        statedict.describe(state)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("b4.conv.weight", (8, 7, 3, 3), "the last convolution of D takes too few channels"),
        ("b4.fc.weight", (8, 7), "the last block of D has no pixels"),
    ],
)
def test_a_damaged_discriminator_is_refused_in_a_sentence(name, shape, words):
    state = discriminator(c_dim=3).state_dict() | {name: torch.zeros(shape)}
    with pytest.raises(Refused, match=words):
        statedict.describe(state)


def test_a_discriminator_that_maps_more_than_the_label_is_named():
    state = discriminator(c_dim=3).state_dict() | {"mapping.fc0.weight": torch.zeros(8, 9)}
    assert "takes more than the label" in statedict.describe(state).networks["D"].unsupported


def test_a_tensor_of_another_shape_is_refused_when_the_network_is_made():
    state = generator().state_dict() | {"synthesis.b8.conv0.affine.weight": torch.zeros(3, 3)}
    with pytest.raises(UserError, match=r"G_ema does not fit its description: synthesis.b8.conv0.affine.weight is \[3, 3\]"):
        rebuilt(state)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: generator().state_dict() | {"synthesis.b4.const": torch.zeros(8, 4, 8)}, "starts from 4x8"),
        (lambda: {"synthesis.input.freqs": torch.zeros(2, 2)}, "StyleGAN3"),
        (lambda: generator().state_dict() | {"synthesis.b16.conv1.weight": torch.zeros(4, 4, 2, 2)}, "kernels of 2x2"),
        (
            lambda: {
                name: torch.zeros(5, 6) if name == "mapping.fc0.weight" else value
                for name, value in generator(mapping_kwargs={"num_layers": 3}).state_dict().items()
            },
            "different widths",
        ),
    ],
)
def test_other_kinds_of_networks_are_named(state, words):
    contents = statedict.describe(state())
    assert words in contents.networks["G_ema"].unsupported
    with pytest.raises(UserError, match=f"its G_ema is a .*{words}.*does not run"):
        assemble("file", "G_ema", contents.networks["G_ema"])


@pytest.mark.parametrize(
    "taps", [[1, 3, 3, 1], [1, 2, 1], [1], [3, 1, 4, 1, 5], list(range(1, 10)), [[1, 2], [3, 4]], [0.1, 0.35, 0.55], [-1, 4, -1]]
)
def test_taps_are_recovered_from_a_filter(taps):
    kernel = setup_filter(taps).double()
    assert torch.allclose(setup_filter(taps_of(kernel)).double(), kernel, atol=1e-7)
    assert taps_of(kernel * 4) == taps_of(kernel)
    if isinstance(taps[0], int) and min(map(abs, taps)) == 1 and taps[0] > 0:
        assert taps_of(kernel) == taps


def test_a_written_file_comes_back_and_other_programs_read_it(tmp_path):
    before = Snapshot(generator(), generator(z_dim=3), discriminator())
    assert statedict.write(before, tmp_path / "all.pt") == []
    plain = torch.load(tmp_path / "all.pt", weights_only=True)
    assert list(plain) == ["G_ema", "G", "D"]
    for name in plain:
        getattr(before, name).load_state_dict(plain[name])  # strict
        assert all(value.is_contiguous() for value in plain[name].values())
    after = load(tmp_path / "all.pt")
    assert after.origin == "state-dict"
    for name in plain:
        expected = getattr(before, name).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in getattr(after, name).state_dict().items())
    assert torch.equal(render(after.G_ema), render(before.G_ema))


def test_the_averaged_generator_alone_is_one_flat_dict(tmp_path):
    before = Snapshot(generator(c_dim=3, img_resolution=[16, 12]), None, discriminator())
    statedict.write(before, tmp_path / "g.pt", ("G_ema",))
    plain = torch.load(tmp_path / "g.pt", weights_only=True)
    assert list(plain) == list(before.G_ema.state_dict())
    assert torch.equal(render(load(tmp_path / "g.pt").G_ema), render(before.G_ema))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"G_ema": {"mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1}}}, "G_ema has a learning rate factor of 0.1"),
        ({"G_ema": {"mapping_kwargs": {"num_layers": 2, "activation": "relu"}}}, "G_ema has the activation relu"),
        ({"G_ema": {"synthesis_kwargs": {**SMALL, "activation": "swish"}}}, "G_ema has the activation swish"),
        ({"D": {"block_kwargs": {"activation": "relu"}}}, "D has the activation relu"),
        ({"D": {"epilogue_kwargs": {"mbstd_group_size": 8}}}, "D has minibatch-std groups of 8"),
        ({"D": {"epilogue_kwargs": {"mbstd_group_size": None}}}, "D has minibatch-std groups of the whole batch"),
    ],
)
def test_what_shapes_do_not_tell_is_refused_before_anything_is_written(tmp_path, changes, words):
    snapshot = Snapshot(generator(**changes.get("G_ema", {})), None, discriminator(**changes.get("D", {})))
    with pytest.raises(UserError, match=f"was not written: {words}.*Choose sgtool's own"):
        statedict.write(snapshot, tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())
    if "D" in changes:
        statedict.write(dataclasses.replace(snapshot, D=None), tmp_path / "x.pt")


def test_a_clamp_is_left_out_and_said(tmp_path):
    notes = statedict.write(Snapshot(generator(synthesis_kwargs={**SMALL, "conv_clamp": 256})), tmp_path / "x.pt")
    assert notes == ["G_ema: the clamp at 256 is not kept; such a file has none."]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "x.pt").write_text("old")
    snapshot = Snapshot(generator(mapping_kwargs={"num_layers": 2, "lr_multiplier": 0.1}))
    with pytest.raises(UserError):
        statedict.write(snapshot, tmp_path / "x.pt")
    with pytest.raises(UserError, match="could not be written"):
        statedict.write(Snapshot(generator()), tmp_path / "no folder" / "x.pt")
    assert (tmp_path / "x.pt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]

import json
import math

import numpy as np
import pytest
import torch
from makers import EasyDict, Persistent, assert_same, dump, persistent, randomised, write_nvidia

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import load, opened

GOLDEN = ["ada_uncond", "ada_cond", "sg3repo_sg2_uncond", "sg3repo_sg2_cond"]
SYNTHESIS = {"channel_base": 64, "channel_max": 7}
DIMS = {"z_dim": 8, "w_dim": 6, "c_dim": 0, "img_resolution": 16, "img_channels": 3}
NETWORKS = {  # name: (of the generator, synthesis_kwargs, of the discriminator)
    "skip": (DIMS | {"mapping_kwargs": {"num_layers": 2}}, {"architecture": "skip"}, {}),
    "resnet": (DIMS | {"c_dim": 3}, {"architecture": "resnet", "conv_clamp": 0.7}, {"architecture": "skip", "conv_clamp": 0.7}),
    "orig": (DIMS | {"img_channels": 5}, {"architecture": "orig", "use_noise": False}, {"architecture": "orig"}),
    "odd": (
        DIMS | {"c_dim": 2, "mapping_kwargs": {"num_layers": 3, "layer_features": 9, "embed_features": 5, "lr_multiplier": 0.3}},
        {"resample_filter": [1, 2, 1], "activation": "relu", "channel_max": 6, "channel_base": 41},
        {
            "cmap_dim": 4,
            "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.2},
            "block_kwargs": {"resample_filter": [1, 2, 1], "activation": "relu", "freeze_layers": 2},
            "epilogue_kwargs": {"mbstd_group_size": None, "mbstd_num_channels": 2, "activation": "relu"},
            "channel_max": 6,
        },
    ),
    "bare_labels": (DIMS | {"c_dim": 3}, {}, {"mapping_kwargs": {"num_layers": 0}}),
    "wide": (DIMS | {"img_resolution": [8, 24]}, {}, {"epilogue_kwargs": {"mbstd_num_channels": 0}}),
}


def generator(name, seed=0):
    dims, synthesis, _ = NETWORKS[name]
    return randomised(build_generator(**dims, synthesis_kwargs=SYNTHESIS | synthesis), seed)


def discriminator(name, seed=9):
    dims, _, options = NETWORKS[name]
    kept = {key: dims[key] for key in ("c_dim", "img_resolution", "img_channels")}
    return randomised(build_discriminator(**kept, **(SYNTHESIS | options)), seed)


def close(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", GOLDEN)
def test_reference_snapshots_give_the_reference_pictures(golden, name):
    data = np.load(golden / f"snapshot_{name}.npz")
    snapshot = load(golden / f"snapshot_{name}.pkl")
    z, c = torch.from_numpy(data["z"]), torch.from_numpy(data["c"])
    for key in ("G", "G_ema"):
        assert close(getattr(snapshot, key)(z, c, noise_mode="const"), data[f"{key}_img"]), key
    assert close(snapshot.G_ema.mapping(z, c), data["G_ema_ws"])
    assert close(snapshot.G_ema(z, c, truncation_psi=0.7, noise_mode="const"), data["G_ema_img_psi07"])
    assert close(snapshot.D(torch.from_numpy(data["disc_img"]), torch.from_numpy(data["disc_c"])), data["D_logits"])


@pytest.mark.parametrize("name", GOLDEN)
def test_reference_snapshots_have_the_reference_tensors(golden, name):
    data = np.load(golden / f"snapshot_{name}.npz")
    snapshot = load(golden / f"snapshot_{name}.pkl")
    state = snapshot.G_ema.state_dict()
    names = json.loads(str(data["meta"]))["G_ema_state_names"]
    assert sorted(state) == sorted(names)
    sums = [[float(state[key].double().sum()), float(state[key].double().square().sum())] for key in names]
    np.testing.assert_allclose(sums, data["G_ema_state_sums"], rtol=1e-5, atol=1e-5)
    for key in ("G", "G_ema", "D"):
        assert sum(p.numel() for p in getattr(snapshot, key).parameters()) == data[f"num_params/{key}"]
    assert snapshot.augment_p == (float(data["augment_p"]) if "augment_p" in data else 0)
    assert snapshot.origin == ("stylegan3" if "sg3" in name else "stylegan2-ada-pytorch")
    assert snapshot.dataset["name"] == "dataset"


@pytest.mark.parametrize("kind", ["t", "r"])
def test_reference_alias_free_generators_are_named(golden, kind):
    path = golden / f"snapshot_sg3_{kind}.pkl"
    with pytest.raises(UserError, match=f"G_ema is a StyleGAN3-{kind} .alias-free. generator, which this version"):
        load(path)
    with opened(path) as contents:
        assert not contents.networks["D"].unsupported
        assert contents.networks["G_ema"].init["num_layers"] == 6
        assert "synthesis.input.freqs" in contents.networks["G_ema"].state


@pytest.mark.parametrize("layout", ["ada", "sg3"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_back_bit_for_bit(tmp_path, name, layout):
    networks = {"G": generator(name, 1), "D": discriminator(name), "G_ema": generator(name, 2)}
    write_nvidia(tmp_path / "a.pkl", networks, layout, augment_p=0.25)
    snapshot = load(tmp_path / "a.pkl")
    for key, network in networks.items():
        assert_same(getattr(snapshot, key), network)
    assert snapshot.augment_p == 0.25
    assert snapshot.notes == []


@pytest.mark.parametrize("layout", ["ada", "sg3"])
@pytest.mark.parametrize("name", NETWORKS)
def test_arguments_are_enough_where_modules_note_nothing_of_themselves(tmp_path, name, layout):
    networks = {"D": discriminator(name), "G_ema": generator(name)}
    write_nvidia(tmp_path / "a.pkl", networks, layout, attributes=False)
    snapshot = load(tmp_path / "a.pkl")
    for key, network in networks.items():
        assert_same(getattr(snapshot, key), network)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_each_protocol_of_pickles_is_read(tmp_path, protocol):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": generator("skip")}, protocol=protocol)
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("skip"))


def test_arguments_by_position_are_read(tmp_path):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": generator("odd")}, attributes=False, positional=True)
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("odd"))


@pytest.mark.parametrize("layout", ["ada", "sg3"])
def test_what_is_not_said_is_as_the_repository_has_it_by_default(tmp_path, layout):
    G, D = persistent(generator("skip"), layout), persistent(discriminator("skip"), layout)
    for stand_in in (G, D):
        without(stand_in, "conv_clamp", "num_fp16_res", "w_avg_beta")
    write_nvidia(tmp_path / "a.pkl", {"G_ema": G, "D": D}, layout)
    with opened(tmp_path / "a.pkl") as contents:
        G, D = (contents.networks[name].init for name in ("G_ema", "D"))
    clamp, half, beta = {"ada": (None, 0, 0.995), "sg3": (256, 4, 0.998)}[layout]
    assert (D["conv_clamp"], D["num_fp16_res"]) == (clamp, half)
    assert (G["synthesis_kwargs"]["conv_clamp"], G["synthesis_kwargs"]["num_fp16_res"]) == (clamp, half)
    assert G["mapping_kwargs"]["w_avg_beta"] == beta


def without(stand_in, *names):
    """Take attributes and arguments out of a stand-in and all below it."""
    for part in (stand_in.state, stand_in.state.get("_init_kwargs", {})):
        for place in (part, part.get("synthesis_kwargs", {}), part.get("mapping_kwargs", {})):
            for name in names:
                place.pop(name, None)
    for child in stand_in.state["_modules"].values():
        if child is not None:
            without(child, *names)


def test_attributes_are_believed_before_arguments(tmp_path):
    stand_in = persistent(generator("skip"))
    stand_in.state["_modules"]["mapping"].state["w_avg_beta"] = 0.9
    stand_in.state["_modules"]["synthesis"].state["_modules"]["b4"].state["_modules"]["conv1"].state["conv_clamp"] = 3.5
    judge = persistent(discriminator("skip"))
    judge.state["_modules"]["b4"].state["_modules"]["mbstd"].state["group_size"] = 3
    write_nvidia(tmp_path / "a.pkl", {"G_ema": stand_in, "D": judge})
    snapshot = load(tmp_path / "a.pkl")
    assert (snapshot.G_ema.mapping.w_avg_beta, snapshot.G_ema.synthesis.b8.conv0.conv_clamp) == (0.9, 3.5)
    assert snapshot.D.b4.mbstd.group_size == 3


def test_buffers_that_are_no_part_of_the_state_are_left_out(tmp_path):
    stand_in = persistent(generator("skip"))
    stand_in.state["_modules"]["mapping"].state["_buffers"]["scratch"] = torch.ones(3)
    stand_in.state["_modules"]["mapping"].state["_non_persistent_buffers_set"] = {"scratch"}
    write_nvidia(tmp_path / "a.pkl", {"G_ema": stand_in})
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("skip"))


def test_options_data_and_progress_are_told(tmp_path):
    extra = {
        "cur_nimg": 123_456,
        "training_options": EasyDict(batch=32, ada_target=0.6, G_opt=EasyDict(lr=0.002)),
        "nothing": None,
    }
    write_nvidia(tmp_path / "a.pkl", {"G_ema": generator("skip")}, augment_p=0.5, extra=extra)
    snapshot = load(tmp_path / "a.pkl")
    assert snapshot.nimg == 123_456
    assert snapshot.config["training_options"] == {"batch": 32, "ada_target": 0.6, "G_opt": {"lr": 0.002}}
    assert snapshot.config["augment_kwargs"] == {"xflip": 1, "rotate90": 1}
    assert "nothing" not in snapshot.config
    assert "class_name" not in snapshot.config["training_set_kwargs"]
    data = {"path": "data/cats.zip", "use_labels": False, "xflip": False}
    assert snapshot.dataset == data | {"name": "cats", "num_images": 123, "resolution": [16, 16]}
    json.dumps(snapshot.config)


@pytest.mark.parametrize("p", [math.nan, -1.0, math.inf])
def test_a_probability_that_is_none_counts_as_zero(tmp_path, p):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": generator("skip")}, augment_p=p)
    assert load(tmp_path / "a.pkl").augment_p == 0


def test_a_generator_alone_is_the_average_and_said(tmp_path):
    write_nvidia(tmp_path / "a.pkl", {"G": generator("skip"), "D": None})
    snapshot = load(tmp_path / "a.pkl")
    assert_same(snapshot.G_ema, generator("skip"))
    assert (snapshot.G, snapshot.D) == (None, None)
    assert "no averaged generator" in snapshot.notes[0]


def test_a_bare_network_is_read(tmp_path):
    dump(persistent(generator("resnet")), tmp_path / "g.pkl")
    assert_same(load(tmp_path / "g.pkl").G_ema, generator("resnet"))
    dump(persistent(discriminator("resnet")), tmp_path / "d.pkl")
    with opened(tmp_path / "d.pkl") as contents:
        assert list(contents.networks) == ["D"]
    with pytest.raises(UserError, match="holds no generator"):
        load(tmp_path / "d.pkl")


def changed(**options):
    """A generator whose file says more of it than there is to say."""
    stand_in = persistent(generator("skip"))
    stand_in.state["_init_kwargs"]["synthesis_kwargs"] |= options
    return stand_in


def test_known_options_of_forks_are_left_out_with_a_note(tmp_path):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": changed(square=False, init_res=[4, 4], attention=None)})
    snapshot = load(tmp_path / "a.pkl")
    assert_same(snapshot.G_ema, generator("skip"))
    assert snapshot.notes == [
        "Options of another program were left out, as they change nothing here: attention, init_res, square.",
    ]


def test_an_unknown_option_is_named(tmp_path):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": changed(attention_heads=4)})
    with pytest.raises(UserError, match="G_ema is a variant of StyleGAN2 .with attention_heads=4., which this version"):
        load(tmp_path / "a.pkl")


@pytest.mark.parametrize("option", [{"conv_clamp": "eight"}, {"activation": "tan"}, {"num_fp16_res": -1}])
def test_an_impossible_option_is_named(tmp_path, option):
    stand_in = changed(**option)
    without(stand_in.state["_modules"]["synthesis"], *option)
    write_nvidia(tmp_path / "a.pkl", {"G_ema": stand_in})
    with pytest.raises(UserError, match=f"is damaged: its option {next(iter(option))} is "):
        load(tmp_path / "a.pkl")


def module(class_name, modules=None, **tensors):
    state = {"_parameters": tensors, "_buffers": {}, "_modules": modules or {}, "_init_args": (), "_init_kwargs": {}}
    return Persistent(class_name, state)


OTHERS = {
    "a FastGAN generator": {"mapping": module("DummyMapping"), "synthesis": module("FastganSynthesis")},
    "an R3GAN generator": {"Model": module("Generator")},
    "TriPlaneGenerator, not a generator of StyleGAN2": {"backbone": module("Generator")},
}


@pytest.mark.parametrize("name", OTHERS)
def test_generators_of_other_kinds_are_named(tmp_path, name):
    kind = "TriPlaneGenerator" if "TriPlane" in name else "Generator"
    write_nvidia(tmp_path / "a.pkl", {"G_ema": module(kind, OTHERS[name], extra=torch.ones(2))})
    with pytest.raises(UserError, match=f"its G_ema is {name}"):
        load(tmp_path / "a.pkl")
    with opened(tmp_path / "a.pkl") as contents:
        assert list(contents.networks["G_ema"].state) == ["extra"]


def test_a_network_that_is_neither_is_named(tmp_path):
    dump(module("LPIPS"), tmp_path / "a.pkl")
    with pytest.raises(UserError, match="holds LPIPS, but none of G, D and G_ema"):
        load(tmp_path / "a.pkl")


def test_a_lacking_tensor_is_named(tmp_path):
    stand_in = persistent(generator("skip"))
    del stand_in.state["_modules"]["synthesis"].state["_modules"]["b8"].state["_modules"]["conv0"].state["_parameters"]["bias"]
    write_nvidia(tmp_path / "a.pkl", {"G_ema": stand_in})
    with pytest.raises(UserError, match="it lacks synthesis.b8.conv0.bias"):
        load(tmp_path / "a.pkl")


def test_a_parameter_that_is_not_a_tensor_is_named(tmp_path):
    write_nvidia(tmp_path / "a.pkl", {"G_ema": module("Generator", weight="a text")})
    with pytest.raises(UserError, match="is damaged: 'weight' is not a tensor"):
        load(tmp_path / "a.pkl")


def with_attribute(path, key, value):
    """Write a generator whose mapping network, and itself, have an attribute of another kind than it should be."""
    stand_in = persistent(generator("skip"))
    for part in (stand_in, stand_in.state["_modules"]["mapping"]):
        part.state[key] = value
    write_nvidia(path, {"G_ema": stand_in})


@pytest.mark.parametrize("key", ["_parameters", "_non_persistent_buffers_set", "_init_args", "_init_kwargs"])
@pytest.mark.parametrize("value", [7, "text", [1.5], None])
def test_an_attribute_of_the_wrong_kind_that_is_not_needed_does_no_harm(tmp_path, key, value):
    with_attribute(tmp_path / "a.pkl", key, value)
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("skip"))


@pytest.mark.parametrize("key", ["_buffers", "_modules"])
@pytest.mark.parametrize("value", [7, "text", [1.5], None, {"a": 1}])
def test_an_attribute_of_the_wrong_kind_that_is_needed_is_refused(tmp_path, key, value):
    with_attribute(tmp_path / "a.pkl", key, value)
    with pytest.raises(UserError, match="a.pkl"):
        load(tmp_path / "a.pkl")


def test_modules_nested_without_end_are_refused(tmp_path):
    deep = module("Generator")
    for _ in range(40):
        deep = module("Generator", {"a": deep})
    write_nvidia(tmp_path / "a.pkl", {"G_ema": deep})
    with pytest.raises(UserError, match="nested without end"):
        load(tmp_path / "a.pkl")


def test_a_module_shared_many_times_is_refused_soon(tmp_path):
    shared = module("Generator", weight=torch.ones(1))
    for _ in range(8):
        shared = module("Generator", {str(i): shared for i in range(8)})
    write_nvidia(tmp_path / "a.pkl", {"G_ema": shared})
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path / "a.pkl")


def test_other_networks_in_the_file_are_left_out_and_said(tmp_path):
    extra = {"encoder": module("Encoder", weight=torch.ones(1))}
    write_nvidia(tmp_path / "a.pkl", {"G_ema": generator("skip")}, extra=extra)
    assert load(tmp_path / "a.pkl").notes == ["Other networks in the file were left out: encoder."]

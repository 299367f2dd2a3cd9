import json

import numpy as np
import pytest
import torch
from makers import Network, assert_same, randomised, tf_discriminator, tf_generator, write_tensorflow

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import load, opened

DIMS = {"z_dim": 8, "w_dim": 6, "c_dim": 0, "img_resolution": 16, "img_channels": 3}
SYNTHESIS = {"channel_base": 64, "channel_max": 7}
NETWORKS = {  # name: (of the generator, synthesis_kwargs, of the discriminator)
    "skip": (DIMS | {"mapping_kwargs": {"num_layers": 2}}, {"architecture": "skip"}, {}),
    "resnet": (DIMS | {"c_dim": 3}, {"architecture": "resnet", "conv_clamp": 0.7}, {"architecture": "skip", "conv_clamp": 0.7}),
    "orig": (DIMS | {"img_channels": 5}, {"architecture": "orig", "use_noise": False}, {"architecture": "orig"}),
    "odd": (
        DIMS | {"c_dim": 2, "mapping_kwargs": {"num_layers": 3, "layer_features": 9, "embed_features": 5, "lr_multiplier": 0.3}},
        {"resample_filter": [1, 2, 1], "activation": "relu", "channel_max": 6},
        {
            "cmap_dim": 4,
            "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.2},
            "block_kwargs": {"resample_filter": [1, 2, 1], "activation": "relu"},
            "epilogue_kwargs": {"mbstd_group_size": 2, "mbstd_num_channels": 2, "activation": "relu"},
            "channel_max": 6,
        },
    ),
    "bare_labels": (DIMS | {"c_dim": 3}, {}, {"mapping_kwargs": {"num_layers": 0}}),
    "no_minibatch": (DIMS, {}, {"epilogue_kwargs": {"mbstd_num_channels": 0}}),
}


def generator(name, seed=0):
    dims, synthesis, _ = NETWORKS[name]
    return randomised(build_generator(**dims, synthesis_kwargs=SYNTHESIS | synthesis), seed)


def discriminator(name, seed=9):
    dims, _, options = NETWORKS[name]
    kept = {key: dims[key] for key in ("c_dim", "img_resolution", "img_channels")}
    label_map = {"mapping_kwargs": {"lr_multiplier": 0.1} | options.get("mapping_kwargs", {})} if dims["c_dim"] else {}
    return randomised(build_discriminator(**kept, **(SYNTHESIS | options | label_map)), seed)


def close(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["tf_uncond", "tf_cond"])
def test_reference_pickles_give_the_reference_pictures_and_tensors(golden, name):
    data = np.load(golden / f"{name}.npz")
    snapshot = load(golden / f"{name}.pkl")
    z, c = torch.from_numpy(data["z"]), torch.from_numpy(data["c"])
    for key in ("G", "G_ema"):
        assert close(getattr(snapshot, key)(z, c, noise_mode="const"), data[f"{key}_img"]), key
    assert close(snapshot.G_ema.mapping(z, c), data["G_ema_ws"])
    assert close(snapshot.G_ema(z, c, truncation_psi=0.7, noise_mode="const"), data["G_ema_img_psi07"])
    assert close(snapshot.D(torch.from_numpy(data["disc_img"]), torch.from_numpy(data["disc_c"])), data["D_logits"])
    for key in ("G_ema", "D"):
        state = getattr(snapshot, key).state_dict()
        names = {entry.partition("/")[2] for entry in data.files if entry.startswith(f"{key}_state/")}
        assert names in (set(state), set())
        for entry in names:
            np.testing.assert_array_equal(state[entry].numpy(), data[f"{key}_state/{entry}"])
    assert snapshot.origin == "tensorflow"


@pytest.mark.parametrize("name", ["tf_uncond", "tf_cond"])
def test_reference_pickles_have_the_reference_keywords(golden, name):
    meta = json.loads(str(np.load(golden / f"{name}.npz")["meta"]))
    with opened(golden / f"{name}.pkl") as contents:
        init = contents.networks["G_ema"].init
    wanted = meta["G_kwargs"]
    assert {key: init[key] for key in wanted if not key.endswith("_kwargs")} == {k: v for k, v in wanted.items() if k in DIMS}
    assert init["synthesis_kwargs"].items() >= wanted["synthesis_kwargs"].items()
    assert init["mapping_kwargs"].items() >= wanted["mapping_kwargs"].items()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_back_bit_for_bit(tmp_path, name):
    G, D, Gs = generator(name, 1), discriminator(name), generator(name, 2)
    write_tensorflow(tmp_path / "a.pkl", [tf_generator(G, "G"), tf_discriminator(D), tf_generator(Gs)])
    snapshot = load(tmp_path / "a.pkl")
    assert_same(snapshot.G, G)
    assert_same(snapshot.D, D)
    assert_same(snapshot.G_ema, Gs)
    assert snapshot.notes == []


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_each_protocol_of_pickles_is_read(tmp_path, protocol):
    write_tensorflow(tmp_path / "a.pkl", tf_generator(generator("resnet")), protocol)
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("resnet"))


def test_a_network_alone_is_read_whichever_it_is(tmp_path):
    write_tensorflow(tmp_path / "gs.pkl", tf_generator(generator("skip"), "Gs"))
    write_tensorflow(tmp_path / "g.pkl", tf_generator(generator("skip"), "G"))
    write_tensorflow(tmp_path / "d.pkl", [tf_discriminator(discriminator("skip"))])
    for name, key in {"gs": "G_ema", "g": "G", "d": "D"}.items():
        with opened(tmp_path / f"{name}.pkl") as contents:
            assert list(contents.networks) == [key]
    assert "no averaged generator" in load(tmp_path / "g.pkl").notes[0]


def test_variables_tell_what_arguments_do_not(tmp_path):
    G = tf_generator(generator("odd"))
    for part in (G, *G.components.values()):
        part.static_kwargs = {key: part.static_kwargs[key] for key in ("mapping_lrmul", "nonlinearity", "resample_kernel")}
    write_tensorflow(tmp_path / "a.pkl", G)
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("odd"))


def test_the_older_names_of_rgb_layers_are_read(tmp_path):
    G, D = generator("orig"), discriminator("orig")
    write_tensorflow(tmp_path / "a.pkl", [tf_generator(G, lod_names=True), tf_discriminator(D, lod_names=True)])
    snapshot = load(tmp_path / "a.pkl")
    assert_same(snapshot.G_ema, G)
    assert_same(snapshot.D, D)


def grown():
    """A generator that once made smaller pictures, and kept the layers for that."""
    G = tf_generator(generator("orig"), lod_names=True)
    shapes = {"weight": (1, 1, 7, 5), "mod_weight": (6, 7), "mod_bias": (7,), "bias": (5,)}
    extra = [(f"ToRGB_lod2/{key}", np.ones(shape, np.float32)) for key, shape in shapes.items()]
    G.components["synthesis"].variables = [*G.components["synthesis"].variables, *extra]
    return G


def test_rgb_layers_left_from_growing_are_left_out_and_said(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", grown())
    snapshot = load(tmp_path / "a.pkl")
    assert_same(snapshot.G_ema, generator("orig"))
    assert snapshot.notes == ["RGB layers of smaller sizes, from when the network was growing, were left out."]


def test_a_network_that_is_still_growing_is_not_taken_for_a_finished_one(tmp_path):
    G = grown()
    G.variables = [("lod", np.float32(1.5)), G.variables[1]]
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match=r"a generator that had not yet grown to its full size \(lod 1.5\)"):
        load(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "options",
    [
        {"resolution_w": 16, "resolution_h": 16},
        {"randomize_noise": False, "fused_modconv": True, "conditioning": "none", "structure": "auto"},
        {"is_training": False, "truncation_cutoff": None, "normalize_latents": True, "attention": None},
    ],
)
def test_options_that_change_nothing_are_accepted(tmp_path, options):
    write_tensorflow(tmp_path / "a.pkl", tf_generator(generator("skip"), **options))
    assert_same(load(tmp_path / "a.pkl").G_ema, generator("skip"))


def test_options_of_forks_are_noted(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", tf_generator(generator("skip"), resolution_w=16, resolution_h=16, attention=None))
    notes = load(tmp_path / "a.pkl").notes
    assert notes == [
        "Options of another program were left out, as they change nothing here: attention, resolution_h, resolution_w.",
    ]


@pytest.mark.parametrize("options", [{"attention": 3}, {"normalize_latents": False}])
def test_an_option_that_may_change_the_picture_is_named(tmp_path, options):
    write_tensorflow(tmp_path / "a.pkl", tf_generator(generator("skip"), **options))
    name, value = next(iter(options.items()))
    with pytest.raises(UserError, match=f"G_ema is a variant of StyleGAN2 .with {name}={value}., which this version"):
        load(tmp_path / "a.pkl")


@pytest.mark.parametrize("scopes", [None, ["3x5", "6x10"]])
def test_pictures_that_are_not_square_are_read(tmp_path, scopes):
    dims = DIMS | {"img_resolution": [10, 6]}
    G = randomised(build_generator(**dims, synthesis_kwargs=SYNTHESIS), 0)
    D = randomised(build_discriminator(c_dim=0, img_resolution=[10, 6], img_channels=3, **SYNTHESIS), 1)
    sizes = {"resolution": 8, "min_h": 5, "min_w": 3, "res_log2": 1}
    nets = [tf_discriminator(D, scopes=scopes, **sizes), tf_generator(G, scopes=scopes, **sizes)]
    write_tensorflow(tmp_path / "a.pkl", nets)
    snapshot = load(tmp_path / "a.pkl")
    assert snapshot.G_ema.img_resolution == [10, 6]
    assert_same(snapshot.G_ema, G)
    assert_same(snapshot.D, D)


@pytest.mark.parametrize(("function", "size"), [("D_stylegan2", 4), ("D_main", None)])
def test_minibatch_groups_are_by_default_as_the_program_had_them(tmp_path, function, size):
    write_tensorflow(tmp_path / "a.pkl", [tf_discriminator(discriminator("skip"), function=function)])
    with opened(tmp_path / "a.pkl") as contents:
        assert contents.networks["D"].init["epilogue_kwargs"]["mbstd_group_size"] == size


def test_the_label_map_of_a_discriminator_learns_by_default_ten_times_as_fast_as_a_mapping_network(tmp_path):
    G, D = tf_generator(generator("resnet")), tf_discriminator(discriminator("resnet"))
    for part in (D, G, *G.components.values()):
        part.static_kwargs.pop("mapping_lrmul", None)
    write_tensorflow(tmp_path / "a.pkl", [D, G])
    with opened(tmp_path / "a.pkl") as contents:
        rates = {name: packed.init["mapping_kwargs"]["lr_multiplier"] for name, packed in contents.networks.items()}
    assert rates == {"G_ema": 0.01, "D": 0.1}


def test_a_filter_of_none_is_a_box_of_two_pixels(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", tf_generator(generator("skip"), resample_kernel=None))
    G = load(tmp_path / "a.pkl").G_ema
    assert torch.equal(G.synthesis.b8.conv0.resample_filter, torch.full([2, 2], 0.25))


def test_a_missing_variable_is_named(tmp_path):
    G = tf_generator(generator("skip"))
    variables = G.components["synthesis"].variables
    G.components["synthesis"].variables = [pair for pair in variables if pair[0] != "8x8/Conv1/mod_bias"]
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match="the variable synthesis/8x8/Conv1/mod_bias of G_main is missing"):
        load(tmp_path / "a.pkl")


def test_an_unknown_variable_is_named(tmp_path):
    G = tf_generator(generator("skip"))
    G.components["synthesis"].variables = [*G.components["synthesis"].variables, ("8x8/Attention/weight", np.ones(3))]
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match=r"a variant of StyleGAN2 \(with the variable synthesis/8x8/Attention/weight\)"):
        load(tmp_path / "a.pkl")


def test_a_variable_with_other_axes_is_named(tmp_path):
    G = tf_generator(generator("skip"))
    G.components["mapping"].variables = [("Dense0/weight", np.ones(3, np.float32)), *G.components["mapping"].variables[1:]]
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match=r"is damaged: the variable mapping/Dense0/weight has the shape \[3\]"):
        load(tmp_path / "a.pkl")


@pytest.mark.parametrize("variables", [[("a", "text")], ["a"], 7, [(1, np.ones(2))]])
def test_variables_that_are_none_are_refused(tmp_path, variables):
    G = tf_generator(generator("skip"))
    G.variables = variables
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match="is damaged: .* not a"):
        load(tmp_path / "a.pkl")


def older(function, version=3, **variables):
    state = {"version": version, "name": "Gs", "static_kwargs": {"resolution": 1024}, "build_module_src": ""}
    return Network(**state, build_func_name=function, variables=list(variables.items()))


OLDER = {
    "G_ema is a StyleGAN1 generator": older("G_style", lod=np.float32(0)),
    "G_ema is a Progressive GAN generator": older("G_paper", version=2),
    "D is a StyleGAN1 discriminator": older("D_basic"),
    "D is a discriminator of a time before StyleGAN2 .version 3 of its pickles, not 4.": older("D_other"),
}


@pytest.mark.parametrize("text", OLDER)
def test_older_kinds_of_networks_are_named(tmp_path, text):
    G = tf_generator(generator("skip"))
    write_tensorflow(tmp_path / "a.pkl", [OLDER[text], G] if text.startswith("D") else OLDER[text])
    with pytest.raises(UserError, match=f"its {text}, which this version of sgtool does not run"):
        load(tmp_path / "a.pkl")


def test_styles_as_in_the_first_stylegan_are_named(tmp_path):
    G = tf_generator(generator("skip"))
    extra = ("8x8/Conv1/StyleMod/weight", np.ones((6, 14), np.float32))
    G.components["synthesis"].variables = [*G.components["synthesis"].variables, extra]
    write_tensorflow(tmp_path / "a.pkl", G)
    with pytest.raises(UserError, match="a StyleGAN1 generator"):
        load(tmp_path / "a.pkl")


def test_labels_as_in_the_first_stylegan2_are_named(tmp_path):
    G, D = tf_generator(generator("skip"), label_size=3), tf_discriminator(discriminator("skip"), label_size=3)
    G.components["mapping"].variables = [*G.components["mapping"].variables, ("LabelConcat/weight", np.ones((3, 8)))]
    write_tensorflow(tmp_path / "a.pkl", [G, D])
    with opened(tmp_path / "a.pkl") as contents:
        told = {name: packed.unsupported for name, packed in contents.networks.items()}
    assert told["G_ema"].startswith("a conditional generator of the first StyleGAN2, whose labels enter")
    assert told["D"].startswith("a conditional discriminator of the first StyleGAN2, whose labels enter")


def test_what_cannot_be_built_can_be_looked_at(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", older("G_style", lod=np.zeros(3, np.float32)))
    with opened(tmp_path / "a.pkl") as contents:
        packed = contents.networks["G_ema"]
    assert packed.init == {"resolution": 1024}
    assert packed.state["lod"].shape == (3,)


def test_an_encoder_beside_the_networks_is_left_out_and_said(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", [older("E_basic", version=4), tf_generator(generator("skip"))])
    assert load(tmp_path / "a.pkl").notes == ["Other networks in the file were left out: E_basic."]


def test_neither_generator_nor_discriminator_is_named(tmp_path):
    write_tensorflow(tmp_path / "a.pkl", older("inception", version=4))
    with pytest.raises(UserError, match="holds inception, but no generator or discriminator"):
        load(tmp_path / "a.pkl")

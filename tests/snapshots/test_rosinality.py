"""rosinality's files: the same pictures as there, in both directions."""

import io
import json

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, load, rosinality
from sgtool.snapshots.contents import assemble
from sgtool.snapshots.inert import Inert
from sgtool.snapshots.rosinality_names import discriminator_rows, generator_rows
from sgtool.snapshots.spans import Refused, Span, Stored

SMALL = {"channel_base": 64, "channel_max": 8}
GENERATOR = {"z_dim": 6, "c_dim": 0, "w_dim": 6, "img_resolution": 16, "img_channels": 3, "mapping_kwargs": {"num_layers": 2}}


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


def generator(seed=0, **changes):
    torch.manual_seed(seed)
    return moved(build_generator(**GENERATOR | {"synthesis_kwargs": SMALL} | changes))


def discriminator(**changes):
    torch.manual_seed(9)
    return moved(build_discriminator(**{"c_dim": 0, "img_resolution": 16, "img_channels": 3} | SMALL | changes))


def moved(network):
    """Move parameters and w_avg away from where they start, so that each matters."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                value.add_(torch.randn_like(value) * 0.3)
    return network.eval().requires_grad_(False)


def written(tmp_path, snapshot=None, names=("G_ema", "G", "D")):
    """Write a snapshot; what the file holds, as PyTorch reads it."""
    snapshot = snapshot or Snapshot(generator(), generator(1), discriminator())
    rosinality.write(snapshot, tmp_path / "x.pt", names)
    return torch.load(tmp_path / "x.pt", weights_only=True)


def rebuilt(value):
    """Read a value and make its networks."""
    assert rosinality.recognise(value)
    contents = rosinality.describe(value)
    return {name: assemble("file", name, packed) for name, packed in contents.networks.items()}, contents


def render(G, psi=0.7):
    return G(torch.randn([2, G.z_dim], generator=torch.Generator().manual_seed(0)), truncation_psi=psi, noise_mode="const")


def close(found, expected):
    expected = torch.as_tensor(expected)
    return found.shape == expected.shape and (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def as_stored(value, reads):
    """The same value with tensors that are still in a file; `reads` collects how many bytes are read."""

    class Watched(io.BytesIO):
        def readinto(self, buffer):
            reads.append(len(buffer))
            return super().readinto(buffer)

    if isinstance(value, dict):
        return {key: as_stored(item, reads) for key, item in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    data = value.contiguous().numpy().tobytes()
    return Stored(Span(Watched(data), 0, len(data)), value.dtype, tuple(value.shape), tuple(value.contiguous().stride()))


def test_every_golden_picture_comes_out(golden):
    expected = np.load(golden / "rosinality.npz")
    about = json.loads(str(expected["meta"]))
    snapshot = load(golden / "rosinality.pt")
    assert snapshot.origin == "rosinality"
    assert snapshot.notes == []
    G, z = snapshot.G_ema, torch.from_numpy(expected["z"])
    ws = G.mapping(z)
    assert close(ws, expected["latents"])
    assert close(G.synthesis(ws, noise_mode="const"), expected["img_stored_noise"])
    assert close(G.synthesis(ws, noise_mode="none"), expected["img_zero_noise"])
    assert close(G(z, truncation_psi=0.7, noise_mode="const"), expected["img_psi07"])
    mixed = torch.cat([ws[:, : about["inject_index"]], ws.flip(0)[:, about["inject_index"] :]], dim=1)
    assert close(G.synthesis(mixed, noise_mode="const"), expected["img_mix"])
    assert close(snapshot.G(z, noise_mode="const"), expected["g_img_stored_noise"])
    assert close(snapshot.D(torch.from_numpy(expected["disc_img"])), expected["d_logits"])
    layers = [getattr(getattr(G.synthesis, f"b{4 << k}"), f"conv{i}") for k in range(4) for i in (0, 1) if k or i]
    for i, layer in enumerate(layers):
        layer.noise_const.copy_(torch.from_numpy(expected[f"noise_{i}"])[0, 0])
    assert close(G.synthesis(ws, noise_mode="const"), expected["img_given_noise"])


def test_the_golden_trainer_file_comes_out_with_its_options(golden):
    expected = np.load(golden / "rosinality.npz")
    snapshot = load(golden / "rosinality_trainer.pt")
    found = snapshot.G_ema(torch.from_numpy(expected["trainer/z"]), noise_mode="const")
    assert close(found, expected["trainer/img_stored_noise"])
    assert snapshot.D is None
    assert snapshot.config == {"size": 8, "batch": 16, "latent": 12, "n_mlp": 2, "r1": 10, "channel_multiplier": 2}
    assert (snapshot.augment_p, snapshot.nimg) == (0.0, 0)
    assert any("w_avg" in note for note in snapshot.notes)


def test_the_golden_file_read_and_written_again_is_the_same(golden, tmp_path):
    original = torch.load(golden / "rosinality.pt", weights_only=True)
    again = written(tmp_path, load(golden / "rosinality.pt"))
    assert again.keys() == original.keys()
    assert torch.equal(again["latent_avg"], original["latent_avg"])
    for name in ("g_ema", "g", "d"):
        assert list(again[name]) == list(original[name])
        for key, value in original[name].items():
            assert torch.equal(again[name][key], value) or key.endswith("kernel")
            assert again[name][key].shape == value.shape
            assert torch.allclose(again[name][key], value, rtol=1e-6, atol=0)


def test_what_is_written_has_the_names_and_shapes_of_that_project(tmp_path):
    snapshot = Snapshot(generator(img_resolution=8), None, discriminator(img_resolution=8))
    value = written(tmp_path, snapshot)
    assert value.keys() == {"g_ema", "d", "latent_avg"}
    modulated = [("conv.modulation.weight", [8, 6]), ("conv.modulation.bias", [8])]
    layer = [("conv.weight", [1, 8, 8, 3, 3]), *modulated, ("noise.weight", [1]), ("activate.bias", [8])]
    rgb = [("bias", [1, 3, 1, 1]), ("conv.weight", [1, 3, 8, 1, 1]), *modulated]
    expected = {f"style.{i}.{name}": shape for i in (1, 2) for name, shape in (("weight", [6, 6]), ("bias", [6]))}
    expected |= {f"{part}.{name}": shape for part in ("conv1", "convs.0", "convs.1") for name, shape in layer}
    expected |= {f"{part}.{name}": shape for part in ("to_rgb1", "to_rgbs.0") for name, shape in rgb}
    expected |= {"input.input": [1, 8, 4, 4], "convs.0.conv.blur.kernel": [4, 4], "to_rgbs.0.upsample.kernel": [4, 4]}
    expected |= {f"noises.noise_{i}": [1, 1, side, side] for i, side in enumerate((4, 8, 8))}
    assert {name: list(tensor.shape) for name, tensor in value["g_ema"].items()} == expected
    assert {name: list(tensor.shape) for name, tensor in value["d"].items()} == {
        "convs.0.0.weight": [8, 3, 1, 1],
        "convs.0.1.bias": [8],
        "convs.1.conv1.0.weight": [8, 8, 3, 3],
        "convs.1.conv1.1.bias": [8],
        "convs.1.conv2.0.kernel": [4, 4],
        "convs.1.conv2.1.weight": [8, 8, 3, 3],
        "convs.1.conv2.2.bias": [8],
        "convs.1.skip.0.kernel": [4, 4],
        "convs.1.skip.1.weight": [8, 8, 1, 1],
        "final_conv.0.weight": [8, 9, 3, 3],
        "final_conv.1.bias": [8],
        "final_linear.0.weight": [8, 128],
        "final_linear.0.bias": [8],
        "final_linear.1.weight": [1, 8],
        "final_linear.1.bias": [1],
    }
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    assert torch.allclose(value["g_ema"]["to_rgbs.0.upsample.kernel"], 4 * torch.outer(taps, taps))
    assert torch.allclose(value["d"]["convs.1.skip.0.kernel"], torch.outer(taps, taps))


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 4, 6, 4, 1], [2, 5, 1], list(range(1, 9)), [[1, 2], [3, 5]]])
def test_networks_come_back_with_their_pictures_and_filters(tmp_path, taps):
    G = generator(synthesis_kwargs={"channels": [7, 5, 4], "resample_filter": taps})
    D = discriminator(block_kwargs={"resample_filter": taps})
    networks, _ = rebuilt(written(tmp_path, Snapshot(G, None, D)))
    assert networks["G_ema"].init_kwargs["synthesis_kwargs"]["channels"] == [7, 5, 4]
    expected = render(G)
    assert torch.allclose(render(networks["G_ema"]), expected, rtol=0, atol=1e-6 * float(expected.abs().max()))
    assert torch.allclose(networks["D"](expected), D(expected), atol=1e-5)


def test_a_file_written_and_loaded_is_the_same_in_every_number(tmp_path):
    G = generator()
    before = Snapshot(G, generator(1), discriminator())
    before.G.mapping.w_avg.copy_(G.mapping.w_avg)
    assert rosinality.write(before, tmp_path / "x.pt") == []
    after = load(tmp_path / "x.pt")
    for name in ("G_ema", "G", "D"):
        expected = getattr(before, name).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in getattr(after, name).state_dict().items())


def test_the_averaged_generator_alone_travels_with_its_mean_latent(tmp_path):
    value = written(tmp_path, names=("G_ema",))
    assert value.keys() == {"g_ema", "latent_avg"}
    assert torch.equal(render(rebuilt(value)[0]["G_ema"]), render(generator()))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value["g_ema"] | {"latent_avg": value["latent_avg"]},
        lambda value: {"g_ema": value["g_ema"], "latent_avg": value["latent_avg"][None]},
        lambda value: (
            {"g_ema": {f"module.{key}": item for key, item in value["g_ema"].items()}} | {"latent_avg": value["latent_avg"]}
        ),
        lambda value: {f"g_ema.{key}": item for key, item in value["g_ema"].items()} | {"latent_avg": value["latent_avg"]},
        lambda value: value | {"d": {}, "g_optim": {"state": {}}, "e_optim": None, 5: 6},
    ],
)
def test_a_generator_is_found_in_its_wrappings(tmp_path, wrap):
    networks, contents = rebuilt(wrap(written(tmp_path)))
    assert torch.equal(render(networks["G_ema"]), render(generator()))
    assert "D" not in networks
    assert contents.notes == []


def test_a_discriminator_alone_is_recognised(tmp_path):
    networks, _ = rebuilt(written(tmp_path)["d"])
    img = render(generator())
    assert torch.equal(networks["D"](img), discriminator()(img))


def test_tensors_stay_in_the_file_until_they_are_wanted(tmp_path):
    value, reads = written(tmp_path), []
    contents = rosinality.describe(as_stored(value, reads))
    assert set(reads) == {4 * 16}  # kernels alone
    G = assemble("file", "G_ema", contents.networks["G_ema"])
    assert torch.equal(render(G), render(generator()))


def test_without_a_mean_latent_it_is_computed_and_said(tmp_path):
    value = written(tmp_path)
    del value["latent_avg"]
    networks, contents = rebuilt(value)
    w = generator().mapping(torch.randn([20_000, 6], generator=torch.Generator().manual_seed(3)))[:, 0]
    assert ((networks["G_ema"].mapping.w_avg - w.mean(dim=0)).abs() <= w.std(dim=0) * 0.06).all()
    assert [note for note in contents.notes if "w_avg" in note]
    assert torch.equal(render(networks["G_ema"], psi=1), render(generator(), psi=1))


def test_noise_maps_of_older_files_are_drawn_and_said(tmp_path):
    value = written(tmp_path)
    value["g_ema"] = {name: item for name, item in value["g_ema"].items() if not name.startswith("noises.")}
    networks, contents = rebuilt(value)
    assert [note for note in contents.notes if "Noise maps" in note]
    z = torch.randn([1, 6], generator=torch.Generator().manual_seed(0))
    expected = generator()(z, noise_mode="none")
    assert torch.equal(networks["G_ema"](z, noise_mode="none"), expected)


def test_options_of_the_trainer_become_plain_values(tmp_path):
    options = {"batch": 16, "size": 16, "lr": 0.002, "path": "data"}
    there = Inert("object", "argparse.Namespace", options | {"device": Inert("object", "torch.device", {})})
    contents = rosinality.describe(written(tmp_path) | {"args": there, "ada_aug_p": 0.25, "iter": 1000})
    assert contents.config == options
    assert (contents.augment_p, contents.nimg) == (0.25, 16_000)


@pytest.mark.parametrize("changes", [{"args": {"batch": 16, "distributed": True}}, {"args": {}}, {"iter": -1}])
def test_images_shown_are_not_guessed(tmp_path, changes):
    assert rosinality.describe(written(tmp_path) | {"args": {"batch": 16}, "iter": 5} | changes).nimg == 0


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("to_rgbs.0.iwt.ll", torch.zeros(2, 2), r"a SWAGAN generator \(wavelets\)"),
        ("label.weight", torch.zeros(2, 2), "a generator with a part that StyleGAN2 has not, 'label.weight'"),
        ("\x1b[31m", torch.zeros(2, 2), r"has not, '\\x1b\[31m'"),
        ("convs.0.conv.blur.kernel", torch.ones(4, 4) / 4, "different resampling filters"),
        ("input.input", torch.zeros(1, 8, 4, 8), "starts from 4x8"),
        ("style.1.weight", torch.zeros(5, 6), None),
    ],
)
def test_what_is_no_stylegan2_is_named(tmp_path, name, tensor, words):
    value = written(tmp_path)
    value["g_ema"][name] = tensor
    contents = rosinality.describe(value)
    with pytest.raises(UserError, match=words or "G_ema does not fit its description: mapping.fc0"):
        assemble("file", "G_ema", contents.networks["G_ema"])


def test_filters_of_another_scale_are_named(tmp_path):
    value = written(tmp_path)
    value["g_ema"] = {name: item * (1 + name.endswith("kernel")) for name, item in value["g_ema"].items()}
    assert "a scale of their own" in rosinality.describe(value).networks["G_ema"].unsupported


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda value: [value["g_ema"].pop(f"style.{i}.{name}") for i in (1, 2) for name in ("weight", "bias")],
            "mapping.fc0.weight is",
        ),
        (lambda value: value["d"].pop("final_linear.0.weight"), "b4.fc.weight is missing"),
        (lambda value: value["g_ema"].pop("convs.3.conv.weight"), "with 3 upsampling layers"),
        (
            lambda value: value["g_ema"].update({"conv1.noise.weight": torch.zeros(2)}),
            r"conv1.noise.weight has the shape \[2\]; its axis 1",
        ),
        (
            lambda value: value["g_ema"].update({"to_rgb1.bias": torch.zeros(3)}),
            r"to_rgb1.bias has the shape \[3\]; its axis 1 and 3 and 4",
        ),
        (lambda value: value.update({"latent_avg": torch.zeros(2, 6)}), r"latent_avg has the shape \[2, 6\]"),
        (lambda value: value["g_ema"].update({"convs.0.conv.blur.kernel": torch.zeros(4, 4)}), "sums up to nothing"),
    ],
)
def test_what_is_damaged_is_refused_in_a_sentence(tmp_path, change, words):
    value = written(tmp_path)
    change(value)
    with pytest.raises(Refused, match=words):
        rosinality.describe(value)


@pytest.mark.parametrize("value", [{}, [], None, {"g": {}}, {"g_ema": {"a": torch.zeros(1)}}, {"input.input": torch.zeros(1)}])
def test_other_values_are_not_recognised(value):
    assert not rosinality.recognise(value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("G_ema", {"c_dim": 3}, "3 labels"),
        ("G_ema", {"img_channels": 1}, "1 picture channels"),
        ("G_ema", {"img_resolution": [16, 8]}, "pictures of 8x16 pixels"),
        ("G_ema", {"img_resolution": 12}, "pictures of 12x12 pixels"),
        ("G_ema", {"w_dim": 7}, "mapping layers of different widths"),
        ("G_ema", {"mapping_kwargs": {"num_layers": 2, "layer_features": 9}}, "mapping layers of different widths"),
        ("G_ema", {"mapping_kwargs": {"num_layers": 2, "lr_multiplier": 0.1}}, "a learning rate factor of 0.1"),
        ("G_ema", {"synthesis_kwargs": {**SMALL, "architecture": "resnet"}}, "the architecture resnet"),
        ("G_ema", {"synthesis_kwargs": {**SMALL, "use_noise": False}}, "no noise inputs"),
        ("G_ema", {"synthesis_kwargs": {**SMALL, "activation": "relu"}}, "the activation relu"),
        ("G_ema", {"synthesis_kwargs": {**SMALL, "kernel_size": 5}}, "kernels that are not 3x3"),
        ("D", {"architecture": "skip"}, "the architecture skip"),
        ("D", {"epilogue_kwargs": {"mbstd_num_channels": 0}}, "0 minibatch-std maps"),
        ("D", {"epilogue_kwargs": {"mbstd_group_size": 2}}, "minibatch-std groups of 2"),
        ("D", {"block_kwargs": {"activation": "relu"}}, "the activation relu"),
        ("D", {"img_resolution": [8, 16]}, "pictures of 16x8 pixels"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_anything_is_written(tmp_path, name, changes, words):
    parts = {"G_ema": generator(), "D": discriminator()}
    parts[name] = generator(**changes) if name == "G_ema" else discriminator(**changes)
    with pytest.raises(UserError, match=f"was not written: {name} has {words}.* a rosinality file cannot hold"):
        rosinality.write(Snapshot(parts["G_ema"], None, parts["D"]), tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


def test_what_is_left_out_is_said(tmp_path):
    G = generator(synthesis_kwargs={**SMALL, "conv_clamp": 256})
    notes = rosinality.write(Snapshot(G, generator(1)), tmp_path / "x.pt")
    assert notes == [
        "G_ema: the clamp at 256 is not kept; such a file has none.",
        "G: its w_avg is not kept; such a file has one, which is that of G_ema.",
    ]


def test_no_name_is_given_twice():
    for rows in (generator_rows(8, 8), discriminator_rows(8)):
        assert len({row.theirs for row in rows}) == len({row.ours for row in rows}) == len(rows)

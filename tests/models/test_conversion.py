"""Models from file to file: everything that a format holds travels, and a file that shows something else never appears."""

import json
import os
from pathlib import Path

import pytest
import torch

from sgtool import models, snapshots
from sgtool.commands.convert import KINDS
from sgtool.errors import UserError
from sgtool.models import conversion, convert
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, load, save

DATA = ("sgtool", "safetensors", "rosinality", "state-dict")
FACTS = ["number of pictures seen", "augment p", "training options", "facts about the training data"]


def small_snapshot(**changes):
    """Networks that every format can hold, all three different, with everything that pictures depend on moved off its start."""
    torch.manual_seed(0)
    size = {"c_dim": 0, "img_resolution": 16, "img_channels": 3} | changes
    widths = {"channel_base": 256, "channel_max": 16}
    common = {"z_dim": 8, "w_dim": 8, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": widths}
    G, G_ema = (build_generator(**size, **common) for _ in range(2))
    D = build_discriminator(**size, **widths)
    for network in (G, G_ema, D):
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                tensor.normal_()
        network.eval().requires_grad_(False)
    about = {"config": {"betas": (0, 0.99), "steps": {1: 2}}, "dataset": {"name": "x.zip", "class_names": ["a", "b"]}}
    return Snapshot(G_ema, G, D, 0.25, 12_000, **about)


@pytest.fixture
def source(tmp_path):
    save(small_snapshot(), tmp_path / "source.pkl")
    return tmp_path / "source.pkl"


def left_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def assert_same_network(found, expected):
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize("kind", DATA)
def test_all_networks_travel_to_every_format_that_holds_them(one_thread, tmp_path, source, kind):
    done = convert(source, tmp_path / f"new{conversion.SUFFIXES[kind]}")
    before, after = load(source), load(done.path)
    assert (done.kind, after.origin) == (kind, kind)
    assert_same_network(after.G_ema, before.G_ema)
    assert_same_network(after.D, before.D)
    assert torch.equal(after.G.synthesis.b16.conv1.weight, before.G.synthesis.b16.conv1.weight)
    assert [(item.name, item.largest) for item in done.differences] == [("G_ema", 0), ("G", 0), ("D", 0)]
    kept = FACTS if kind in ("sgtool", "safetensors") else []
    assert done.travelled == ["G_ema", "G", "D", *kept]
    assert done.left_behind == [fact for fact in FACTS if fact not in kept]
    assert left_in(tmp_path) == sorted(["source.pkl", done.path.name])


@pytest.mark.parametrize("kind", DATA)
def test_the_averaged_generator_travels_alone_on_request(one_thread, tmp_path, source, kind):
    done = convert(source, tmp_path / "new", to=kind, networks="G_ema")
    after = load(done.path)
    assert (after.G, after.D) == (None, None)
    assert_same_network(after.G_ema, load(source).G_ema)
    assert done.travelled[0] == "G_ema"
    assert done.left_behind[:2] == ["G", "D"]


@pytest.mark.parametrize("kind", conversion.PROGRAMS)
def test_programs_hold_the_averaged_generator_and_say_what_they_leave(one_thread, tmp_path, source, kind):
    done = convert(source, tmp_path / f"new{conversion.SUFFIXES[kind]}")
    assert (done.travelled, done.left_behind) == (["G_ema"], ["G", "D", *FACTS])
    (item,) = done.differences
    assert item.name == "G_ema"
    assert 0 <= item.largest < 1e-4 <= item.limit
    G, pictures = load(source).G_ema, conversion.Pictures(load(source).G_ema)
    inputs = pictures.inputs_of_seeds([5, 6], 0.7)
    made = conversion.PROGRAMS[kind].run(done.path, inputs)
    torch.testing.assert_close(made, G(inputs[0], truncation_psi=0.7, noise_mode="const"), rtol=0, atol=1e-4)


@pytest.mark.parametrize("first", DATA)
@pytest.mark.parametrize("second", DATA)
def test_any_format_can_be_converted_to_any_other(one_thread, tmp_path, source, first, second):
    convert(source, tmp_path / "first", to=first)
    convert(tmp_path / "first", tmp_path / "second", to=second)
    assert_same_network(load(tmp_path / "second").G_ema, load(source).G_ema)


@pytest.mark.parametrize("kind", ["sgtool", "safetensors", "state-dict", "torchscript"])
def test_labels_other_channels_and_shapes_travel(one_thread, tmp_path, kind):
    save(small_snapshot(c_dim=3, img_resolution=[16, 24], img_channels=4), tmp_path / "source.pkl")
    done = convert(tmp_path / "source.pkl", tmp_path / "new", to=kind)
    assert all(item.is_rounding for item in done.differences)


def test_what_a_format_cannot_hold_is_refused_by_name(one_thread, tmp_path):
    save(small_snapshot(c_dim=3), tmp_path / "source.pkl")
    with pytest.raises(UserError, match=r"new.pt was not written: G_ema has .*, which a rosinality file cannot hold") as caught:
        convert(tmp_path / "source.pkl", tmp_path / "new.pt")
    assert f"{tmp_path / 'new.pt'} was" in caught.value.message  # not the draft's name
    assert left_in(tmp_path) == ["source.pkl"]


class Careless:
    """A writer that changes one number."""

    def __init__(self, network, key, change):
        self.network, self.key, self.change = network, key, change

    def write(self, snapshot, path, names):
        getattr(snapshot, self.network).state_dict()[self.key].add_(self.change)
        return conversion.safetensors_file.write(snapshot, path, names)


@pytest.mark.parametrize(
    ("network", "key"),
    [("G_ema", "synthesis.b16.torgb.bias"), ("G_ema", "mapping.w_avg"), ("G", "mapping.fc0.weight"), ("D", "b4.out.bias")],
)
def test_a_file_that_shows_something_else_never_appears(one_thread, monkeypatch, tmp_path, source, network, key):
    monkeypatch.setitem(conversion.WRITERS, "safetensors", Careless(network, key, 0.01))
    original = conversion.outputs
    pristine = load(source)
    monkeypatch.setattr(conversion, "outputs", lambda snapshot, *rest: original(pristine if not rest else snapshot, *rest))
    (tmp_path / "new.safetensors").write_bytes(b"old")
    with pytest.raises(UserError, match=f"safetensors does not hold this model: {network} differs by .* was not written"):
        convert(source, tmp_path / "new.safetensors", force=True)
    assert (tmp_path / "new.safetensors").read_bytes() == b"old"
    assert left_in(tmp_path) == ["new.safetensors", "source.pkl"]


@pytest.mark.parametrize("kind", conversion.PROGRAMS)
def test_a_program_that_shows_something_else_never_appears(one_thread, monkeypatch, tmp_path, source, kind):
    program = conversion.PROGRAMS[kind]
    monkeypatch.setattr(program, "run", lambda path, inputs, run=program.run: run(path, inputs) + 0.1)
    with pytest.raises(UserError, match=f"{kind} does not hold this model: G_ema differs by 0.1"):
        convert(source, tmp_path / "new", to=kind)
    assert left_in(tmp_path) == ["source.pkl"]


def test_an_existing_file_is_replaced_only_by_force(one_thread, tmp_path, source):
    (tmp_path / "new.pkl").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"new.pkl is there already. Give another name, or --force to replace it"):
        convert(source, tmp_path / "new.pkl")
    assert (tmp_path / "new.pkl").read_bytes() == b"mine"
    convert(source, tmp_path / "new.pkl", force=True)
    assert load(tmp_path / "new.pkl").nimg == 12_000


def test_the_source_itself_is_never_replaced(tmp_path, source):
    os.link(source, tmp_path / "other.pkl")
    for name in ("source.pkl", "other.pkl"):
        with pytest.raises(UserError, match="is the file to convert"):
            convert(source, tmp_path / name, force=True)


def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path, source):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UserError, match="is a device or a pipe. Give the name of the new file."):
            convert(source, target, to="sgtool", force=True)
        assert not target.is_file()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "new.bin",
            r"new.bin: its name does not tell the kind of file. Add --to, or let it end in .pkl \(sgtool\), .safetensors",
        ),
        ("folder", "folder is a folder. Give the name of the new file."),
        ("nowhere/new.pkl", "there is no folder .*nowhere. Make it first."),
        ("x" * 300 + ".pkl", "cannot be written: .* Give another name."),
    ],
)
def test_a_place_that_cannot_be_is_told_before_anything_is_read(tmp_path, target, words):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=words):
        convert(tmp_path / "missing.pkl", tmp_path / target, to=None if "bin" in target else "sgtool")


def test_a_folder_that_cannot_be_written_is_told(monkeypatch, tmp_path, source):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(conversion.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(UserError, match="new.pkl cannot be written: Permission denied"):
        convert(source, tmp_path / "new.pkl")


def test_a_network_whose_training_diverged_is_not_converted(one_thread, tmp_path):
    snapshot = small_snapshot()
    snapshot.G_ema.synthesis.b16.torgb.bias.fill_(float("inf"))
    save(snapshot, tmp_path / "source.pkl")
    with pytest.raises(UserError, match="The pictures of G_ema are not finite numbers"):
        convert(tmp_path / "source.pkl", tmp_path / "new.safetensors")
    assert left_in(tmp_path) == ["source.pkl"]


def test_steps_are_told_and_notes_of_the_source_kept(one_thread, tmp_path, source):
    contents = torch.load(source, weights_only=True)
    del contents["G_ema"]
    torch.save(contents, source)
    told = []
    done = convert(source, tmp_path / "new.pth", say=told.append)
    assert told == [
        f"Reading {source}",
        f"Writing {tmp_path / 'new.pth'} (state-dict)",
        "Comparing the pictures of 4 seeds and what D says of them",
    ]
    assert "no averaged generator" in done.notes[0]
    assert (done.travelled, done.left_behind) == (["G_ema", "D"], FACTS)


def test_the_kinds_of_the_command_are_those_of_the_library():
    assert KINDS == models.TARGETS


def test_what_programs_want_to_know_is_in_the_file(one_thread, tmp_path):
    import onnx

    save(small_snapshot(c_dim=2, img_resolution=[16, 24]), tmp_path / "source.pkl")
    convert(tmp_path / "source.pkl", tmp_path / "new.onnx")
    (entry,) = onnx.load(tmp_path / "new.onnx").metadata_props
    expected = {"z_dim": 8, "c_dim": 2, "width": 24, "height": 16, "channels": 3, "class_names": ["a", "b"]}
    assert json.loads(entry.value) == expected | {"range": [-1, 1], "noise": "as stored"}


READABLE = [
    *("snapshot_ada_uncond.pkl", "snapshot_ada_cond.pkl", "snapshot_sg3repo_sg2_uncond.pkl", "snapshot_sg3repo_sg2_cond.pkl"),
    *("tf_uncond.pkl", "tf_cond.pkl", "rosinality.pt", "rosinality_trainer.pt"),
]


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("kind", ["sgtool", "safetensors", "torchscript"])
def test_published_layouts_convert(one_thread, golden, tmp_path, name, kind):
    done = convert(golden / name, tmp_path / "new", to=kind)
    assert all(item.is_rounding for item in done.differences)
    if kind != "torchscript":
        assert_same_network(load(done.path).G_ema, load(golden / name).G_ema)


@pytest.mark.parametrize("name", ["snapshot_sg3_t.pkl", "snapshot_sg3_r.pkl"])
def test_what_cannot_be_run_is_not_converted(golden, tmp_path, name):
    with pytest.raises(UserError, match=r"its G_ema is a StyleGAN3-[tr] .* does not run"):
        convert(golden / name, tmp_path / "new.pkl")
    assert left_in(tmp_path) == []


def test_a_run_folder_is_its_newest_snapshot(one_thread, tmp_path, source):
    (tmp_path / "run").mkdir()
    source.rename(tmp_path / "run" / "network-snapshot-000012.pkl")
    done = convert(tmp_path / "run", tmp_path / "new.safetensors")
    assert snapshots.load(done.path).nimg == 12_000

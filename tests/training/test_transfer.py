"""Starting from a snapshot: its architecture is adopted, what fits is copied, the rest is new and named."""

import dataclasses
import json
import re
import signal
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgtool import snapshots
from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot
from sgtool.snapshots.container import read_container
from sgtool.training import attempts, beginning, reports, transfer
from sgtool.training import run as run_module
from sgtool.training.beginning import make_augment
from sgtool.training.loop import Stop
from sgtool.training.pictures import PictureGrid
from sgtool.training.run import train
from sgtool.training.shares import parts_of
from sgtool.training.step import Batch, d_main, g_main

ODD_G = {
    "z_dim": 12,
    "c_dim": 0,
    "w_dim": 20,
    "img_resolution": 16,
    "img_channels": 1,
    "mapping_kwargs": {"num_layers": 3, "layer_features": 24, "lr_multiplier": 0.1, "activation": "relu", "w_avg_beta": 0.9},
    "synthesis_kwargs": {"architecture": "resnet", "channels": [8, 6, 5], "resample_filter": [1, 2, 1], "conv_clamp": 64},
}
ODD_D = {
    "c_dim": 0,
    "img_resolution": 16,
    "img_channels": 1,
    "architecture": "skip",
    "channel_base": 64,
    "channel_max": 6,
    "conv_clamp": 32,
    "block_kwargs": {"activation": "relu", "resample_filter": [1, 1], "freeze_layers": 2},
    "epilogue_kwargs": {"mbstd_group_size": 2, "mbstd_num_channels": 2, "activation": "swish"},
}
PLAIN_G = {
    "z_dim": 12,
    "c_dim": 0,
    "w_dim": 20,
    "img_resolution": 16,
    "img_channels": 1,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 128, "channel_max": 8},
}
PLAIN_D = {"c_dim": 0, "img_resolution": 16, "img_channels": 1, "channel_base": 128, "channel_max": 8}
RUN = run_module.run
SHORT = {"kimg": 1, "batch": 8, "metrics": (), "tick": 0.1, "snap": 50, "device": "cpu"}


class StopAfter(Stop):
    """Stops like SIGTERM after so many steps of this start."""

    steps = 0

    def __init__(self):
        super().__init__()
        self.left = self.steps

    @property
    def signal(self):
        self.left -= 1
        return signal.SIGTERM if self.left < 0 else None

    @signal.setter
    def signal(self, value):
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small sheets, no event files."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (3, 2))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)


@pytest.fixture
def write_source(tmp_path):
    """Function that writes a snapshot of networks with random weights: (G keywords, D keywords or None, ...) -> path."""

    def write(G=PLAIN_G, D=PLAIN_D, with_G=True, seed=0, name="source.pkl", **facts):
        torch.manual_seed(seed)
        networks = {"G_ema": build_generator(**G), "G": build_generator(**G) if with_G else None}
        networks["D"] = None if D is None else build_discriminator(**D)
        for network in networks.values():
            for buffer in [] if network is None else [network.mapping.w_avg] if hasattr(network, "num_ws") else []:
                buffer.normal_()
        snapshots.save(Snapshot(**networks, **{"augment_p": 0.25, "nimg": 12_000} | facts), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def planned(monkeypatch, tmp_path, data):
    """Function that plans a transfer and makes its state, without a step: (source, **options) -> (state, config, folder)."""

    def plan(source, **options):
        seen = {}

        def only_start(plan, log, world):
            seen.update(state=beginning.start_state(plan, log, world), config=plan.config)
            beginning.write_options(plan)
            return plan.folder

        monkeypatch.setattr(run_module, "run", only_start)
        folder = train(**{"data": data, "outdir": tmp_path / "runs", "resume": source} | SHORT | options)
        return seen["state"], seen["config"], folder

    return plan


@pytest.fixture
def stopped_after(monkeypatch):
    """Function that trains for some steps and is stopped: (steps, **options)."""

    def run(steps, **options):
        with monkeypatch.context() as patch:
            patch.setattr(attempts, "Stop", type("StopHere", (StopAfter,), {"steps": steps}))
            with pytest.raises(SystemExit):
                train(**options)

    return run


@pytest.fixture
def refusal(data, tmp_path):
    """Function that asserts that a transfer is refused before a folder is made: (source, **options) -> message."""

    def run(source, **options):
        with pytest.raises(UserError) as error:
            train(**{"data": data, "outdir": tmp_path / "runs", "resume": source} | SHORT | options)
        assert not (tmp_path / "runs").exists()
        assert len(re.findall(r"[.!?](?:\s|$)", error.value.message)) <= 3, "a sentence or two"
        return error.value.message.replace(str(source), "SOURCE")

    return run


def tensors(network):
    return dict(network.state_dict())


def equal(one, two, keys):
    return [key for key in keys if not torch.equal(one[key], two[key])] == []


# --- the architecture is the source's


def test_an_odd_architecture_is_adopted_and_its_first_losses_are_the_sources(write_source, planned, differences):
    source = write_source(ODD_G, ODD_D)
    state, config, _ = planned(source)
    snapshot = snapshots.load(source)
    for name in ("G_ema", "G", "D"):
        assert differences(getattr(state, name).state_dict(), getattr(snapshot, name).state_dict()) == []
    batch = Batch(torch.rand(8, 1, 16, 16) * 2 - 1, torch.zeros(8, 0))
    (part,) = parts_of(batch, config, ALONE, (config.seed, 0, 0, 0))
    for phase in (g_main, d_main):
        losses = []
        for networks in (state, snapshot):
            trainer = SimpleNamespace(G=networks.G, D=networks.D, ada=state.ada, device=state.device, world=ALONE)
            loss, _ = phase(trainer, config, part, make_augment(config, state.device), None)
            losses.append(loss.item())
        assert losses[0] == losses[1]


def test_what_the_run_decides_is_not_the_sources(write_source, planned):
    state, config, _ = planned(write_source(ODD_G, ODD_D), gamma=0.5, freezed=1, mbstd_group=4)
    assert (state.nimg, state.step, state.ada.p, state.opt_G.state_dict()["state"]) == (0, 0, 0, {})
    assert (config.ada_kimg, config.ema_rampup, config.gamma) == (100, None, 0.5)
    assert state.G.mapping.w_avg_beta == 0.998
    assert state.D.b4.mbstd.group_size == 4
    frozen = [name for name, parameter in state.D.named_parameters() if not parameter.requires_grad]
    assert frozen == ["b16.fromrgb.weight", "b16.fromrgb.bias"]


def test_the_configuration_says_what_the_networks_are(write_source, planned, capsys):
    state, config, folder = planned(write_source(ODD_G, ODD_D), cfg="paper256", batch=8)
    adopted = (config.z_dim, config.w_dim, config.map_depth, config.d_architecture, config.mbstd_group, config.conv_clamp)
    assert adopted == (12, 20, 3, "skip", 2, 64)
    assert (config.channel_base, config.channel_max) == (None, None)
    assert config.gamma == 1.0  # the preset's
    assert config.generator == state.G.init_kwargs == config.generator_kwargs()
    assert config.discriminator == state.D.init_kwargs == config.discriminator_kwargs()
    printed = " ".join(capsys.readouterr().out.split())
    assert "z_dim 12 # from the source" in printed
    assert 'cfg "paper256" # for training; the networks are the source\'s' in printed
    assert '"channels": [8, 6, 5]' in printed
    stored = json.loads((folder / "training_options.json").read_text())
    assert stored["config"] == config.as_dict()
    assert stored["reasons"]["generator"] == "from the source, for these pictures and labels"


def test_where_it_comes_from_is_written(write_source, planned, tmp_path):
    source = write_source()
    _, config, folder = planned(source)
    stored = json.loads((folder / "training_options.json").read_text())
    assert stored["resumed_snapshot"] == str(source.absolute())
    assert stored["config"]["source"] == {
        "file": str(source),
        "sha256": snapshots.network_hash(source),
        "format": "sgtool",
        "nimg": 12_000,
    }


def test_a_snapshot_of_the_run_loads_and_is_a_source_again(write_source, planned, data, tmp_path, differences):
    source = write_source(ODD_G, ODD_D)
    train(
        **{"data": data, "outdir": tmp_path / "runs", "resume": source} | SHORT | {"kimg": 1, "batch": 32, "tick": 1, "snap": 1}
    )
    (folder,) = (tmp_path / "runs").iterdir()
    snapshot = snapshots.load(folder)
    assert snapshot.config["source"]["file"] == str(source)
    state, config, _ = planned(folder / "network-snapshot-000001.pkl")
    assert differences(state.G_ema.state_dict(), snapshot.G_ema.state_dict()) == []
    assert config.generator == snapshot.config["generator"]


def test_a_stopped_transfer_goes_on_bit_by_bit_without_its_source(write_source, stopped_after, data, tmp_path, differences):
    source = write_source(ODD_G, ODD_D)
    given = {"data": data, "resume": source} | SHORT | {"kimg": 1, "batch": 16, "cond": True}
    for outdir, stops in (("whole", [9]), ("parts", [2, 4, 3])):
        stopped_after(stops[0], **given, outdir=tmp_path / outdir)
        (folder,) = (tmp_path / outdir).iterdir()
        if outdir == "parts":
            source.unlink()
        for steps in stops[1:]:
            stopped_after(steps, resume=folder, device="cpu")
    stored = json.loads((next((tmp_path / "parts").iterdir()) / "training_options.json").read_text())
    assert stored["resumed_snapshot"] == stored["config"]["source"]["file"] == str(source)
    one, two = (read_container(next((tmp_path / n).iterdir()) / "checkpoint.pkl", "checkpoint") for n in ("whole", "parts"))
    assert one["state"]["counters"]["step"] == 9
    assert differences(one, two, ignored=["counters.elapsed"]) == []


@pytest.mark.parametrize(("option", "words"), [("cbase", "channel_base 128, not 256"), ("map_depth", "map_depth 2, not 3")])
def test_a_stopped_transfer_keeps_its_architecture(write_source, stopped_after, data, tmp_path, option, words):
    stopped_after(1, data=data, outdir=tmp_path / "runs", resume=write_source(), **SHORT)
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UserError, match=f"the run has {words}"):
        train(resume=folder, device="cpu", **{option: 256 if option == "cbase" else 3})


def test_a_source_is_read_once_and_let_go(write_source, planned, monkeypatch):
    read, sources = [], []
    load, take_over = transfer.load, transfer.take_over
    monkeypatch.setattr(transfer, "load", lambda path: read.append(path) or load(path))
    monkeypatch.setattr(transfer, "take_over", lambda source, state: take_over(source, state) or sources.append(source))
    planned(write_source())
    assert len(read) == 1
    assert sources[0].snapshot is None


# --- precision


@pytest.mark.parametrize(
    ("blocks", "options", "expected"),
    [
        (2, {}, (2, 64, 1, 32)),
        (2, {"fp32": True}, (0, None, 0, None)),
        (0, {}, (0, 64, 1, 32)),
        (0, {"precision": "bf16"}, (4, 256, 4, 256)),
        (2, {"precision": "bf16"}, (2, 64, 1, 32)),
    ],
)
def test_half_precision_is_the_sources_unless_asked_for(write_source, planned, blocks, options, expected):
    G = ODD_G | {"synthesis_kwargs": ODD_G["synthesis_kwargs"] | {"num_fp16_res": blocks}}
    _, config, _ = planned(write_source(G, ODD_D | {"num_fp16_res": 1}), **options)
    G, D = config.generator["synthesis_kwargs"], config.discriminator
    assert (G["num_fp16_res"], G["conv_clamp"], D["num_fp16_res"], D["conv_clamp"]) == expected
    assert (config.num_fp16_res, config.conv_clamp) == expected[:2]


def test_the_group_follows_the_source_as_far_as_it_divides(write_source, planned):
    D = PLAIN_D | {"epilogue_kwargs": {"mbstd_group_size": 6}}
    _, config, _ = planned(write_source(D=D), batch=8)
    assert config.mbstd_group == config.discriminator["epilogue_kwargs"]["mbstd_group_size"] == 4
    D = PLAIN_D | {"epilogue_kwargs": {"mbstd_group_size": None}}
    state, config, _ = planned(write_source(D=D), batch=8)
    assert (config.mbstd_group, state.D.b4.mbstd.group_size) == (None, None)


# --- labels


def with_labels(kwargs, c_dim):
    return kwargs | {"c_dim": c_dim}


def test_a_run_with_labels_starts_from_a_source_without(write_source, planned, capsys):
    source = write_source()
    state, _, _ = planned(source, cond=True)
    text = capsys.readouterr().out
    assert "The source has no labels, this run labels of width 3: the layers that depend on them begin anew." in text
    assert (
        "  G_ema, G: copied: synthesis, mapping.w_avg, mapping.fc0.bias, mapping.fc1; "
        "in part: mapping.fc0.weight (the 12 columns of z); new: mapping.embed\n" in text
    )
    assert "  D: copied: b16, b8, b4.conv, b4.fc; new: mapping, b4.out\n" in text
    snapshot = snapshots.load(source)
    for name in ("G", "G_ema"):
        new, old = tensors(getattr(state, name)), tensors(getattr(snapshot, name))
        assert torch.equal(new["mapping.fc0.weight"][:, :12], old["mapping.fc0.weight"])
        assert new["mapping.fc0.weight"].shape == (20, 32)
        assert equal(new, old, [key for key in old if key != "mapping.fc0.weight"])
    assert equal(tensors(state.G), tensors(state.G_ema), ["mapping.embed.weight", "mapping.embed.bias"])
    new, old = tensors(state.D), tensors(snapshot.D)
    assert equal(new, old, [key for key in old if not key.startswith("b4.out")])


def test_a_run_without_labels_starts_from_a_source_with_them(write_source, planned, capsys):
    source = write_source(with_labels(PLAIN_G, 3), with_labels(PLAIN_D, 3))
    state, _, _ = planned(source)
    text = capsys.readouterr().out
    assert "The source has labels of width 3, this run no labels" in text
    assert "in part: mapping.fc0.weight (the 12 columns of z); left behind: mapping.embed\n" in text
    assert "  D: copied: b16, b8, b4.conv, b4.fc; new: b4.out; left behind: mapping\n" in text
    old = tensors(snapshots.load(source).G)
    assert torch.equal(state.G.mapping.fc0.weight, old["mapping.fc0.weight"][:, :12])


def test_another_number_of_classes_makes_their_embedding_new(write_source, planned, capsys):
    source = write_source(with_labels(PLAIN_G, 5), with_labels(PLAIN_D, 5))
    state, _, _ = planned(source, cond=True)
    text = capsys.readouterr().out
    assert "  G_ema, G: copied: synthesis, mapping.w_avg, mapping.fc0, mapping.fc1; new: mapping.embed\n" in text
    assert "  D: copied: b16, b8, mapping.fc0 to fc7, b4; new: mapping.embed\n" in text
    snapshot = snapshots.load(source)
    assert equal(tensors(state.D), tensors(snapshot.D), ["b4.out.weight", "mapping.fc7.weight", "mapping.fc0.bias"])
    assert not torch.equal(state.D.mapping.embed.bias, snapshot.D.mapping.embed.weight[:, 0])


def test_the_same_classes_are_copied_and_other_names_warned_of(write_source, data, tmp_path, capsys):
    names = {"class_names": ["ant", "bee", "cat"]}
    source = transfer.read_source(write_source(with_labels(PLAIN_G, 3), with_labels(PLAIN_D, 3), dataset=names))
    config = SimpleNamespace(c_dim=3, p=0.0)
    same, other = (transfer.describe(source, config, [*names["class_names"][:2], last]) for last in ("cat", "dog"))
    assert same == [same[0], "  Labels of width 3, as in the source: their layers are copied."]
    assert other[2].startswith('  Warning: class 2 was "cat" in the source and is "dog" in the data.')
    assert transfer.describe(source, config, None) == same


def with_vectors(data, path, width=4):
    """Copy a dataset, with vectors for labels."""
    rng = np.random.RandomState(0)
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
        names = [name for name in source.namelist() if name.endswith(".png")]
        for name in names:
            target.writestr(name, source.read(name))
        labels = [[name, rng.randn(width).round(3).tolist()] for name in names]
        target.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


@pytest.mark.parametrize(("c_dim", "new_in_D"), [(0, "mapping, b4.out"), (3, "mapping.embed")])
def test_vectors_take_the_place_of_classes_and_of_no_labels_and_are_trained(
    write_source, planned, stopped_after, data, tmp_path, capsys, c_dim, new_in_D
):
    source = write_source(with_labels(PLAIN_G, c_dim), with_labels(PLAIN_D, c_dim))
    vectors = with_vectors(data, tmp_path / "vectors.zip")
    state, config, _ = planned(source, cond=True, data=vectors)
    text = capsys.readouterr().out
    before = f"labels of width {c_dim}" if c_dim else "no labels"
    assert f"The source has {before}, this run labels of width 4: the layers that depend on them begin anew." in text
    assert f"new: {new_in_D}\n" in text
    assert (config.c_dim, state.G.mapping.embed.weight.shape[1]) == (4, 4)
    snapshot = snapshots.load(source)
    synthesis = [key for key in tensors(snapshot.G) if key.startswith("synthesis.")]
    assert equal(tensors(state.G), tensors(snapshot.G), [*synthesis, "mapping.fc1.weight"])
    start = state.G.mapping.embed.weight.clone()
    with pytest.MonkeyPatch.context() as undone:
        undone.setattr(run_module, "run", RUN)
        stopped_after(2, data=vectors, outdir=tmp_path / "trained", resume=source, cond=True, **SHORT)
    (folder,) = (tmp_path / "trained").iterdir()
    trained = read_container(folder / "checkpoint.pkl", "checkpoint")["state"]
    assert trained["counters"]["nonfinite"] == 0
    assert not torch.equal(trained["networks"]["G"]["mapping.embed.weight"], start)


def test_a_discriminator_that_says_it_has_no_label_map_gets_one(write_source, planned):
    state, config, _ = planned(write_source(D=PLAIN_D | {"cmap_dim": 0}), cond=True)
    assert state.D.b4.out.weight.shape == (8, 8)
    state, _, _ = planned(write_source(D=with_labels(PLAIN_D, 2) | {"cmap_dim": 6}), cond=True)
    assert state.D.b4.out.weight.shape == (6, 8)


# --- a mapping network that is not trained


def mapping_of(state):
    return {key: x for key, x in state["networks"]["G"].items() if key.startswith("mapping.") and "w_avg" not in key}


def test_a_frozen_mapping_network_stays_while_the_rest_is_trained(write_source, stopped_after, data, tmp_path, differences):
    source = write_source(with_labels(PLAIN_G, 3), with_labels(PLAIN_D, 3))
    given = {"data": data, "resume": source, "cond": True, "freeze_mapping": True, "glr": 0.01} | SHORT
    stopped_after(5, outdir=tmp_path / "whole", **given)
    stopped_after(2, outdir=tmp_path / "parts", **given)
    whole, parts = (next((tmp_path / name).iterdir()) for name in ("whole", "parts"))
    assert whole.name.endswith("-transfer-freezemapping")
    stopped_after(3, resume=parts, device="cpu")
    one, two = (read_container(folder / "checkpoint.pkl", "checkpoint") for folder in (whole, parts))
    assert differences(one, two, ignored=["counters.elapsed", "timestamp"]) == []
    old, new = tensors(snapshots.load(source).G), one["state"]["networks"]["G"]
    mapping = mapping_of(one["state"])
    assert len(mapping) == 6  # embed, fc0, fc1
    assert equal(mapping, old, mapping)
    assert not torch.equal(new["synthesis.b16.conv1.weight"], old["synthesis.b16.conv1.weight"])
    assert one["config"]["freeze_mapping"] is True
    kept = one["state"]["optimizers"]["opt_G"]["state"]
    assert len(kept) == len(list(build_generator(**with_labels(PLAIN_G, 3)).synthesis.parameters()))


def test_without_the_option_the_mapping_network_is_trained(write_source, stopped_after, data, tmp_path):
    source = write_source()
    stopped_after(2, data=data, outdir=tmp_path / "runs", resume=source, glr=0.01, **SHORT)
    (folder,) = (tmp_path / "runs").iterdir()
    mapping = mapping_of(read_container(folder / "checkpoint.pkl", "checkpoint")["state"])
    old = tensors(snapshots.load(source).G)
    assert [key for key in mapping if torch.equal(mapping[key], old[key])] == []


@pytest.mark.parametrize(
    ("c_dim", "options", "words"),
    [
        (0, {"cond": True}, "--freeze-mapping: G's mapping.fc0 begins anew in part, and frozen it would never learn."),
        (5, {"cond": True}, "--freeze-mapping: G's mapping.embed begins anew, and frozen it would never learn."),
        (0, {"grow": True, "map_depth": 3}, "--freeze-mapping: G's mapping.fc2 begins anew, and"),
    ],
)
def test_what_begins_anew_in_the_mapping_network_is_not_frozen(write_source, refusal, c_dim, options, words):
    source = write_source(with_labels(PLAIN_G, c_dim), with_labels(PLAIN_D, c_dim))
    assert words in refusal(source, freeze_mapping=True, **options)


def test_a_mapping_network_whose_labels_are_left_behind_can_be_frozen(write_source, planned):
    state, _, _ = planned(write_source(with_labels(PLAIN_G, 3), with_labels(PLAIN_D, 3)), freeze_mapping=True)
    assert [name for name, parameter in state.G.mapping.named_parameters() if parameter.requires_grad] == []
    assert all(parameter.requires_grad for parameter in state.G.synthesis.parameters())


@pytest.mark.parametrize("resume", [None, "auto", "noresume"])
def test_a_mapping_network_of_random_weights_is_not_frozen(refusal, resume):
    words = "--freeze-mapping: the mapping network of a run from nothing would stay random. Name a trained network by --resume."
    assert words == refusal(resume, freeze_mapping=True)


# --- growing


def test_a_grown_network_has_the_sources_blocks(write_source, write_dataset, planned, tmp_path, capsys):
    source, data = write_source(), write_dataset(tmp_path / "large.zip", number=16, size=(32, 32))
    state, config, folder = planned(source, data=data, grow=True)
    text = capsys.readouterr().out
    assert "  G_ema, G: copied: synthesis.b4, synthesis.b8, synthesis.b16, mapping; new: synthesis.b32\n" in text
    assert "  D: copied: b16, b8, b4; new: b32; left behind: b16.fromrgb\n" in text
    snapshot = snapshots.load(source)
    old, new = tensors(snapshot.G_ema), tensors(state.G_ema)
    assert equal(new, old, old)
    assert config.generator["synthesis_kwargs"] | {"channel_base": 128, "channel_max": 8} == config.generator["synthesis_kwargs"]
    ws = torch.randn(2, state.G_ema.num_ws, 20)
    blocks, x, img, rows = state.G_ema.synthesis, None, None, ws.unbind(1)
    for name, first in (("b4", 0), ("b8", 1), ("b16", 3)):
        x, img = getattr(blocks, name)(x, img, rows[first : first + 3], "const")
    assert torch.equal(img, snapshot.G_ema.synthesis(ws[:, : snapshot.G_ema.num_ws], noise_mode="const"))
    assert folder.name.endswith("-transfer-grow")


@pytest.mark.parametrize(
    ("size", "G", "D"),
    [
        (
            (8, 8),
            "copied: synthesis, mapping; left behind: synthesis.b16",
            "copied: b8.conv0, b8.conv1, b8.skip, b4; new: b8.fromrgb; left behind: b16",
        ),
        (
            (64, 32),
            "copied: synthesis.b4.conv1, synthesis.b4.torgb, synthesis.b8, synthesis.b16, mapping; "
            "new: synthesis.b4.const, synthesis.b32, synthesis.b64, 5 noise maps (noise_const)",
            "copied: b16, b8, b4.conv, b4.out; new: b64, b32, b4.fc; left behind: b16.fromrgb",
        ),
        (
            (24, 16),
            "copied: synthesis.b4.conv1, synthesis.b4.torgb, synthesis.b8, synthesis.b16, mapping; "
            "new: synthesis.b4.const, 5 noise maps (noise_const)",
            "copied: b16, b8, b4.conv, b4.out; new: b4.fc",
        ),
    ],
)
def test_smaller_and_oblong_pictures_take_what_fits(write_source, write_dataset, planned, tmp_path, capsys, size, G, D):
    data = write_dataset(tmp_path / "other.zip", number=16, size=size)
    state, _, _ = planned(write_source(), data=data, grow=True)
    assert f"\n  G_ema, G: {G}\n  D: {D}\n" in capsys.readouterr().out
    images = state.G_ema(torch.randn(2, 12), torch.zeros(2, 0), noise_mode="const")
    assert images.shape == (2, 1, *size)
    assert state.D(images, torch.zeros(2, 0)).shape == (2, 1)


def test_listed_feature_maps_are_halved_on_and_cut(write_source, write_dataset, planned, tmp_path):
    source = write_source(ODD_G, ODD_D | {"channels": [8, 6, 3]})
    for size, channels in ((64, [8, 6, 5, 2, 1]), (8, [8, 6])):
        data = write_dataset(tmp_path / f"{size}.zip", number=16, size=(size, size))
        _, config, _ = planned(source, data=data, grow=True)
        assert config.generator["synthesis_kwargs"]["channels"] == channels
        assert config.discriminator["channels"] == [8, 6, 3, 1, 1][: len(channels)]


def test_other_channels_make_the_layers_at_the_picture_new(write_source, write_dataset, planned, tmp_path, capsys):
    data = write_dataset(tmp_path / "colour.zip", number=16, channels=3)
    source = write_source()
    state, _, _ = planned(source, data=data, grow=True)
    text = capsys.readouterr().out
    assert "new: synthesis.b4.torgb, synthesis.b8.torgb, synthesis.b16.torgb\n" in text
    assert "new: b16.fromrgb\n" in text
    old = tensors(snapshots.load(source).G)
    assert equal(tensors(state.G), old, [key for key in old if "torgb.weight" not in key and "torgb.bias" not in key])


def test_with_grow_options_outdo_the_source(write_source, planned, capsys):
    state, config, _ = planned(write_source(ODD_G, ODD_D), grow=True, cbase=64, cmax=8, map_depth=2, z_dim=6)
    assert (config.channel_base, config.channel_max, config.map_depth, config.z_dim) == (64, 8, 2, 6)
    assert [state.G.synthesis.b4.const.shape[0], state.G.synthesis.b16.conv1.weight.shape[0]] == [8, 4]
    text = capsys.readouterr().out
    assert "  G_ema, G: copied: synthesis.b4, synthesis.b8.conv0.affine, mapping.w_avg; new: synthesis.b8.conv0, " in text
    assert "synthesis.b16, mapping.fc0, mapping.fc1; left behind: mapping.fc2\n" in text
    assert "z_dim 6 # as asked" in " ".join(text.split())


def test_a_grown_run_trains_and_goes_on_bit_by_bit(write_source, write_dataset, stopped_after, tmp_path, differences):
    data = write_dataset(tmp_path / "large.zip", number=16, size=(64, 32), channels=3)
    given = {"data": data, "resume": write_source(ODD_G, ODD_D), "grow": True} | SHORT
    stopped_after(6, outdir=tmp_path / "whole", **given)
    stopped_after(2, outdir=tmp_path / "parts", **given)
    whole, parts = (next((tmp_path / name).iterdir()) for name in ("whole", "parts"))
    stopped_after(4, resume=parts, device="cpu")
    one, two = (read_container(folder / "checkpoint.pkl", "checkpoint") for folder in (whole, parts))
    assert one["state"]["counters"]["step"] == 6
    assert one["state"]["counters"]["nonfinite"] == 0
    assert differences(one, two, ignored=["counters.elapsed"]) == []


# --- parts that are missing


def test_a_source_without_d_and_g_says_so(write_source, planned, capsys, differences):
    source = write_source(ODD_G, D=None, with_G=False)
    state, config, _ = planned(source)
    text = capsys.readouterr().out
    assert "It has no G, so G starts from G_ema.\n" in text
    assert "It has no D, so D starts from random weights.\n" in text
    assert config.discriminator["channels"] == [8, 6, 5]
    assert config.discriminator["block_kwargs"]["resample_filter"] == [1, 2, 1]
    assert differences(state.G.state_dict(), snapshots.load(source).G_ema.state_dict()) == []


def test_what_the_source_says_of_itself_is_told(write_source, monkeypatch, data, tmp_path, capsys):
    load = transfer.load
    notes = ["The mapping network's factor is assumed to be 0.01."]
    monkeypatch.setattr(transfer, "load", lambda path: dataclasses.replace(load(path), origin="rosinality", notes=notes))
    source = write_source()
    train(data=data, outdir=tmp_path / "runs", resume=source, dry_run=True, device="cpu")
    text = capsys.readouterr().out
    assert f"Transfer learning from {source} (rosinality's stylegan2-pytorch, kimg 12, p 0.250). " in text
    assert "Optimizers begin anew, kimg at 0, p at 0.\n" in text
    assert f"  {notes[0]}\n" in text
    assert "G_ema, G, D: copied whole\n" in text
    assert not (tmp_path / "runs").exists()


def test_a_password_in_an_address_is_not_written(write_source, monkeypatch):
    path = write_source()
    monkeypatch.setattr(transfer, "find", lambda *given, **options: path)
    source = transfer.read_source("https://me:secret@example.org/a.pkl?key=secret")
    assert source.name == source.about["file"] == "https://example.org/a.pkl?…"


# --- what is refused


@pytest.mark.parametrize(
    ("size", "channels", "options", "words"),
    [
        ((32, 32), 1, {}, "SOURCE: it makes pictures of 16x16, but the data have 32x32. Prepare the data with --resolution 16,"),
        ((32, 16), 1, {}, "but the data have 16x32. Prepare the data with --resolution 16, or add --grow"),
        ((16, 16), 3, {}, "pictures with 1 channel, but the data have 3 channels. Prepare the data with --channels 1, or"),
        ((32, 16), 3, {}, "of 16x16 with 1 channel, but the data have 16x32 with 3 channels. Prepare the data with --res"),
        ((16, 16), 1, {"cbase": 256}, "--cbase 256: the source SOURCE has 128. Leave --cbase out to take its networks"),
        ((16, 16), 1, {"cmax": 4}, "--cmax 4: the source SOURCE has 8."),
        ((16, 16), 1, {"map_depth": 8}, "--map-depth 8: the source SOURCE has 2."),
        ((16, 16), 1, {"z_dim": 13}, "--z-dim 13: the source SOURCE has 12."),
        ((16, 16), 1, {"w_dim": 12}, "--w-dim 12: the source SOURCE has 20."),
    ],
)  # fmt: skip
def test_what_contradicts_the_source_is_refused_with_what_it_has(
    write_source, write_dataset, refusal, tmp_path, size, channels, options, words
):
    other = write_dataset(tmp_path / "other.zip", number=8, size=size, channels=channels)
    assert words in refusal(write_source(), data=other, **options)


def test_an_oblong_source_is_refused_by_its_size(write_source, refusal):
    oblong = {"img_resolution": [16, 32]}
    message = refusal(write_source(PLAIN_G | oblong, PLAIN_D | oblong))
    assert "it makes pictures of 32x16, but the data have 16x16. Prepare the data with --resolution 32x16" in message


def test_options_that_agree_with_the_source_are_accepted(write_source, planned):
    planned(write_source(), cbase=128, cmax=8, map_depth=2, z_dim=12, w_dim=20)


def test_feature_maps_that_are_listed_have_no_base(write_source, refusal):
    assert "--cbase 64: the source SOURCE has another for each block." in refusal(write_source(ODD_G, ODD_D), cbase=64)


def test_a_base_that_only_g_has_is_refused(write_source, refusal):
    source = write_source(D=PLAIN_D | {"channel_base": 64})
    assert "--cbase 128: the source SOURCE has 64." in refusal(source, cbase=128)


def test_a_d_for_other_pictures_is_refused_or_fitted(write_source, refusal, planned):
    source = write_source(D=PLAIN_D | {"img_resolution": 8})
    assert "its D does not fit the run's (b16.fromrgb.weight differs), whose architecture is that of" in refusal(source)
    planned(source, grow=True)


def test_a_base_that_does_not_reach_is_refused(write_source, write_dataset, refusal, tmp_path):
    source = write_source(PLAIN_G | {"synthesis_kwargs": {"channel_base": 16, "channel_max": 8}}, PLAIN_D)
    message = refusal(source, data=write_dataset(tmp_path / "d.zip", number=8, size=(32, 32)), grow=True)
    assert "its G_ema cannot be built for pictures of 32x32 (channel_base 16 leaves no channel at resolution 32)." in message


def test_nothing_that_fits_is_refused(write_source, refusal):
    options = {"z_dim": 7, "w_dim": 9, "cmax": 3, "cbase": 16}
    assert "no layer of its G_ema fits this run." in refusal(write_source(), grow=True, **options)


def test_new_layers_are_not_frozen(write_source, write_dataset, refusal, tmp_path):
    assert "--freezed 1: D's b16.fromrgb begins anew" in refusal(write_source(D=None), freezed=1)
    large = write_dataset(tmp_path / "large.zip", number=8, size=(32, 32))
    assert "--freezed 2: D's b32.conv0 begins anew" in refusal(write_source(), data=large, grow=True, freezed=2)


@pytest.mark.parametrize("resume", [None, "auto", "noresume"])
def test_growing_needs_a_source(refusal, resume):
    assert "--grow: it copies what fits from trained networks into a new run." in refusal(resume, grow=True)


def test_a_run_folder_is_not_grown(write_source, stopped_after, data, tmp_path):
    stopped_after(1, data=data, outdir=tmp_path / "runs", resume=write_source(), **SHORT)
    with pytest.raises(UserError, match="--grow: it copies what fits"):
        train(resume=next((tmp_path / "runs").iterdir()), grow=True, device="cpu")


def test_a_bad_option_is_named_before_a_source_is_looked_for(refusal, tmp_path):
    assert "--gamma -1.0: it must be" in refusal(tmp_path / "gone.pkl", gamma=-1.0)


def test_a_source_that_is_not_there_is_named(refusal, tmp_path):
    assert "does not exist" in refusal(tmp_path / "gone.pkl")


def test_a_source_whose_description_is_not_plain_is_refused(write_source, refusal, monkeypatch):
    load = transfer.load

    def with_tensor(path):
        snapshot = load(path)
        snapshot.D.init_kwargs["block_kwargs"] = {"resample_filter": torch.ones(2)}
        return snapshot

    monkeypatch.setattr(transfer, "load", with_tensor)
    assert "the description of its networks has more than plain values" in refusal(write_source())


# --- other programs' snapshots


GOLDEN = [
    ("snapshot_ada_uncond.pkl", 32, 3),
    ("snapshot_ada_cond.pkl", 16, 1),
    ("snapshot_sg3repo_sg2_uncond.pkl", 32, 3),
    ("tf_uncond.pkl", 32, 3),
    ("rosinality.pt", 32, 3),
    ("rosinality_trainer.pt", 8, 3),
]


@pytest.mark.parametrize(("name", "size", "channels"), GOLDEN)
def test_other_programs_snapshots_are_trained_on(golden, write_dataset, stopped_after, tmp_path, name, size, channels):
    """One step at a learning rate of next to nothing leaves the source's weights in the checkpoint."""
    snapshot = snapshots.load(golden / name)
    data = write_dataset(
        tmp_path / "d.zip", number=16, size=(size, size), channels=channels, classes=max(snapshot.G_ema.c_dim, 2)
    )
    given = {"data": data, "outdir": tmp_path / "runs", "resume": golden / name, "cond": snapshot.G_ema.c_dim > 0}
    stopped_after(1, **given | SHORT | {"glr": 1e-9, "dlr": 1e-9, "batch": 4})
    (folder,) = (tmp_path / "runs").iterdir()
    state = read_container(folder / "checkpoint.pkl", "checkpoint")["state"]
    assert (state["counters"]["step"], state["counters"]["nonfinite"]) == (1, 0)
    for kind, network in (("G", snapshot.G or snapshot.G_ema), ("D", snapshot.D)):
        for key, tensor in (network.state_dict() if network is not None else {}).items():
            if not key.endswith("w_avg"):  # moves with each step
                assert torch.allclose(state["networks"][kind][key], tensor, atol=1e-6), (kind, key)

"""What a model file holds, told without reading its tensors, and whatever it holds."""

import contextlib
import dataclasses
import hashlib
import json
import math
import time

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot, formats, save
from sgtool.snapshots.inspect import MOST_VALUES, inspect
from sgtool.snapshots.inspect_text import lines, printable
from sgtool.snapshots.spans import Stored

SIZES = {"channel_base": 128, "channel_max": 8}
NAMES = ["zero", "one", "two"]


def small_snapshot(**changes):
    size = {"c_dim": 3, "img_resolution": [16, 24], "img_channels": 1} | changes
    parts = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": SIZES | {"architecture": "resnet", "conv_clamp": 256}}
    G, G_ema = (build_generator(z_dim=8, w_dim=16, **size, **parts) for _ in range(2))
    D = build_discriminator(**size, **SIZES, num_fp16_res=2)
    about = {"config": {"batch": 4, "gamma": math.inf}, "dataset": {"name": "digits.zip", "class_names": NAMES}}
    return Snapshot(G_ema, G, D, 0.25, 12_345, **about)


@pytest.fixture
def file(tmp_path):
    save(small_snapshot(), tmp_path / "x.pkl")
    return tmp_path / "x.pkl"


def with_contents(file, **changes):
    """Rewrite a snapshot with other entries."""
    torch.save(torch.load(file, weights_only=True) | changes, file)
    return file


def test_facts_are_those_of_the_file_and_its_networks(file):
    facts = inspect(file)
    assert (facts["file"], facts["bytes"]) == (str(file), file.stat().st_size)
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (facts["format"], facts["program"]) == ("sgtool", "sgtool")
    assert (facts["resolution"], facts["channels"]) == ([24, 16], 1)
    assert (facts["c_dim"], facts["class_names"]) == (3, NAMES)
    assert (facts["nimg"], facts["kimg"], facts["augment_p"]) == (12_345, 12.345, 0.25)
    G, D = facts["networks"]["G_ema"], facts["networks"]["D"]
    assert [G[key] for key in ("z_dim", "w_dim", "num_ws", "mapping_layers")] == [8, 16, 6, 2]
    assert [G[key] for key in ("architecture", "conv_clamp", "num_fp16_res", "widths")] == ["resnet", 256, 0, [8, 8, 8]]
    assert [D[key] for key in ("architecture", "conv_clamp", "num_fp16_res", "cmap_dim")] == ["resnet", None, 2, 8]


@pytest.mark.parametrize("name", ["G_ema", "G", "D"])
def test_numbers_are_counted_as_pytorch_counts_them(tmp_path, name):
    snapshot = small_snapshot()
    save(snapshot, tmp_path / "x.pkl")
    network, found = getattr(snapshot, name), inspect(tmp_path / "x.pkl")["networks"][name]
    assert found["parameters"] == sum(p.numel() for p in network.parameters())
    assert found["buffers"] == sum(b.numel() for b in network.buffers())
    expected = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert {tensor["name"]: tensor["shape"] for tensor in found["tensors"]} == expected
    of_layers = [int(line.split()[-1].replace(",", "")) for line in table(lines(inspect(tmp_path / "x.pkl")), name)]
    assert sum(of_layers) == found["parameters"] or name == "G"


def table(text, name):
    """The rows of one network's table."""
    text = list(text)
    start = next(i for i, line in enumerate(text) if line.startswith(f"{name}  "))
    end = text.index("", start) if "" in text[start:] else len(text)
    return text[start + 2 : end]


def test_text_names_every_layer_once_and_equal_networks_once(file):
    text = list(lines(inspect(file)))
    rows = [line.split()[0] for line in table(text, "G_ema")]
    assert rows[:3] == ["mapping.embed", "mapping.fc0", "mapping.fc1"]
    assert {"synthesis.b4.const", "synthesis.b4.conv1", "synthesis.b8.conv0", "synthesis.b8.skip", "synthesis.b16.torgb"} < set(
        rows
    )
    assert len(rows) == len(set(rows))
    assert any(line.startswith("G  generator, ") and line.endswith(": the same layers as G_ema") for line in text)
    assert "b4.out" in {line.split()[0] for line in table(text, "D")}
    assert "labels        3 classes: zero, one, two" in text
    assert "pictures      24x16, 1 channel" in text


def test_every_tensor_is_listed_on_request(file):
    facts = inspect(file)
    for name in ("G_ema", "G", "D"):
        rows = table(lines(facts, every_tensor=True), name)
        assert sorted(row.split()[0] for row in rows) == sorted(t["name"] for t in facts["networks"][name]["tensors"])
        assert any(row.split()[0].endswith("resample_filter") and "buffer" in row for row in rows)


def test_no_tensor_is_read(file, monkeypatch):
    monkeypatch.setattr(Stored, "tensor", lambda self: pytest.fail("a tensor was read"))
    assert inspect(file)["networks"].keys() == {"G_ema", "G", "D"}


def test_numbers_without_end_are_words_in_json(file):
    facts = json.loads(json.dumps(inspect(file), allow_nan=False))
    assert facts["config"] == {"batch": 4, "gamma": "inf"}


def test_options_that_unfold_beyond_measure_are_cut_short(file):
    bomb = ["x"]
    for _ in range(4):
        bomb = [bomb] * 12
    start = time.perf_counter()
    text = json.dumps(inspect(with_contents(file, config={"bomb": bomb}))["config"])
    assert time.perf_counter() - start < 5
    assert "..." in text
    assert text.count('"x"') < MOST_VALUES < 12**4


def test_absurd_counts_are_told_in_words(file, monkeypatch):
    @contextlib.contextmanager
    def opened(path):
        with formats.opened(path) as contents:
            yield dataclasses.replace(contents, nimg=10**400, augment_p=float("nan"))

    monkeypatch.setattr("sgtool.snapshots.inspect.opened", opened)
    facts = inspect(file)
    assert (facts["nimg"], facts["kimg"], facts["augment_p"]) == ("<int>", None, "nan")
    assert list(lines(facts))


def test_what_a_terminal_would_obey_is_escaped(file):
    evil = "\x1b]0;title\x07\r\n\u202e"
    text = list(lines(inspect(with_contents(file, config={evil: evil}, dataset={"class_names": [evil] * 3}))))
    assert all(line.isprintable() for line in text)
    assert any("\\x1b]0;title\\x07\\r\\n\\u202e" in line for line in text)
    assert printable("a\x00\ud800é") == "a\\x00\\ud800é"


def test_a_network_that_does_not_fit_its_description_is_refused(file):
    contents = torch.load(file, weights_only=True)
    contents["D"]["init"]["img_channels"] = 2**30
    with pytest.raises(UserError, match=r"x.pkl: D does not fit its description"):
        inspect(with_contents(file, D=contents["D"]))


GOLDEN = {
    "snapshot_ada_uncond.pkl": "stylegan2-ada-pytorch",
    "snapshot_ada_cond.pkl": "stylegan2-ada-pytorch",
    "snapshot_sg3repo_sg2_uncond.pkl": "stylegan3",
    "snapshot_sg3repo_sg2_cond.pkl": "stylegan3",
    "snapshot_sg3_t.pkl": "stylegan3",
    "snapshot_sg3_r.pkl": "stylegan3",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_published_layouts_are_named_and_their_parameters_counted(golden, name):
    facts = inspect(golden / name)
    assert facts["format"] == GOLDEN[name]
    with np.load(golden / name.replace(".pkl", ".npz")) as expected:
        for network in ("G_ema", "G", "D"):
            assert facts["networks"][network]["parameters"] == int(expected[f"num_params/{network}"])
        if "augment_p" in expected:
            assert facts["augment_p"] == pytest.approx(float(expected["augment_p"]))
    assert json.dumps(facts, allow_nan=False)
    assert list(lines(facts, every_tensor=True))


@pytest.mark.parametrize("name", ["snapshot_sg3_t.pkl", "snapshot_sg3_r.pkl"])
def test_alias_free_generators_are_named_with_their_table(golden, name):
    facts = inspect(golden / name)
    assert facts["networks"]["D"]["unsupported"] == ""
    text = "\n".join(lines(facts))
    assert f"a StyleGAN3-{name[-5]} (alias-free) generator: this version shows what it holds, and does not run it" in text
    assert "synthesis.input" in text

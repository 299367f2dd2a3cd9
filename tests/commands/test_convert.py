"""`sgtool convert` as it is typed."""

import sys

import pytest
import torch
from click.testing import CliRunner

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_discriminator, build_generator

SIZES = {"channel_base": 64, "channel_max": 8}


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    size = {"c_dim": 0, "img_resolution": 8, "img_channels": 3}
    G = build_generator(z_dim=8, w_dim=8, **size, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=SIZES)
    snapshot = snapshots.Snapshot(G, None, build_discriminator(**size, **SIZES), nimg=4000)
    snapshots.save(snapshot, tmp_path / "model.pkl")
    return tmp_path / "model.pkl"


def convert(*arguments):
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def test_it_says_what_travelled_what_did_not_and_the_largest_differences(one_thread, model, tmp_path):
    result = convert(model, tmp_path / "model.pth")
    assert result.exit_code == 0
    first, second, *rest = result.stdout.splitlines()
    assert first == f"{tmp_path / 'model.pth'}: state-dict, {(tmp_path / 'model.pth').stat().st_size / 1e3:.1f} kB, with G_ema, D"
    assert second == "left behind: number of pictures seen"
    assert [line.partition(" (rounding makes ")[0] for line in rest] == [f"largest difference of {n}: 0" for n in ("G_ema", "D")]
    assert f"Reading {model}" in result.stderr


def test_nothing_is_said_to_be_left_behind_where_nothing_is(one_thread, model, tmp_path):
    result = convert(model, tmp_path / "model.safetensors")
    assert "with G_ema, D, number of pictures seen\n" in result.stdout
    assert "left behind" not in result.stdout


def test_notes_are_told(one_thread, model, tmp_path):
    assert "Note: The file does not say all" in convert(model, tmp_path / "model.pth").stderr


def test_options_reach_the_conversion(one_thread, model, tmp_path):
    result = convert(model, tmp_path / "x.bin", "--to", "sgtool", "--networks", "G_ema")
    assert "with G_ema, number of pictures seen\nleft behind: D\n" in result.stdout
    assert convert(model, tmp_path / "x.bin", "--to", "sgtool").exit_code == 1
    assert convert(model, tmp_path / "x.bin", "--to", "sgtool", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new.bin"], "new.bin: its name does not tell the kind of file."),
        (["model.pkl"], "model.pkl is there already."),
        (["model.pkl", "--force"], "model.pkl is the file to convert."),
        (["new.pkl", "--to", "keras"], "'--to': 'keras' is not one of 'sgtool', 'safetensors', 'rosinality', "),
        (["new.pkl", "--networks", "D"], "'--networks': 'D' is not one of 'all', "),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_one(model, tmp_path, arguments, words):
    result = convert(model, tmp_path / arguments[0], *arguments[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pkl"]


def test_without_the_packages_for_onnx_nothing_is_computed(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = convert(model, tmp_path / "new.onnx")
    assert result.exit_code == 1
    assert result.stderr == 'Error: --to onnx needs the package onnxruntime. Run: pip install "sgtool[onnx]"\n'


def test_a_url_is_not_fetched_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    result = convert("https://example.com/model.pkl", tmp_path / "new.pkl", "--offline")
    assert result.exit_code == 1
    assert "is not in the cache" in result.stderr

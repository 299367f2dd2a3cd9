"""`sgtool inspect` as it is typed."""

import json

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_discriminator, build_generator

SIZES = {"channel_base": 64, "channel_max": 8}


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    size = {"c_dim": 2, "img_resolution": 8, "img_channels": 3}
    G = build_generator(z_dim=8, w_dim=8, **size, synthesis_kwargs=SIZES)
    about = {"config": {"batch": 4}, "dataset": {"name": "x.zip", "class_names": ["cat", "dog"]}}
    snapshot = snapshots.Snapshot(G, None, build_discriminator(**size, **SIZES), 0.5, 4000, **about)
    (tmp_path / "run").mkdir()
    snapshots.save(snapshot, tmp_path / "run" / "network-snapshot-000004.pkl")
    return tmp_path / "run" / "network-snapshot-000004.pkl"


def inspect(*arguments):
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


@pytest.mark.parametrize("of_folder", [False, True])
def test_it_says_what_the_file_holds(model, of_folder):
    result = inspect(model.parent if of_folder else model)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        f"file          {model}",
        "program       sgtool",
        "pictures      8x8, 3 channels",
        "labels        2 classes: cat, dog",
        "trained for   4.0 kimg, augment p 0.5",
        "data          name x.zip",
        "options       batch 4",
        "G_ema  generator, ",
        "D  discriminator, ",
        "  synthesis.b8.conv1 ",
    ):
        assert words in result.stdout


def test_layers_lists_tensors(model):
    assert "synthesis.b8.conv1.affine.weight" not in inspect(model).stdout
    row = next(line for line in inspect(model, "--layers").stdout.splitlines() if "synthesis.b8.conv1.affine.weight" in line)
    assert row.split(maxsplit=1)[1].startswith("[8, 8] float32 ")


def test_json_is_one_object_with_everything(model):
    result = inspect(model, "--json")
    facts = json.loads(result.stdout)
    assert (facts["nimg"], facts["class_names"], facts["config"]) == (4000, ["cat", "dog"], {"batch": 4})
    assert facts["networks"]["D"]["tensors"][0].keys() == {"name", "shape", "count", "type", "is_parameter"}


def test_preview_is_a_sheet_of_eight(one_thread, model, tmp_path):
    result = inspect(model, "--json", "--preview", tmp_path / "sheet.png", "--trunc", "0.7")
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert f"Preview: {tmp_path / 'sheet.png'}" in result.stderr
    with Image.open(tmp_path / "sheet.png") as picture:
        assert (picture.size, picture.mode) == ((32, 16), "RGB")


@pytest.mark.parametrize("name", ["snapshot_sg3_t.pkl", "snapshot_sg3_r.pkl"])
def test_what_cannot_be_run_is_described_and_its_preview_refused(golden, tmp_path, name):
    result = inspect(golden / name, "--preview", tmp_path / "sheet.png")
    assert result.exit_code == 1
    assert f"a StyleGAN3-{name[-5]} (alias-free) generator" in result.stdout
    assert "  synthesis.input " in result.stdout
    assert result.stderr.count("\n") == 1
    assert "which this version of sgtool does not run." in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x80\x04cos\nsystem\n(Vtrue\ntR.", "asks for os.system, which is not part of a model"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, content, words):
    (tmp_path / "x.pkl").write_bytes(content)
    result = inspect(tmp_path / "x.pkl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert str(tmp_path / "x.pkl") in result.stderr


def test_a_preview_does_not_replace_another_file(model, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"mine")
    result = inspect(model, "--preview", tmp_path / "mine.png")
    assert (result.exit_code, (tmp_path / "mine.png").read_bytes()) == (1, b"mine")
    assert "Choose another name" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--trunc", "much"], "'--trunc': 'much' is not a valid float."), (["--trunc", "nan"], "--trunc nan")],
)
def test_a_bad_value_is_one_sentence(model, tmp_path, options, words):
    result = inspect(model, "--preview", tmp_path / "x.png", *options)
    assert result.exit_code == 1
    assert words in result.stderr


def test_offline_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path))
    result = inspect("https://example.com/model.pkl", "--offline")
    assert result.exit_code == 1
    assert "is not in the cache" in result.stderr


def test_a_preview_is_a_png_by_its_name_too(model, tmp_path):
    result = inspect(model, "--preview", tmp_path / "sheet.jpg")
    assert result.exit_code == 1
    assert "it is written as PNG. Choose a name that ends in .png." in result.stderr
    assert not list(tmp_path.glob("sheet*"))

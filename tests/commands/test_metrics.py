"""`sgtool metrics` as it is typed: what it prints and writes, and mistakes in one sentence."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.commands.metrics import metrics
from sgtool.networks import build_discriminator, build_generator


@pytest.fixture
def run_folder(tmp_path, monkeypatch, one_thread):
    """A run folder with a model and options that name its data."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 3}
    G = build_generator(
        z_dim=8,
        w_dim=8,
        c_dim=0,
        **sizes,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 128, "channel_max": 8},
    )
    D = build_discriminator(c_dim=0, **sizes, channel_base=128, channel_max=8)
    (tmp_path / "run").mkdir()
    snapshots.save(snapshots.Snapshot(G, D=D), tmp_path / "run" / "network-snapshot-000001.pkl")
    (tmp_path / "data").mkdir()
    for i in range(12):
        Image.fromarray(np.random.RandomState(i).randint(0, 256, [16, 16, 3]).astype(np.uint8)).save(
            tmp_path / "data" / f"{i}.png"
        )
    (tmp_path / "run" / "training_options.json").write_text(json.dumps({"data": str(tmp_path / "data")}))
    return tmp_path / "run"


def run(*arguments):
    return CliRunner().invoke(metrics, ["--device", "cpu", "--offline", *map(str, arguments)])


def test_a_run_folder_is_enough(run_folder, monkeypatch):
    monkeypatch.setattr("sgtool.measuring.plan.OFFLINE", ("swd16k", "msssim30"))
    result = run("--network", run_folder)
    assert result.exit_code == 0, result.output
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["swd12", "msssim30", "msssim30_reals"]
    assert "Until then --metrics is swd16k,msssim30, which need no weights." in result.stderr
    assert {path.name for path in run_folder.glob("metric-*")} == {"metric-swd12.jsonl", "metric-msssim30.jsonl"}
    assert f"Written: {run_folder / 'metric-swd12.jsonl'}" in result.stderr


def test_nvidias_command_parses_and_all_options_reach_the_measurement(run_folder, tmp_path):
    out = tmp_path / "out"
    result = run(
        f"--network={run_folder}", f"--data={tmp_path / 'data'}", "--metrics=fid16,swd8", "--mirror=1", "--gpus=1",
        "--verbose=false", "--repeats", 2, "--seed", 3, "--detector", f"discriminator:{run_folder}", "--outdir", out,
        "--precision", "fp32",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("fid16-discriminator")
    assert "over 2 repeats" in result.stdout
    line = json.loads((out / "metric-fid16-discriminator.jsonl").read_text())
    assert (line["protocol"]["mirror"], line["protocol"]["real"], line["protocol"]["first_seeds"]) == (True, 16, [3, 19])


def test_without_a_place_to_write_to_it_says_so(run_folder, tmp_path):
    result = run("--pictures", tmp_path / "data", "--data", tmp_path / "data", "--metrics", "swd16k", "--allow-fewer")
    assert (result.exit_code, result.stdout) == (0, "swd12  0\n")
    assert "Nothing is written: give --outdir to keep this." in result.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--metrics", "fid50k_ful"], "--metrics fid50k_ful: there is no such metric; the nearest is fid50k_full."),
        (["--metrics", "fid50k_full"], "The weights of Inception-v3 are not in"),
        (
            ["--metrics", "swd16k"],
            "swd16k takes 16,384 pictures, and there are 12. Ask for --metrics swd12, or for --allow-fewer.",
        ),
        (["--metrics", "fid10", "--detector", "none.onnx"], "--detector none.onnx: there is no such file."),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_computed(run_folder, options, text):
    result = run("--network", run_folder, *options)
    assert result.exit_code == 1
    assert f"Error: {text}" in result.stderr
    assert result.stdout == ""
    assert list(run_folder.glob("metric-*")) == []


def test_a_process_that_is_not_the_first_prints_nothing(run_folder, monkeypatch):
    monkeypatch.setattr("sgtool.measuring.processes.measure_on", lambda *options: ([], [], None))
    result = run("--network", run_folder)
    assert (result.exit_code, result.output) == (0, "")


def test_what_cannot_be_written_is_printed_before_the_error(run_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metric-swd8.jsonl").mkdir()
    result = run("--network", run_folder, "--metrics", "swd8", "--outdir", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stdout.startswith("swd8 ")
    assert "metric-swd8.jsonl could not be written" in result.stderr


def test_an_empty_outdir_is_refused(run_folder):
    result = run("--network", run_folder, "--metrics", "swd8", "--outdir", "")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--outdir is empty. Name a folder" in result.stderr

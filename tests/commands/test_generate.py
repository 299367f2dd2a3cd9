"""`sgtool generate` as it is typed: what it writes and prints, and every mistake in one sentence."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_generator

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def run_folder(tmp_path):
    """A run folder with two snapshots of a network with ten classes."""
    folder = tmp_path / "00000-digits-tiny"
    folder.mkdir()
    for kimg in (0, 4):
        torch.manual_seed(kimg)
        G = build_generator(
            z_dim=8,
            c_dim=10,
            w_dim=8,
            img_resolution=16,
            img_channels=1,
            mapping_kwargs={"num_layers": 2},
            synthesis_kwargs={"channel_base": 128, "channel_max": 8},
        )
        G.mapping.w_avg.normal_()
        snapshots.save(snapshots.Snapshot(G, dataset={"class_names": NAMES}), folder / f"network-snapshot-{kimg:06d}.pkl")
    return folder


def generate(*arguments):
    return CliRunner().invoke(main, ["generate", "--device", "cpu", *map(str, arguments)])


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_pictures_and_sheet_are_written_and_counted(run_folder, tmp_path):
    result = generate("--network", run_folder, "--seeds", "0-2,85", "--class", "0-9", "--outdir", tmp_path / "o")
    assert (result.exit_code, result.stdout) == (0, f"40 pictures in {tmp_path / 'o'}, all on {tmp_path / 'o' / 'grid.png'}\n")
    assert len(list((tmp_path / "o").glob("seed*-class*.png"))) == 40
    assert pixels(tmp_path / "o" / "grid.png").shape == (160, 64)


def test_nvidias_command_works(run_folder, tmp_path):
    network = run_folder / "network-snapshot-000004.pkl"
    options = ["--seeds=85,265", "--trunc=0.7", "--class=3", "--noise-mode=none", f"--outdir={tmp_path}/o"]
    result = generate(f"--network={network}", *options)
    assert result.exit_code == 0
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"seed0085.png", "seed0265.png", "grid.png"}


def test_a_run_folder_is_its_newest_snapshot(run_folder, tmp_path):
    generate("--network", run_folder, "--seeds", "1", "--class", "3", "--outdir", tmp_path / "a")
    generate("--network", run_folder / "network-snapshot-000004.pkl", "--seeds", "1", "--class", "3", "--outdir", tmp_path / "b")
    assert (tmp_path / "a" / "seed0001.png").read_bytes() == (tmp_path / "b" / "seed0001.png").read_bytes()


def test_options_reach_the_pictures(run_folder, tmp_path):
    made = {}
    for name, options in {
        "plain": [],
        "batch": ["--batch", "1"],
        "trunc": ["--trunc", "0"],
        "cutoff": ["--trunc", "0", "--trunc-cutoff", "1"],
        "underscore": ["--trunc", "0", "--trunc_cutoff", "1"],
    }.items():
        result = generate("--network", run_folder, "--seeds", "1-2", "--class", "3", "--outdir", tmp_path / name, *options)
        assert result.exit_code == 0
        made[name] = pixels(tmp_path / name / "grid.png")
    assert np.abs(made["plain"] - made["batch"]).max() <= 1
    assert not (made["plain"] == made["trunc"]).all()
    assert not (made["cutoff"] == made["trunc"]).all()
    assert (made["cutoff"] == made["underscore"]).all()


def test_one_picture_has_no_sheet_and_no_plural(run_folder, tmp_path):
    result = generate("--network", run_folder, "--seeds", "1", "--class", "3", "--outdir", tmp_path / "o")
    assert result.stdout == f"1 picture in {tmp_path / 'o'}\n"


def test_no_grid_means_no_grid_and_columns_shape_it(run_folder, tmp_path):
    common = ["--network", run_folder, "--seeds", "0-3", "--class", "1"]
    assert "all on" not in generate(*common, "--no-grid", "--outdir", tmp_path / "a").stdout
    assert not (tmp_path / "a" / "grid.png").exists()
    generate(*common, "--columns", "1", "--outdir", tmp_path / "b")
    assert pixels(tmp_path / "b" / "grid.png").shape == (64, 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--class", "12"], "--class 12 does not exist: network-snapshot-000004.pkl knows the classes 0 to 9 (0 zero, 1 one, "),
        ([], "--class is missing: network-snapshot-000004.pkl knows the classes 0 to 9 "),
        (["--class", "dog"], "'--class': 'dog' is not a list of class numbers. Write them like 3 or 0-9."),
        (["--class", "1", "--seeds", "7-3"], "'--seeds': the range 7-3 runs backwards. Write 3-7."),
        (["--class", "1", "--seeds", "a"], "a is neither a seed nor a file. Check the path, or write seeds like 0-3,7."),
        (["--class", "1", "--seeds", ""], "'--seeds': it is empty. Write seeds like 0-3,7"),
        (["--class", "1", "--seeds", "0.5*"], "'--seeds': '0.5*' is no mixture"),
        (["--class", "1", "--seeds", "none.npz"], "none.npz is neither a seed nor a file."),
        (["--projected-w", "none.npz"], "none.npz is neither a seed nor a file."),
        (["--class", "1", "--trunc", "much"], "'--trunc': 'much' is not a valid float."),
        (["--class", "1", "--trunc", "nan"], "--trunc nan"),
        (["--class", "1", "--trunc-cutoff", "99"], "--trunc-cutoff 99: the network has 6 layers. Give 0 to 6."),
        (["--class", "1", "--noise-mode", "loud"], "'--noise-mode': 'loud' is not one of 'const', 'random', 'none'."),
        (["--class", "1", "--batch", "0"], "'--batch': 0 is not in the range x>=1."),
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_code_one(run_folder, tmp_path, options, words):
    result = generate("--network", run_folder, "--seeds", "0-3", "--outdir", tmp_path / "o", *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists() or list((tmp_path / "o").iterdir()) == []


def test_a_bad_network_is_one_sentence_and_exit_code_one(run_folder, tmp_path):
    whole = (run_folder / "network-snapshot-000004.pkl").read_bytes()
    (tmp_path / "half.pkl").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pkl").write_text("The quick brown fox jumps over the lazy dog.")
    (tmp_path / "empty").mkdir()
    for network, words in {
        tmp_path / "half.pkl": "half.pkl is damaged: cut short or not completely copied",
        tmp_path / "text.pkl": "text.pkl is no model file that sgtool knows",
        tmp_path / "empty": "empty holds no network-snapshot-*.pkl",
        tmp_path / "none.pkl": "none.pkl does not exist",
        "ftp://example.com/x.pkl": "ftp",
    }.items():
        result = generate("--network", network, "--seeds", "0", "--outdir", tmp_path / "o")
        assert (result.exit_code, result.stdout) == (1, "")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_class_without_use_is_a_warning_on_stderr(tmp_path):
    G = build_generator(z_dim=8, c_dim=0, w_dim=8, img_resolution=8, img_channels=3, synthesis_kwargs={"channel_base": 64})
    snapshots.save(snapshots.Snapshot(G), tmp_path / "x.pkl")
    result = generate("--network", tmp_path / "x.pkl", "--seeds", "0", "--class", "3", "--outdir", tmp_path / "o")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: x.pkl was trained without classes: --class changes nothing.\nComputing in float32 on cpu.\n"
    )
    assert result.stdout == f"1 picture in {tmp_path / 'o'}\n"


def test_the_type_of_computation_is_chosen_said_and_written_into_the_recipe(tmp_path):
    synthesis = {"channel_base": 64, "num_fp16_res": 2}
    G = build_generator(z_dim=8, c_dim=0, w_dim=8, img_resolution=16, img_channels=3, synthesis_kwargs=synthesis)
    snapshots.save(snapshots.Snapshot(G), tmp_path / "x.pkl")
    pixels = {}
    for precision, words in (("fp32", "float32"), ("bf16", "bfloat16 from 8 to 16 pixels, else float32")):
        outdir = tmp_path / precision
        result = generate("--network", tmp_path / "x.pkl", "--seeds", "0", "--outdir", outdir, "--precision", precision)
        assert result.exit_code == 0
        assert f"Computing in {words} on cpu.\n" in result.stderr
        with Image.open(outdir / "seed0000.png") as picture:
            assert json.loads(picture.info["sgtool"])["precision"] == words
            pixels[precision] = np.asarray(picture).astype(int)
    difference = np.abs(pixels["bf16"] - pixels["fp32"])
    assert 0 < difference.max() <= 16


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_progress_goes_to_a_terminal_with_rate_and_time_left(run_folder, tmp_path):
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = f"generate --network {run_folder} --seeds 0-9 --class 1 --outdir {tmp_path / 'o'}".split()
    with subprocess.Popen([sys.executable, "-m", "sgtool", *command], stdout=subprocess.PIPE, stderr=theirs) as process:
        output = process.stdout.read()
    os.close(theirs)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert process.returncode == 0
    assert b"10/10" in shown
    assert b"img/s" in shown
    assert output.startswith(b"10 pictures in ")


def test_seeds_are_needed_or_a_file_of_latents(run_folder, tmp_path):
    result = generate("--network", run_folder, "--outdir", tmp_path / "o")
    assert result.exit_code == 2
    assert "Missing option '--seeds'" in result.stderr


def test_nvidias_command_for_projected_latents_works(run_folder, tmp_path):
    np.savez(tmp_path / "projected_w.npz", w=np.random.RandomState(0).randn(1, 6, 8).astype(np.float32))
    result = generate("--network", run_folder, f"--projected_w={tmp_path / 'projected_w.npz'}", f"--outdir={tmp_path / 'o'}")
    assert (result.exit_code, result.stdout) == (0, f"1 picture in {tmp_path / 'o'}\n")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["proj00.png"]


def test_latents_of_every_kind_are_shown_beside_one_another(run_folder, tmp_path):
    w = tmp_path / "w.npz"
    np.savez(w, w=np.random.RandomState(0).randn(2, 6, 8).astype(np.float32))
    result = generate(
        "--network", run_folder, "--seeds", f"3,{w},0.5*3+0.5*{w}[1],4@7", "--class", "1", "--outdir", tmp_path / "o"
    )
    assert result.exit_code == 0
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {"grid.png", "seed0003.png", "seed0004-class7.png", "seed0003+w-0001.png", "w-0000.png", "w-0001.png"}

"""`sgtool project` as it is typed: what it prints, every mistake in one sentence, and a real kill."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.latents.file import read_latents
from sgtool.networks import build_generator


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture
def network(tmp_path):
    return save_model(tmp_path / "model.pkl")


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "face.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (12, 8, 3), np.uint8)).save(path)
    return path


def save_model(path, classes=0):
    torch.manual_seed(0)
    G = build_generator(
        z_dim=8, c_dim=classes, w_dim=8, img_resolution=8, img_channels=3, mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 128, "channel_max": 8},
    )  # fmt: skip
    snapshots.save(snapshots.Snapshot(G, dataset={"class_names": ["cat", "dog"][:classes]}), path)
    return path


def project(*arguments):
    return CliRunner().invoke(main, ["project", "--device", "cpu", *map(str, arguments)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nvidias_command_works(network, target, tmp_path):
    out = tmp_path / "out"
    result = project(
        f"--outdir={out}", f"--target={target}", f"--network={network}", "--num-steps=3", "--seed=1", "--save-video=False"
    )
    assert result.exit_code == 0, result.output
    assert names(out) == ["proj.png", "projected_w.npz", "projections.png", "scores.json", "target.png"]
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["PSNR", "dB", "SSIM", "pixels"]
    assert lines[1].split()[0] == "face"
    assert lines[2] == f"1 picture projected, results in {out}, all compared on {out / 'projections.png'}"
    assert "The target was made 8x8 RGB: with the middle cut out, resized." in result.stderr


def test_the_video_is_the_default_for_one_picture_and_can_be_left_out(network, target, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    options = ["--network", network, "--target", target, "--num-steps", 2]
    for name, more, there in [("a", [], True), ("b", ["--no-save-video"], False), ("c", ["--save-video"], True)]:
        assert project(*options, *more, "--outdir", tmp_path / name).exit_code == 0
        assert ("proj.mp4" in names(tmp_path / name)) == there
    result = project(*options, "--save-video", "--no-save-video", "--outdir", tmp_path / "d")
    assert result.exit_code == 2
    assert "contradict each other" in result.stderr


def test_options_reach_the_search(network, target, tmp_path):
    made = {}
    for name, options in {
        "plain": [], "again": [], "seed": ["--seed", 1], "steps": ["--num_steps", 4], "plus": ["--space", "W+"],
        "perceptual": ["--perceptual", "pixels"],
    }.items():  # fmt: skip
        common = ["--network", network, "--target", target, "--no-save-video", "--num-steps", 3]
        result = project(*common, *options, "--outdir", tmp_path / name)
        assert result.exit_code == 0, result.output
        made[name] = read_latents(tmp_path / name / "projected_w.npz").ws
    for name in ("again", "perceptual"):  # auto is pixels here: there is no discriminator
        np.testing.assert_array_equal(made[name], made["plain"])
    for name in ("seed", "steps", "plus"):
        assert not (made[name] == made["plain"]).all(), name


def test_pti_has_its_options(network, target, tmp_path):
    common = ["--network", network, "--target", target, "--no-save-video", "--num-steps", 2, "--space", "pti"]
    result = project(*common, "--tuning-steps", 2, "--tuning-rate", 0.01, "--tune", "each", "--outdir", tmp_path / "out")
    assert result.exit_code == 0, result.output
    tuned = tmp_path / "out" / "tuned.pkl"
    again = ["generate", "--device", "cpu", "--network", str(tuned), "--seeds", str(tmp_path / "out" / "projected_w.npz")]
    result = CliRunner().invoke(main, [*again, "--outdir", str(tmp_path / "again")])
    assert (result.exit_code, "Warning" in result.output) == (0, False), result.output
    with Image.open(tmp_path / "out" / "proj.png") as made, Image.open(tmp_path / "again" / "face.png") as shown:
        np.testing.assert_array_equal(np.asarray(made), np.asarray(shown))
    settings = snapshots.load(tuned).config["project"]["settings"]
    assert (settings["tuning_steps"], settings["tuning_learning_rate"], settings["space"]) == (2, 0.01, "pti")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--num-steps", "0"], "'--num-steps': 0 is not in the range 1<=x<=1000000."),
        (["--seed", "-1"], "'--seed': -1 is not in the range"),
        (["--space", "z"], "'--space': 'z' is not one of 'w', 'w+', 'pti'."),
        (["--perceptual", "lpips", "--weights", "gone.pt"], "gone.pt"),
        (["--perceptual", "discriminator"], "the model's file holds no discriminator"),
        (["--class", "dog"], "'--class': 'dog' is no class. Give its number, like 3, or auto."),
        (["--batch", "0"], "'--batch': 0 is not in the range x>=1."),
        (["--fps", "0"], "'--fps': 0.0 is not in the range"),
        (["--background", "noise"], "--background noise: not a colour."),
        (["--tuning-rate", "0"], "'--tuning-rate': 0.0 is not in the range 0<x<=1."),
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_code_one(network, target, tmp_path, options, words):
    result = project("--network", network, "--target", target, "--outdir", tmp_path / "out", "--no-save-video", *options)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_class_that_does_not_exist_is_refused_with_the_known_ones(target, tmp_path):
    network = save_model(tmp_path / "conditional.pkl", classes=2)
    result = project("--network", network, "--target", target, "--outdir", tmp_path / "out", "--class", 2)
    assert (result.exit_code, "--class 2 does not exist: conditional.pkl knows the classes 0 to 1" in result.stderr) == (1, True)


def test_a_target_that_is_not_there_and_a_folder_that_cannot_be_written_are_said(network, target, tmp_path):
    result = project("--network", network, "--target", tmp_path / "gone.png", "--outdir", tmp_path / "out")
    assert (result.exit_code, "gone.png does not exist. Give a picture" in result.stderr) == (1, True)
    (tmp_path / "file").write_text("x")
    result = project("--network", network, "--target", target, "--outdir", tmp_path / "file" / "out")
    assert (result.exit_code, "cannot be created" in result.stderr) == (1, True)


SLOW = """
import sys, time
from sgtool.latents.projection import optimise, search
from sgtool.cli import main
optimise.SAVE_SECONDS = optimise.SHARE_OF_SAVING = 0
step = search.Search.step
def slowly(self):
    time.sleep(0.05)
    return step(self)
search.Search.step = slowly
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_projection_goes_on_and_ends_with_the_same_bits(network, target, tmp_path):
    common = ["--network", network, "--target", target, "--num-steps", 40, "--no-save-video"]
    assert project(*common, "--outdir", tmp_path / "whole").exit_code == 0
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW, "project", "--device", "cpu", *map(str, common), "--outdir", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while not (out / ".project" / "work.pkl").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "projected_w.npz").exists()
    result = project(*common, "--outdir", out)
    assert result.exit_code == 0, result.output
    assert "Going on from the work in" in result.stderr
    whole = read_latents(tmp_path / "whole" / "projected_w.npz")
    np.testing.assert_array_equal(read_latents(out / "projected_w.npz").ws, whole.ws)
    assert (out / "proj.png").read_bytes() == (tmp_path / "whole" / "proj.png").read_bytes()
    assert ".project" not in names(out)

"""`sgtool video` as it is typed."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_generator


@pytest.fixture
def model(tmp_path, one_thread):
    torch.manual_seed(0)
    G = build_generator(
        z_dim=16, c_dim=0, w_dim=16, img_resolution=16, img_channels=3,
        mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 256, "channel_max": 16},
    )  # fmt: skip
    snapshots.save(snapshots.Snapshot(G), tmp_path / "model.pkl")
    return tmp_path / "model.pkl"


def video(model, *arguments):
    return CliRunner().invoke(main, ["video", "--device", "cpu", "--network", str(model), *map(str, arguments)])


def count(path):
    with Image.open(path) as image:
        return image.n_frames, image.size


def test_a_walk_is_written_and_counted(model, tmp_path):
    result = video(model, "--seeds", "0-2", "--w-frames", 4, "--fps", 12, "--output", tmp_path / "new" / "a.webp")
    assert (result.exit_code, result.stdout) == (0, f"12 frames, 1 seconds, in {tmp_path / 'new' / 'a.webp'}\n")
    assert result.stderr == "Computing 12 frames in float32 on cpu.\n"
    assert count(tmp_path / "new" / "a.webp") == (12, (16, 16))


def test_nvidias_command_works(model, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    options = ["--seeds=0-31", "--grid=4x2", "--w-frames=2", "--trunc=1", "--shuffle-seed=3", "--num_keyframes=4"]
    result = video(model, *options, f"--output={tmp_path}/lerp.mp4")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("8 frames, 0.1333 seconds, in")
    assert (tmp_path / "lerp.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("ending", [".gif", ".webp", ".apng", ".png", ""])
def test_formats_without_ffmpeg_need_no_ffmpeg(model, tmp_path, monkeypatch, ending):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    result = video(model, "--seeds", "0-1", "--w-frames", 2, "--out", tmp_path / f"a{ending}")
    assert result.exit_code == 0, result.output
    if ending:
        assert count(tmp_path / f"a{ending}") == (4, (16, 16))
    else:
        assert len(list((tmp_path / "a").glob("frame*.png"))) == 4


def test_without_ffmpeg_mp4_is_refused_before_anything_is_computed(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    result = video(tmp_path / "no-model", "--seeds", "0-1", "--output", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert 'Error: a.mp4 needs ffmpeg. Run: pip install "sgtool[video]"; or write' in result.stderr
    assert "Traceback" not in result.output


def test_every_walk_works(model, tmp_path):
    for options in (
        ["--walk", "mix", "--styles-from", "7", "--styles", "coarse", "--w-frames", "2"],
        ["--walk", "trunc", "--sweep", "-1", "1", "--w-frames", "2"],
        ["--interp", "slerp", "--space", "z", "--no-loop", "--seconds", "0.5"],
        ["--walk", "noise", "--grid", "2,1", "--seconds", "0.5", "--smooth", "0.1"],
    ):
        result = video(model, "--seeds", "0-1", "--fps", 8, "--output", tmp_path / "a.gif", *options)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fps", "0"], "--fps 0: that is no frame rate. Give a number up to 50, like 30."),
        (["--fps", "60"], "--fps 60: a.gif shows at most 50 frames a second."),
        (["--grid", "4"], "'--grid': '4' is no grid. Write columns x rows, like 4x2."),
        (["--grid", "0x2"], "'--grid': 0x2 is out of range: columns and rows go from 1 to 64."),
        (["--grid", "2x2"], "2 latents cannot be shared out evenly among the 4 cells of --grid 2x2."),
        (["--background", "bluish"], "'--background': 'bluish' is no colour. Write a name, like white, or #rrggbb."),
        (["--trunc", "99"], "--trunc 99"),
        (["--walk", "fly"], "'--walk': 'fly' is not one of"),
        (["--seconds", "0"], "'--seconds'"),
        (["--w-frames", "0"], "'--w-frames'"),
        (["--seeds", "3", "--no-loop"], "A walk needs two latents or more"),
        (["--seeds", "b"], "b is neither a seed nor a file"),
        (["--strength", "2"], "--strength is for --walk edit. Give that, or leave it out."),
        (["--codec", "h264"], "--codec h264 is for .mp4, .mov and .webm"),
        (["--output", "a.xyz"], "a.xyz: a video cannot be written as .xyz."),
        (["--output", "/proc/a/b.gif"], "--output /proc/a: the folder cannot be created"),
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_code_one(model, tmp_path, options, words):
    result = video(model, "--seeds", "0-1", "--output", tmp_path / "a.gif", *options)
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


def test_another_file_is_never_replaced_and_our_own_is(model, tmp_path):
    path = tmp_path / "a.gif"
    for _ in range(2):
        assert video(model, "--seeds", "0-1", "--w-frames", 2, "--output", path).exit_code == 0
    path.write_text("mine")
    result = video(model, "--seeds", "0-1", "--w-frames", 2, "--output", path)
    assert result.exit_code == 1
    assert "a.gif is no picture made by sgtool, so it is not replaced. Move it or choose another --output." in result.stderr
    assert path.read_text() == "mine"


def test_ctrl_c_leaves_nothing_half_written(model, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    command = [sys.executable, "-m", "sgtool", "video", "--network", model, "--seeds", "0-1", "--seconds", "3600"]
    child = subprocess.Popen(
        [*command, "--output", tmp_path / "a.mp4"],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell starts what is in the background without it
    )
    assert child.stderr.readline().startswith(b"Computing 216000 frames")
    child.send_signal(signal.SIGINT)
    try:
        child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]

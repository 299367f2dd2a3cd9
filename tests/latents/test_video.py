"""Videos of walks: each frame is the picture of its latent; memory does not grow; what cannot be is said before computing."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents import generate
from sgtool.latents.recipes import recipe_of
from sgtool.latents.route import Route
from sgtool.latents.video import Cells, write_video
from sgtool.networks import build_generator


def save_model(path, size=16, channels=3, c_dim=0):
    torch.manual_seed(0)
    G = build_generator(
        z_dim=16, c_dim=c_dim, w_dim=16, img_resolution=size, img_channels=channels,
        mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 256, "channel_max": 16},
    )  # fmt: skip
    G.mapping.w_avg.normal_()
    snapshots.save(snapshots.Snapshot(G), path)
    return snapshots.load(path).G_ema


def frames(path):
    with Image.open(path) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            found.append(np.asarray(image.convert("RGBA")).astype(int))
        return np.stack(found)


def video(tmp_path, name, seeds="0-1", route=None, **options):
    options = {"say": lambda text: None, **options}
    route = Route(**{"w_frames": 3, **(route or {})})
    return write_video(tmp_path / "model.pkl", tmp_path / name, parse_latents(seeds), route, **options)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [16, [8, 16]])
@pytest.mark.usefixtures("one_thread")
def test_frames_at_the_keyframes_are_the_seeds_pictures_for_any_shape_and_channels(tmp_path, size, channels):
    G = save_model(tmp_path / "model.pkl", size, channels)
    number, seconds = video(tmp_path, "a.png", "3,8", fps=12, truncation_psi=0.7)
    assert (number, seconds) == (6, 0.5)
    made = frames(tmp_path / "a.png")
    for frame, picture in zip(made[[0, 3]], generate(G, [3, 8], truncation_psi=0.7), strict=True):
        if channels == 5:
            picture = np.concatenate([picture[:, :, i : i + 1] for i in range(5)], axis=1)
        if picture.shape[2] < 3:
            picture = np.concatenate([picture[:, :, :1]] * 3 + [picture[:, :, 1:]], axis=2)
        assert np.abs(frame[:, :, : picture.shape[2]] - picture).max() <= 1


@pytest.mark.usefixtures("one_thread")
def test_a_grid_shows_each_walk_in_its_cell_enlarged_with_gaps_between(tmp_path):
    G = save_model(tmp_path / "model.pkl")
    video(tmp_path, "a.webp", "0-11", {"grid": (3, 2)}, enlarge=2, gap=5)
    made = frames(tmp_path / "a.webp")[0, :, :, :3]
    assert made.shape == (2 * 32 + 5, 3 * 32 + 10, 3)
    for cell, picture in enumerate(generate(G, [0, 2, 4, 6, 8, 10])):
        y, x = (place * 37 for place in divmod(cell, 3))
        assert np.abs(made[y : y + 32 : 2, x + 1 : x + 32 : 2] - picture).max() <= 1
    assert made[32:37].max() == made[:, 32:37].max() == 0


@pytest.mark.usefixtures("one_thread")
def test_the_batch_is_no_input_and_random_noise_is_other_noise_each_time(tmp_path):
    save_model(tmp_path / "model.pkl")
    for name, options in {"a": {"batch": 1}, "b": {"batch": 4}}.items():
        video(tmp_path, f"{name}.png", **options)
    assert np.abs(frames(tmp_path / "a.png") - frames(tmp_path / "b.png")).max() <= 1


@pytest.mark.usefixtures("one_thread")
def test_the_recipe_says_all_that_remakes_it(tmp_path):
    save_model(tmp_path / "model.pkl")
    video(tmp_path, "a.gif", "3,8", {"kind": "trunc", "sweep": (0.5, 1.0)}, truncation_cutoff=2, noise_mode="none")
    recipe = recipe_of(tmp_path / "a.gif")
    assert recipe["network_sha256"] == snapshots.network_hash(tmp_path / "model.pkl")
    about = {"walk": "trunc", "sweep": [0.5, 1.0], "truncation_cutoff": 2, "noise_mode": "none", "fps": 50, "frames": 12}
    assert about.items() <= recipe.items()
    assert [key["seed"] for key in recipe["keyframes"]] == [3, 8]


@pytest.mark.usefixtures("one_thread")
def test_what_cannot_be_is_said_before_the_model_is_read_and_nothing_is_left(tmp_path):
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    for name, options, route, words in [
        ("a.avi", {}, {}, "a.avi: a video cannot be written as .avi"),
        ("a.mp4", {"fps": -1}, {}, "--fps -1: that is no frame rate"),
        ("a.mp4", {"truncation_psi": 0.5}, {"kind": "trunc"}, "--trunc 0.5: --walk trunc changes the truncation"),
        ("mine.mp4", {}, {}, "mine.mp4 is no video made by sgtool"),
        ("a.mp4", {}, {}, "model.pkl"),
    ]:
        with pytest.raises(UserError, match=words):
            video(tmp_path, name, route=route, **options)
    save_model(tmp_path / "model.pkl")
    with pytest.raises(UserError, match="Unknown encoder 'nothing'"):
        video(tmp_path, "a.mp4", codec="nothing")
    with pytest.raises(UserError, match="Frames of 65536x65536 are too large. Give a smaller --grid or --enlarge."):
        video(tmp_path, "a.mp4", "0-8191", {"grid": (64, 64)}, enlarge=64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.mp4", "model.pkl"]


def test_cells_of_one_walk_are_the_picture():
    picture = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    np.testing.assert_array_equal(Cells((1, 1), (4, 3), 2, 1, 9).frame(iter([picture])), picture)


MEASURE = """
import resource, sys
import torch
from sgtool.latents.route import Route
from sgtool.latents.video import write_video
torch.set_num_threads(1)
for number in (60, 60, 600):
    write_video(sys.argv[1], sys.argv[2], [0, 1], Route(w_frames=number // 2), fps=30, batch=8, say=lambda text: None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_ten_times_the_frames_need_no_more_memory(tmp_path):
    save_model(tmp_path / "model.pkl", 32)
    command = [sys.executable, "-c", MEASURE, tmp_path / "model.pkl", tmp_path / "a.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, short, long = map(int, done.stdout.split())
    assert long - short < 1000  # KB; 540 frames more are 1,660 KB raw

"""A projection as a whole: its files, and what each says."""

import json
import subprocess

import numpy as np
import pytest
from projection_files import names, pixels, save_seeds

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.file import read_latents
from sgtool.latents.generate import render
from sgtool.latents.projection import search
from sgtool.latents.recipes import recipe_of


def test_one_picture_has_nvidias_names(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5], size=(12, 12)) / "s5.png"
    report, said = ask(network, target, "out", video=False)
    out = tmp_path / "out"
    assert names(out) == ["proj.png", "projected_w.npz", "projections.png", "scores.json", "target.png"]
    latents = read_latents(out / "projected_w.npz")
    G = snapshots.load(network).G_ema
    assert latents.ws.shape == (1, G.num_ws, G.w_dim)
    assert latents.network_sha256 == snapshots.network_hash(network)
    np.testing.assert_array_equal(pixels(out / "proj.png"), next(render(G, latents.ws)))
    assert report.number == 1
    assert "The target was made 8x8 RGB: resized." in said


def test_the_result_comes_close_to_a_generated_picture(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    ask(network, target, "far", video=False, num_steps=1)
    ask(network, target, "near", video=False, num_steps=120, space="w+")
    far, near = (json.loads((tmp_path / name / "scores.json").read_text())["pictures"][0] for name in ("far", "near"))
    assert near["psnr"] > far["psnr"] + 5
    assert near["distance"] < far["distance"] / 3
    assert near["ssim"] > far["ssim"]


def test_several_pictures_have_names_of_their_own_and_one_file_of_all_latents(model, ask, tmp_path):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6, 7])
    report, _ = ask(network, folder, "out", batch=2, space="w+")
    out = tmp_path / "out"
    each = [f"s{seed}-{what}" for seed in (5, 6, 7) for what in ("target.png", "proj.png", "projected_w.npz")]
    assert set(names(out)) == {*each, "projected_w.npz", "projections.png", "scores.json"}
    latents = read_latents(out / "projected_w.npz")
    assert latents.names == ["s5", "s6", "s7"]
    for i, seed in enumerate((5, 6, 7)):
        np.testing.assert_array_equal(latents.ws[i], read_latents(out / f"s{seed}-projected_w.npz").ws[0])
    scores = json.loads((out / "scores.json").read_text())
    assert [row["name"] for row in scores["pictures"]] == ["s5", "s6", "s7"]
    assert scores["median"]["psnr"] == np.median([row["psnr"] for row in scores["pictures"]])
    assert report.table[-1].startswith("median")


def test_every_file_says_how_it_was_made(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    ask(network, target, "out", video=False, seed=4)
    made = read_latents(tmp_path / "out" / "projected_w.npz").recipes[0]["made"]
    assert made == recipe_of(tmp_path / "out" / "proj.png")
    assert made["projected"] == "s5.png"
    assert made["network_sha256"] == snapshots.network_hash(network)
    assert (made["settings"]["seed"], made["settings"]["num_steps"], made["settings"]["space"]) == (4, 6, "w")
    assert made["scores"] == {k: v for k, v in _only_row(tmp_path / "out").items() if k not in ("name", "target")}
    assert recipe_of(tmp_path / "out" / "target.png")["target_sha256"] == made["target_sha256"]
    assert recipe_of(tmp_path / "out" / "projections.png")["network"] == network.name


def _only_row(out):
    (row,) = json.loads((out / "scores.json").read_text())["pictures"]
    return row


@pytest.mark.parametrize(("resolution", "channels"), [((8, 16), 3), (8, 1), (8, 2), (8, 4)])
def test_networks_of_any_shape_and_channels_work(model, ask, tmp_path, resolution, channels):
    network = model(resolution, channels)
    folder = save_seeds(tmp_path / "in", network, [1, 2])
    report, _ = ask(network, folder, "out", num_steps=2)
    assert report.number == 2
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    assert pixels(tmp_path / "out" / "s1-proj.png").shape == (height, width, channels)
    assert pixels(tmp_path / "out" / "projections.png").shape[2] == channels


def test_the_video_has_a_frame_for_each_step_with_the_target_at_the_left(model, ask, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    network = model(16)
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    ask(network, target, "out", num_steps=7)
    out = tmp_path / "out"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", out / "proj.mp4"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(7, 256, 512, 3)[:, 8::16, 8::16].astype(int)  # [7, 16, 32, 3]
    assert np.abs(frames[:, :, :16] - pixels(out / "target.png")).max() < 16
    assert np.abs(frames[-1, :, 16:] - pixels(out / "proj.png")).max() < 16
    assert np.abs(frames[0] - frames[-1])[:, 16:].max() > 16
    assert recipe_of(out / "proj.mp4") == recipe_of(out / "proj.png")


def test_without_an_encoder_no_video_is_written_unless_it_was_asked_for(model, ask, tmp_path, monkeypatch):
    def missing(name):
        raise UserError('proj.mp4 needs ffmpeg. Run: pip install "sgtool[video]".')

    monkeypatch.setattr("sgtool.latents.projection.film.executable", missing)
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    _, said = ask(network, target, "out", num_steps=1)
    assert 'No video is written: proj.mp4 needs ffmpeg. Run: pip install "sgtool[video]".' in said
    with pytest.raises(UserError, match=r"^--save-video: proj\.mp4 needs ffmpeg"):
        ask(network, target, "other", video=True)


def test_the_preview_shows_what_is_in_work_and_goes_at_the_end(model, ask, tmp_path, monkeypatch):
    network, shown = model(), []
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    step = search.Search.step

    def look(self):
        shown.append((tmp_path / "out" / "preview.png").exists())
        return step(self)

    monkeypatch.setattr(search.Search, "step", look)
    ask(network, folder, "out", preview=1e-9)
    assert shown == [False, True, True, True, True, True]
    assert "preview.png" not in names(tmp_path / "out")


# --- classes ----------------------------------------------------------------------------------------------------------------


def test_the_class_is_the_given_one_or_the_nearest(model, ask, tmp_path):
    network = model(8, 1, classes=3)
    folder = save_seeds(tmp_path / "in", network, [1, 2])
    ask(network, folder, "auto", num_steps=2)
    ask(network, folder, "two", num_steps=2, label=2)
    auto, two = (read_latents(tmp_path / name / "projected_w.npz") for name in ("auto", "two"))
    assert all(recipe["made"]["class"] in (0, 1, 2) and recipe["made"]["class_chosen"] for recipe in auto.recipes)
    assert [recipe["made"]["class"] for recipe in two.recipes] == [2, 2]
    with pytest.raises(UserError, match="--class 3 does not exist"):
        ask(network, folder, "three", label=3)


def test_a_class_without_effect_is_a_warning(model, ask, tmp_path):
    network = model()
    _, said = ask(network, save_seeds(tmp_path / "in", network, [1]), "out", label=2, num_steps=1)
    assert f"{network.name} was trained without classes: --class changes nothing." in said


# --- pivotal tuning ---------------------------------------------------------------------------------------------------------


def test_pti_writes_a_network_that_shows_the_target_at_its_pivot(model, ask, tmp_path):
    network = model(D=True)
    folder = save_seeds(tmp_path / "in", model(), [5, 6])
    ask(network, folder, "w", perceptual="discriminator", num_steps=20)
    ask(network, folder, "pti", perceptual="discriminator", num_steps=20, space="pti", tuning_steps=30, tuning_rate=1e-2)
    out = tmp_path / "pti"
    for seed in (5, 6):
        latents = read_latents(out / f"s{seed}-projected_w.npz")
        tuned = snapshots.load(out / f"s{seed}-tuned.pkl")
        np.testing.assert_array_equal(pixels(out / f"s{seed}-proj.png"), next(render(tuned.G_ema, latents.ws)))
        assert latents.network_sha256 == snapshots.network_hash(out / f"s{seed}-tuned.pkl")
        about = tuned.config["project"]
        assert about["base"]["network_sha256"] == snapshots.network_hash(network)
        assert [pivot["name"] for pivot in about["pivots"]] == [f"s{seed}"]
        np.testing.assert_array_equal(np.float32(about["pivots"][0]["w"]), latents.ws[0, 0])
        assert tuned.nimg == 7000
    before, after = (json.loads((tmp_path / name / "scores.json").read_text())["median"] for name in ("w", "pti"))
    assert after["psnr"] > before["psnr"] + 2


def test_one_network_can_be_tuned_to_all_pictures(model, ask, tmp_path):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "out", space="pti", tune="together", tuning_steps=2)
    out = tmp_path / "out"
    assert "tuned.pkl" in names(out)
    assert "s5-tuned.pkl" not in names(out)
    assert len(snapshots.load(out / "tuned.pkl").config["project"]["pivots"]) == 2
    with pytest.raises(UserError, match=r"--tune together .* give --batch 2"):
        ask(network, folder, "other", space="pti", tune="together", batch=1)

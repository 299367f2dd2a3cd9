"""A projection as a whole: its files, what each says, and that whatever stops it, it goes on as if nothing had been."""

import dataclasses
import json
import os
import signal
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.file import read_latents
from sgtool.latents.generate import generate, render
from sgtool.latents.projection import Request, optimise, project_files, search, tuning, workplace
from sgtool.latents.projection.run import prepared
from sgtool.latents.recipes import recipe_of
from sgtool.networks import build_discriminator


@pytest.fixture
def model(make_generator, tmp_path):
    """Make a snapshot of a tiny network: `model(resolution, channels, classes, D=True)` is its path."""

    def make(resolution=8, channels=3, classes=0, D=False):
        G = make_generator(resolution, channels, classes)
        if D:
            D = build_discriminator(
                c_dim=classes, img_resolution=resolution, img_channels=channels, channel_base=256, channel_max=16
            )
        path = tmp_path / f"model{resolution}-{channels}-{classes}-{bool(D)}.pkl"
        snapshots.save(snapshots.Snapshot(G, D=D or None, nimg=7000), path)
        return path

    return make


@pytest.fixture
def ask(tmp_path):
    """Project with few steps: `ask(network, target, out, **options)` is (report, lines that were said)."""

    def project(network, target, out, **options):
        said = []
        request = Request(str(network), str(target), str(tmp_path / out), **{"num_steps": 6, "perceptual": "pixels", **options})
        return project_files(request, say=said.append, warn=said.append), said

    return project


def save_seeds(folder, path, seeds, size=None):
    """Write what a model makes of seeds as PNGs; return the folder."""
    folder.mkdir(exist_ok=True)
    G = snapshots.load(path).G_ema
    classes = [0] * len(seeds) if G.c_dim else None
    for seed, picture in zip(seeds, generate(G, seeds, classes), strict=True):
        image = Image.fromarray(picture if picture.shape[2] != 1 else picture[..., 0])
        (image.resize(size) if size else image).save(folder / f"s{seed}.png")
    return folder


def pixels(path):
    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- what it writes ---------------------------------------------------------------------------------------------------------


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


# --- stopped and gone on with -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a kill: nothing is saved when it comes."""


def kill_at(monkeypatch, cls, number):
    """Let the `number`-th step of a search or tuning from now on be the last."""
    step, count = cls.step, [0]

    def counted(self):
        if count[0] == number:
            raise Killed
        count[0] += 1
        return step(self)

    monkeypatch.setattr(cls, "step", counted)


def contents(folder):
    """{name: bytes} of what must not depend on interruptions: latents, pictures and networks."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".pkl", ".json")}
    return files | {path.name: read_latents(path).ws.tobytes() for path in folder.glob("*.npz")}


@pytest.mark.parametrize(
    ("space", "where", "after"), [("w", search.Search, 4), ("w+", search.Search, 9), ("pti", tuning.Tuning, 5)]
)
def test_a_kill_changes_nothing(model, ask, tmp_path, monkeypatch, space, where, after):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6, 7])
    options = {"batch": 2, "space": space, "video": True, "num_steps": 6, "tuning_steps": 3}
    ask(network, folder, "whole", **options)
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        kill_at(patch, where, after)
        with pytest.raises(Killed):
            ask(network, folder, "out", **options)
    assert ".project" in names(tmp_path / "out")
    with monkeypatch.context() as patch:  # only what was not saved is computed again
        kill_at(patch, where, 100)
        _, said = ask(network, folder, "out", **options)
    assert any(line.startswith("Going on from the work in") for line in said)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert ".project" not in names(tmp_path / "out")


def test_what_a_kill_left_of_a_file_goes_and_other_files_stay(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    out = tmp_path / "out"
    (out / ".project").mkdir(parents=True)
    for name in (".proj.png.abc123.part", ".tuned.pkl.x.part", ".project/.work.pkl.x.part", ".mine.png.x.part"):
        (out / name).write_bytes(b"half")
    ask(network, target, "out", video=False)
    assert [name for name in names(out) if name.startswith(".")] == [".mine.png.x.part"]


@pytest.mark.parametrize(("name", "out"), [("in", "in"), ("in", "in/out"), (".", "in")])
def test_results_among_the_targets_are_refused_before_anything_is_written(model, ask, tmp_path, name, out):
    network = model()
    save_seeds(tmp_path / "in", network, [5])
    with pytest.raises(UserError, match=r"lies in --target .*: its pictures would be targets the next time\. Choose a folder"):
        ask(network, tmp_path / name, out)
    assert names(tmp_path / "in") == ["s5.png"]


@pytest.mark.parametrize("option", ["fps", "preview"])
def test_numbers_that_are_none_are_refused_before_the_search(model, ask, tmp_path, option):
    target = save_seeds(tmp_path / "in", model(), [5]) / "s5.png"
    with pytest.raises(UserError, match=f"--{option} nan is not a number to work with"):
        ask(model(), target, "out", **{option: float("nan")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layer", ["mapping.fc0", "synthesis.b8.conv1"])
def test_a_model_that_diverged_is_told_at_the_first_step(model, ask, tmp_path, layer, monkeypatch):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    snapshot = snapshots.load(network)
    snapshot.G_ema.get_submodule(layer).weight.data.fill_(float("nan"))
    snapshots.save(snapshot, tmp_path / "nan.pkl")
    kill_at(monkeypatch, search.Search, 1)
    with pytest.raises(UserError, match=r"nan\.pkl makes pictures that are not finite numbers: its training diverged\. Use an"):
        ask(tmp_path / "nan.pkl", target, "out", video=False)


def test_a_tuning_that_diverges_says_to_lower_the_rate(model, ask, tmp_path, monkeypatch):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    monkeypatch.setattr(tuning.Tuning, "learning_rate", 1e30, raising=False)
    step = tuning.Tuning.step

    def far(self):
        for parameter in self._tuned.parameters():
            parameter.data *= 1e20
        return step(self)

    monkeypatch.setattr(tuning.Tuning, "step", far)
    with pytest.raises(UserError, match=r"no longer gives finite numbers after 1 steps\. Give a lower --tuning-rate than"):
        ask(network, target, "out", space="pti", video=False)


def test_what_is_saved_is_not_computed_again(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6, 7])
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        kill_at(patch, search.Search, 10)  # the first batch has six steps, the second is killed after four
        with pytest.raises(Killed):
            ask(network, folder, "out", batch=2)
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 2)
        report, said = ask(network, folder, "out", batch=2)
    assert "2 of 3 are projected already." in said
    assert report.number == 3


def test_a_kill_while_files_are_written_loses_no_step(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    with monkeypatch.context() as patch:
        patch.setattr("sgtool.latents.projection.outputs.write_row", lambda *a: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            ask(network, folder, "out")
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 0)
        ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(model, ask, tmp_path, monkeypatch, number):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    step = search.Search.step

    def interrupted(self):
        if self.step_number == 3:
            os.kill(os.getpid(), number)
        return step(self)

    said = []
    monkeypatch.setattr(search.Search, "step", interrupted)
    request = Request(str(network), str(folder), str(tmp_path / "out"), num_steps=6, perceptual="pixels")
    with pytest.raises(SystemExit) as stopped:
        project_files(request, say=said.append)
    assert stopped.value.code == 128 + number
    assert said[-1].startswith("Stopped; what is done is in ")
    monkeypatch.setattr(search.Search, "step", step)
    kill_at(monkeypatch, search.Search, 2)  # four of six steps were saved
    ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_ends_in_a_sentence_and_what_was_saved_before_is_kept(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole", video=True)
    saves, save = [], workplace.write_container

    def until_full(*args):
        saves.append(1)
        if len(saves) > 3:
            raise UserError("work.pkl could not be written: No space left on device.")
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        patch.setattr(workplace, "write_container", until_full)
        with pytest.raises(UserError, match="No space left"):
            ask(network, folder, "out", video=True)
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 3)  # three of six steps were saved
        ask(network, folder, "out", video=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_damaged_work_file_costs_its_steps_only(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        kill_at(patch, search.Search, 4)
        with pytest.raises(Killed):
            ask(network, folder, "out")
    (tmp_path / "out" / ".project" / "work.pkl").write_bytes(b"PK\x03\x04 damaged")
    ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_options_drop_unfinished_work_and_say_so(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        kill_at(patch, search.Search, 4)
        with pytest.raises(Killed):
            ask(network, folder, "out")
    _, said = ask(network, folder, "out", seed=1)
    assert any("unfinished work of other options or pictures, which is dropped" in line for line in said)
    assert not any("Going on" in line for line in said)


def test_finished_pictures_are_kept_and_new_ones_added(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "out")
    first = (tmp_path / "out" / "s5-projected_w.npz").read_bytes()
    save_seeds(folder, network, [7])
    _, said = ask(network, folder, "out")
    assert "2 of 3 are projected already." in said
    assert (tmp_path / "out" / "s5-projected_w.npz").read_bytes() == first
    kill_at(monkeypatch, search.Search, 0)
    report, said = ask(network, folder, "out")
    assert report.number == 3


def test_results_of_other_options_are_replaced_and_said(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    ask(network, target, "out", video=False)
    first = read_latents(tmp_path / "out" / "projected_w.npz").ws
    _, said = ask(network, target, "out", video=False, space="w+")
    assert any("holds results of other options" in line for line in said)
    assert not (read_latents(tmp_path / "out" / "projected_w.npz").ws == first).all()


def test_two_processes_do_not_write_to_one_folder(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5])
    step, errors = search.Search.step, []

    def second(self):
        if not errors:
            errors.append(None)
            with pytest.raises(UserError, match=r"Another sgtool project writes to .* just now"):
                ask(network, folder, "out")
        return step(self)

    monkeypatch.setattr(search.Search, "step", second)
    ask(network, folder, "out")
    assert errors


# --- bad input --------------------------------------------------------------------------------------------------------------


def test_unreadable_pictures_are_skipped_counted_and_listed_or_refused(model, ask, tmp_path):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5])
    (folder / "broken.png").write_bytes(b"nothing")
    report, said = ask(network, folder, "out", num_steps=1)
    assert report.number == 1
    assert report.skipped == [("broken.png", "not a picture in a known format")]
    assert "1 skipped:\n  broken.png: not a picture in a known format" in said
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["skipped"][0]["target"] == "broken.png"
    with pytest.raises(UserError, match=r"--target: broken\.png cannot be used: .*\. Remove it, or leave --strict out\."):
        ask(network, folder, "strict", strict=True)


def test_nothing_usable_is_an_error(model, ask, tmp_path):
    network = model()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="none of its pictures can be used; broken.png: not a picture"):
        ask(network, folder, "out")
    with pytest.raises(UserError, match=r"broken\.png cannot be used: .* Give another picture\."):
        ask(network, folder / "broken.png", "out", video=False)


def test_pictures_without_a_face_are_skipped_or_refused(model, ask, tmp_path, monkeypatch):
    class Blind:
        def detect(self, picture, which):
            return [] if picture.size == (8, 8) else [SimpleNamespace(landmarks=None)]

    monkeypatch.setattr("sgtool.datasets.faces.shared_detector", lambda landmarks: Blind())
    monkeypatch.setattr("sgtool.datasets.faces.align", lambda image, landmarks, size, samples: image.resize((size, size)))
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5])
    save_seeds(tmp_path / "large", network, [6], size=(20, 20))
    (tmp_path / "large" / "s6.png").rename(folder / "s6.png")
    report, said = ask(network, folder, "out", align="faces", num_steps=1)
    assert (report.number, report.skipped) == (1, [("s5.png", "no face")])
    assert "The target was made 8x8 RGB: with the face cut out." in said
    with pytest.raises(UserError, match=r"s5\.png cannot be used: no face\. Give another picture, or leave --align out\."):
        ask(network, folder / "s5.png", "single", align="faces", video=False)


@pytest.mark.parametrize("name", ["proj.png", "target.png", "projected_w.npz", "scores.json", "projections.png", "tuned.pkl"])
def test_a_strangers_file_is_not_replaced(model, ask, tmp_path, name):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    path = tmp_path / "out" / name
    path.parent.mkdir()
    if path.suffix == ".png":
        Image.new("RGB", (8, 8)).save(path)
    elif path.suffix == ".npz":
        np.savez(path, w=np.zeros([1, 4, 16], np.float32))
    elif path.suffix == ".pkl":
        path.write_bytes(network.read_bytes())
    else:
        path.write_text("[1]")
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"{name} was not made by sgtool project, so it is not replaced\."):
        ask(network, target, "out", video=False)
    assert path.read_bytes() == before


def test_a_model_without_discriminator_cannot_lend_its_features(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    with pytest.raises(UserError, match="--perceptual discriminator: the model's file holds no discriminator"):
        ask(network, target, "out", perceptual="discriminator")


def test_a_network_of_more_channels_than_files_have_is_refused(model, ask, tmp_path):
    network = model(8, 6)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="makes pictures of 6 channels, and picture files have 1 to 4"):
        ask(network, tmp_path / "a.png", "out")


def test_numbers_that_make_no_search_are_refused(model, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    request = Request(str(model()), str(tmp_path / "a.png"), str(tmp_path / "out"), num_steps=0)
    with pytest.raises(UserError, match=r"Num_steps must be 1 or more, not 0\."):
        prepared(request, False, print, print)
    assert dataclasses.replace(request, num_steps=1).num_steps == 1


def test_a_folder_that_cannot_be_written_is_refused(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="--outdir .*file.*cannot be created"):
        ask(network, target, "file/out")

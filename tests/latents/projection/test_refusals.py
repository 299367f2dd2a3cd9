"""What a projection refuses or leaves out, and what it says."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from projection_files import kill_at, names, save_seeds

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.projection import Request, search, tuning
from sgtool.latents.projection.run import prepared


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

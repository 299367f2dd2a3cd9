"""Pictures in a list of latents are projected once, and kept."""

import numpy as np
import pytest
from PIL import Image

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents.file import read_latents, write_latents
from sgtool.latents.generate import generate
from sgtool.latents.model import open_model
from sgtool.latents.projection import kept, projected, search
from sgtool.latents.projection.job import settings_for
from sgtool.latents.sources import gather
from sgtool.networks import build_discriminator


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Few steps."""
    monkeypatch.setattr(kept, "settings_for", lambda space: settings_for(space, num_steps=3, w_avg_samples=100))


@pytest.fixture
def model(make_generator, tmp_path):
    G = make_generator(8)
    D = build_discriminator(c_dim=0, img_resolution=8, img_channels=3, channel_base=256, channel_max=16)
    snapshots.save(snapshots.Snapshot(G, D=D), tmp_path / "model.pkl")
    return open_model(tmp_path / "model.pkl")


@pytest.fixture
def picture(model, tmp_path):
    """Write the picture of a seed: `picture(seed, name)` is its path."""

    def save(seed, name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(next(generate(model.G, [seed]))).save(path)
        return path

    return save


def no_more_steps(monkeypatch):
    def step(self):
        pytest.fail("a picture is projected again")

    monkeypatch.setattr(search.Search, "step", step)


def test_a_picture_is_projected_into_w_plus_once(model, picture, tmp_path, monkeypatch):
    paths, said = [picture(1, "a.png"), picture(2, "b.png")], []
    latents = projected(model, paths, tmp_path / "out", say=said.append)
    assert latents.ws.shape == (2, model.G.num_ws, model.G.w_dim)
    assert not (latents.ws[0, 0] == latents.ws[0, 1]).all()
    assert (latents.names, latents.network_sha256) == (["a", "b"], model.sha256)
    assert said[0].startswith("Projecting 2 pictures into W+. Distance: features of the model's own discriminator")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a-projected_w.npz", "b-projected_w.npz"}
    no_more_steps(monkeypatch)
    again = projected(model, paths[::-1], tmp_path / "out")
    np.testing.assert_array_equal(again.ws, latents.ws[::-1])


def test_pictures_of_one_name_do_not_push_each_other_out(model, picture, tmp_path, monkeypatch):
    one, two = picture(1, "x/face.png"), picture(2, "y/face.png")
    first, second = (projected(model, [path], tmp_path / "out") for path in (one, two))
    assert (tmp_path / "out" / "face-2-projected_w.npz").exists()
    no_more_steps(monkeypatch)
    np.testing.assert_array_equal(projected(model, [one], tmp_path / "out").ws, first.ws)
    both = projected(model, [two, one], tmp_path / "out")
    np.testing.assert_array_equal(both.ws, np.concatenate([second.ws, first.ws]))


def test_a_strangers_file_of_that_name_is_left_alone(model, picture, tmp_path):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "a-projected_w.npz"
    np.savez(path, w=np.zeros([1, 4, 16], np.float32))
    before = path.read_bytes()
    projected(model, [picture(1, "a.png")], tmp_path / "out")
    assert path.read_bytes() == before
    assert (tmp_path / "out" / "a-2-projected_w.npz").exists()


def test_a_list_of_latents_takes_pictures_beside_seeds_and_mixtures(model, picture, tmp_path):
    path = picture(1, "a.png")
    latents = gather(parse_latents(f"3,{path},0.5*3+0.5*{path}"), model, tmp_path / "out")
    np.testing.assert_allclose(latents.ws[2], (latents.ws[0] + latents.ws[1]) / 2, atol=1e-6)
    assert latents.recipes[1]["made"]["projected"] == "a.png"
    write_latents(tmp_path / "all.npz", latents)
    assert read_latents(tmp_path / "all.npz").names[:2] == ["seed0003", "a"]


def test_what_is_no_picture_is_said(model, tmp_path):
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(UserError, match=r"a\.png is no picture that can be projected \(not a picture in a known format\)"):
        projected(model, [tmp_path / "a.png"], tmp_path / "out")

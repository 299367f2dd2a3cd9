"""From a list to latents: order, classes, truncation, mixtures, and what belongs to another model."""

import numpy as np
import pytest
import torch

from sgtool import latents, snapshots
from sgtool.errors import UserError
from sgtool.grammar import Seed, parse_latents
from sgtool.latents import sources
from sgtool.latents.file import LONGEST_NAME, Latents, write_latents
from sgtool.latents.model import open_model
from sgtool.latents.sources import gather
from sgtool.networks import build_generator

NAMES = ["zero", "one", "two"]


@pytest.fixture
def model_of(tmp_path, one_thread):
    """Make the model of a tiny network with `c_dim` classes."""

    def make(c_dim=0, seed=1, **kwargs):
        torch.manual_seed(seed)
        sizes = {"z_dim": 8, "w_dim": 8, "img_resolution": 8, "img_channels": 3} | kwargs
        depth = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}
        G = build_generator(c_dim=c_dim, **sizes, **depth)
        G.mapping.w_avg.normal_()
        path = tmp_path / f"model{c_dim}-{seed}.pkl"
        snapshots.save(snapshots.Snapshot(G, dataset={"class_names": NAMES}), path)
        return open_model(path)

    return make


@pytest.fixture
def model(model_of):
    return model_of()


def found(text, model, **options):
    return gather(parse_latents(text), model, None, **options)


def mapped(model, seeds, classes=None, **options):
    z = latents.latents_of_seeds(seeds, model.G.z_dim)
    with torch.inference_mode():
        return model.G.mapping(z, latents.one_hot(classes or [None] * len(seeds), model.G.c_dim), **options).numpy()


def equal(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_seeds_are_mapped_in_the_order_given(model):
    made = found("9,3-4,9", model)
    equal(made.ws, mapped(model, [9, 3, 4, 9]))
    assert made.ws.dtype == np.float32
    assert made.names == ["seed0009", "seed0003", "seed0004", "seed0009"]
    assert made.network_sha256 == model.sha256
    assert made.recipes[1] == {"seed": 3, "class": None, "truncation_psi": 1.0, "truncation_cutoff": None}


def test_many_seeds_are_the_same_as_few(model, monkeypatch):
    together = found("0-9", model).ws
    monkeypatch.setattr(sources, "MAPPED_AT_ONCE", 3)
    equal(found("0-9", model).ws, together)


def test_truncation_is_the_networks(model):
    made = found("1,2", model, truncation_psi=0.5, truncation_cutoff=2)
    equal(made.ws, mapped(model, [1, 2], truncation_psi=0.5, truncation_cutoff=2))
    assert (made.recipes[0]["truncation_psi"], made.recipes[0]["truncation_cutoff"]) == (0.5, 2)


def test_classes_are_the_commands_or_the_seeds_own(model_of):
    model = model_of(3)
    made = found("5,5@1,5@2", model, label=2)
    equal(made.ws, mapped(model, [5, 5, 5], [2, 1, 2]))
    assert made.names == ["seed0005", "seed0005-class1", "seed0005-class2"]
    assert [recipe["class"] for recipe in made.recipes] == [2, 1, 2]


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        ("5", None, "--class is missing: model3-1.pkl knows the classes 0 to 2 .0 zero, 1 one, 2 two."),
        ("5@1,6", None, "--class is missing"),
        ("5", 3, "--class 3 does not exist"),
        ("5@3", None, "--class 3 does not exist"),
        ("0.5*5@3+0.5*6@1", None, "--class 3 does not exist"),
    ],
)
def test_a_class_that_is_missing_or_not_there_is_told(model_of, text, label, words):
    with pytest.raises(UserError, match=words):
        found(text, model_of(3), label=label)


def test_a_class_without_use_is_a_warning(model):
    warnings = []
    made = found("5@1", model, warn=warnings.append)
    assert warnings == ["model0-1.pkl was trained without classes: --class changes nothing."]
    assert (made.names, made.recipes[0]["class"]) == (["seed0005"], None)


def test_saved_latents_need_no_class_and_come_in_the_order_given(model_of, tmp_path):
    model = model_of(3)
    ws = np.random.default_rng(0).standard_normal([4, 4, 8]).astype(np.float32)
    write_latents(tmp_path / "w.npz", Latents(ws, list("abcd"), [{}] * 4, model.sha256))
    warnings = []
    made = found(f"{tmp_path}/w.npz[3,0-1],{tmp_path}/w.npz[3],{tmp_path}/w.npz", model, warn=warnings.append)
    assert "".join(made.names) == "dabdabcd"
    np.testing.assert_array_equal(made.ws, ws[[3, 0, 1, 3, 0, 1, 2, 3]])
    assert warnings == []


def test_mixtures_are_weighted_means_in_w(model, tmp_path):
    ws = np.random.default_rng(0).standard_normal([2, 4, 8]).astype(np.float32)
    np.savez(tmp_path / "w.npz", w=ws)
    w = f"{tmp_path}/w.npz"
    made = found(f"3+4,1*3+3*{w}[1],1.5*3+-0.5*4", model, truncation_psi=0.7)
    a, b = mapped(model, [3, 4], truncation_psi=0.7)
    equal(made.ws[0], (a + b) / 2)
    equal(made.ws[1], a / 4 + ws[1] * 3 / 4)
    equal(made.ws[2], 1.5 * a - 0.5 * b)
    assert made.names == ["seed0003+seed0004", "seed0003+w-0001", "seed0003+seed0004"]
    weights = [(part["weight"], part.get("seed", part.get("row"))) for part in made.recipes[1]["mixture"]]
    assert weights == [(0.25, 3), (0.75, 1)]


def test_a_mixture_of_long_names_has_a_name_for_a_file(model, tmp_path):
    for sign in "一丁":
        np.savez(tmp_path / f"{sign * 26}.npz", w=np.zeros([1, 4, 8], np.float32))
    name = found("+".join(f"1*{tmp_path}/{sign * 26}.npz" for sign in "一丁一丁"), model).names[0]
    assert len(name.encode()) <= LONGEST_NAME
    assert name.startswith("一" * 26)


def test_a_mixture_of_many_latents_is_refused(model, tmp_path):
    np.savez(tmp_path / "w.npz", w=np.zeros([2, 4, 8], np.float32))
    with pytest.raises(UserError, match=r"w.npz in the mixture .* holds 2 latents. Name one of them, like .*w.npz\[0\]"):
        found(f"0.5*{tmp_path}/w.npz+0.5*3", model)


def test_a_single_w_is_taken_for_each_layer(model, tmp_path):
    w = np.random.default_rng(0).standard_normal([3, 1, 8]).astype(np.float32)
    np.savez(tmp_path / "w.npz", w=w)
    np.testing.assert_array_equal(found(f"{tmp_path}/w.npz", model).ws, np.repeat(w, 4, axis=1))


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 4, 16), (2, 1, 16), (2, 5, 8)])
def test_latents_of_another_shape_are_refused(model, tmp_path, shape):
    np.savez(tmp_path / "w.npz", w=np.zeros(shape, np.float32))
    with pytest.raises(UserError, match=f"another model: {shape[1]} layers of {shape[2]} numbers; this one has 4 of 8"):
        found(f"{tmp_path}/w.npz", model)


def test_latents_of_another_model_of_the_same_shape_are_a_warning(model, model_of, tmp_path):
    write_latents(tmp_path / "w.npz", Latents(np.zeros([1, 4, 8], np.float32), ["a"], [{}], model_of(seed=2).sha256))
    warnings = []
    assert len(found(f"{tmp_path}/w.npz", model, warn=warnings.append)) == 1
    assert len(warnings) == 1
    assert "was made with another model than model0-1.pkl" in warnings[0]


def test_a_row_that_is_not_there_is_told(model, tmp_path):
    np.savez(tmp_path / "w.npz", w=np.zeros([2, 4, 8], np.float32))
    with pytest.raises(UserError, match="w.npz has 2 latents, so there is no row 2. Rows count from 0."):
        found(f"{tmp_path}/w.npz[1-2]", model)


@pytest.mark.parametrize("text", ["none.npz", "none.png", "0.5*3+0.5*none.npz", "."])
def test_a_missing_file_is_told_before_anything_is_mapped(model, monkeypatch, text):
    monkeypatch.setattr(sources, "latents_of_seeds", lambda *args: pytest.fail("seeds were mapped"))
    with pytest.raises(UserError, match="is neither a seed nor a file"):
        found(f"3,{text}", model)


def test_nothing_at_all_is_told(model):
    with pytest.raises(UserError, match="No latents are given"):
        gather([], model, None)


def test_whole_numbers_are_seeds(model):
    equal(gather([3, Seed(4)], model, None).ws, mapped(model, [3, 4]))


def test_pictures_are_projected_once_each_in_one_go(model, tmp_path, monkeypatch):
    asked = []

    def projected(of, paths, folder, *, say, progress):
        asked.append((of, paths, folder))
        ws = np.stack([np.full([4, 8], i + 1, np.float32) for i in range(len(paths))])
        return Latents(ws, [f"p{i}" for i in range(len(paths))], [{"picture": i} for i in range(len(paths))])

    monkeypatch.setattr("sgtool.latents.projection.projected", projected)
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("")
    a, b = f"{tmp_path}/a.png", f"{tmp_path}/b.png"
    made = gather(parse_latents(f"{b},3,{a},{b},0.5*{a}+0.5*{b}"), model, tmp_path / "kept")
    assert asked == [(model, [b, a], tmp_path / "kept")]
    assert made.ws[[0, 2, 3, 4], 0, 0].tolist() == [1, 2, 1, 1.5]
    assert made.names == ["p0", "seed0003", "p1", "p0", "p1+p0"]

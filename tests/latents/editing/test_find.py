"""Directions with their scales, for any network; what was learned separates and moves pictures its way."""

import numpy as np
import pytest

from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents.directions import moved, write_directions
from sgtool.latents.editing.find import find_directions, learn_directions
from sgtool.latents.sources import gather

SHAPES = [{}, {"img_resolution": [8, 16], "img_channels": 1}, {"img_channels": 4}, {"c_dim": 3}]


@pytest.mark.parametrize("changes", SHAPES, ids=str)
@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_of_any_network_are_orthonormal_with_the_spread_of_w_along_them(make_model, method, changes):
    model = make_model(**changes)
    directions = find_directions(model, method, number=5, samples=3000)
    np.testing.assert_allclose(directions.vectors @ directions.vectors.T, np.eye(5), atol=1e-5)
    assert directions.names == [f"{method}{i:02d}" for i in range(5)]
    assert directions.network_sha256 == model.sha256
    assert directions.recipe["method"] == method
    label = 0 if model.G.c_dim else None
    one = find_directions(model, method, number=5, samples=3000, label=label)
    w = gather(parse_latents("0-1999"), model, None, label=label).ws[:, 0]
    np.testing.assert_allclose((w @ one.vectors.T).std(axis=0), one.scales, rtol=0.1)


def test_the_layers_of_sefa_decide_which_directions_they_are(model):
    low, all_of_them = find_directions(model, "sefa", rows=[0, 1], samples=100), find_directions(model, "sefa", samples=100)
    assert low.layers == [[0, 1]] * 10
    assert all_of_them.layers == [None] * 10
    assert abs(low.vectors[0] @ all_of_them.vectors[0]) < 0.99


def test_more_directions_than_w_has_numbers_are_refused(model, make_model):
    assert len(find_directions(model, "pca", number=16, samples=100)) == 16
    for method in ("sefa", "pca"):
        with pytest.raises(UserError, match=r"--number 17: w of m\.pkl has 16 numbers"):
            find_directions(model, method, number=17)
    with pytest.raises(UserError, match="--samples 10 are too few for 10 directions"):
        find_directions(model, "pca", samples=10)
    with pytest.raises(UserError, match="--samples 5 are too few for 3 classes"):
        find_directions(make_model("c.pkl", c_dim=3), "sefa", samples=5)


@pytest.mark.parametrize(
    ("layer", "method"), [("synthesis.b8.conv1.affine", "sefa"), ("mapping.fc0", "sefa"), ("mapping.fc0", "pca")]
)
def test_a_model_that_diverged_has_no_directions(model, layer, method):
    model.G.get_submodule(layer).weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"not finite numbers: its training diverged\. Use an earlier snapshot\."):
        find_directions(model, method, number=2, samples=10)


@pytest.fixture
def planted(model, tmp_path):
    """A model, examples whose labels come from a plane in W, the file of labels, and the plane's normal."""
    items = parse_latents("0-399")
    w = gather(items, model, None).ws[:, 0]
    normal = np.random.default_rng(0).normal(size=16)
    normal /= np.linalg.norm(normal)
    height = w @ normal
    lines = [f"seed{i:04d},{'up' if value > np.median(height) else 'down'}" for i, value in enumerate(height)]
    (tmp_path / "l.csv").write_text("\n".join(["name,label", *lines]))
    return model, items, tmp_path / "l.csv", normal


def test_a_learned_direction_is_the_planted_one_and_tells_held_out_examples_apart(planted):
    model, items, labels, normal = planted
    said = []
    directions = learn_directions(model, items, labels, None, samples=2000, warn=pytest.fail, say=said.append)
    assert directions.names == ["up"]
    assert directions.vectors[0] @ normal > 0.95
    assert directions.recipe["held_out_accuracy"]["up"] > 0.9
    assert said[0].startswith("up: 9")
    assert said[0].endswith("200 have the label, 200 have not.")
    fresh = gather(parse_latents("1000-1099"), model, None).ws
    far = moved(fresh, directions.step(0), 2, directions.layers[0])[:, 0] @ normal
    assert (far > fresh[:, 0] @ normal).all()


def test_what_is_learned_can_leave_other_directions_alone(planted, tmp_path):
    model, items, labels, _ = planted
    others = find_directions(model, "pca", number=3, samples=500)
    write_directions(tmp_path / "d.npz", others)
    quiet = {"samples": 500, "say": lambda text: None}
    directions = learn_directions(model, items, labels, None, orthogonal_to=tmp_path / "d.npz", **quiet)
    np.testing.assert_allclose(directions.vectors @ others.vectors.T, 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(directions.vectors, axis=1), 1, atol=1e-6)
    assert directions.recipe["orthogonal_to"]["directions"] == others.names
    write_directions(tmp_path / "all.npz", find_directions(model, "pca", number=16, samples=500))
    with pytest.raises(UserError, match="nothing is left of up beside its directions"):
        learn_directions(model, items, labels, None, orthogonal_to=tmp_path / "all.npz", **quiet)


def test_labels_that_have_nothing_to_do_with_w_are_warned_of(model, tmp_path):
    coin = np.random.default_rng(0).integers(0, 2, 100)
    (tmp_path / "l.csv").write_text("\n".join(["name,label", *(f"seed{i:04d},{side}" for i, side in enumerate(coin))]))
    warned = []
    learn_directions(
        model, parse_latents("0-99"), tmp_path / "l.csv", None, samples=100, warn=warned.append, say=lambda text: None
    )  # fmt: skip
    assert warned == ["1 can hardly be told from W, so its direction means little. Label more examples."]


def test_classes_of_a_network_are_learned_with_the_spread_of_all_of_w(make_model, tmp_path):
    model = make_model(c_dim=3)
    lines = [f"seed{i:04d}-class{c},{c}" for i in range(40) for c in range(3)]
    (tmp_path / "l.csv").write_text("\n".join(["name,label", *lines]))
    items = parse_latents("0-39@0,0-39@1,0-39@2")
    directions = learn_directions(model, items, tmp_path / "l.csv", None, samples=3000, say=lambda text: None)
    assert directions.names == ["0", "1", "2"]
    assert min(directions.recipe["held_out_accuracy"].values()) > 0.9
    w = gather(parse_latents("0-499@0,0-499@1,0-499@2"), model, None).ws[:, 0]
    np.testing.assert_allclose((w @ directions.vectors.T).std(axis=0), directions.scales, rtol=0.1)

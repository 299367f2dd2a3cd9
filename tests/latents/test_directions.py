"""Directions as a file: small, read as data, checked; and latents moved along them."""

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.latents.directions import Directions, check_fit, moved, read_directions, write_directions


def some(number=3, width=8, **changes):
    vectors, _ = np.linalg.qr(np.random.default_rng(0).normal(size=[width, number]))
    names, scales = [f"n{i}" for i in range(number)], np.arange(1, number + 1, dtype=np.float32)
    parts = {"vectors": vectors.T.astype(np.float32), "scales": scales, "names": names, "layers": [None, [0, 1], [2]][:number]}
    return Directions(**{**parts, "network_sha256": "ab", "recipe": {"method": "pca"}, **changes})


def like(w_dim=8, num_ws=4, sha256="ab"):
    """What `check_fit` looks at of a model."""
    return SimpleNamespace(G=SimpleNamespace(w_dim=w_dim, num_ws=num_ws), sha256=sha256, path=Path("models/m.pkl"))


def test_a_file_is_read_as_it_was_written_and_is_small(tmp_path):
    path, directions = tmp_path / "d.npz", some()
    write_directions(path, directions)
    again = read_directions(path)
    np.testing.assert_allclose(again.vectors, directions.vectors, atol=1e-7)
    np.testing.assert_array_equal(again.scales, directions.scales)
    assert (again.names, again.layers, again.network_sha256) == (directions.names, directions.layers, "ab")
    assert again.recipe["method"] == "pca"
    assert path.stat().st_size < 4096
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == {"directions", "scales", "recipe"}


def test_vectors_of_another_length_are_brought_to_one(tmp_path):
    write_directions(tmp_path / "d.npz", some(vectors=some().vectors * 7))
    np.testing.assert_allclose(read_directions(tmp_path / "d.npz").vectors, some().vectors, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_strength_one_moves_by_one_standard_deviation_in_the_rows_that_are_named(kind):
    ws, directions = np.random.default_rng(1).normal(size=[2, 4, 8]).astype(np.float32), some()
    given = kind(ws)
    before = ws.copy()
    for index, rows in ((0, [0, 1, 2, 3]), (1, [0, 1]), (2, [2])):
        result = moved(given, directions.step(index), -2.5, directions.layers[index])
        change = np.asarray(result) - ws
        still = [row for row in range(4) if row not in rows]
        np.testing.assert_allclose(change[:, rows] @ directions.vectors[index], -2.5 * (index + 1), rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(change[:, rows], axis=-1), 2.5 * (index + 1), rtol=1e-5)
        assert not change[:, still].any()
        assert type(result) is type(given)
        assert result.dtype == given.dtype
    np.testing.assert_array_equal(np.asarray(given), before)


def test_moves_add_up_and_go_back():
    ws, directions = np.zeros([4, 8], np.float32), some()
    both = moved(moved(ws, directions.step(0), 2), directions.step(1), -1)
    np.testing.assert_allclose(both[0], 2 * directions.step(0) - directions.step(1), atol=1e-6)
    np.testing.assert_allclose(moved(moved(ws, directions.step(0), 2), directions.step(0), -2), ws, atol=1e-6)


def test_a_direction_is_called_by_its_name_or_its_number():
    directions = some(names=["smile", "age", "1"])
    assert [directions.index(name) for name in ("smile", "age", "1", "0")] == [0, 1, 2, 0]
    for name in ("nose", "3", "-1", "٣", "9" * 5000):
        with pytest.raises(UserError, match=r"no such direction, but smile, age, 1\. Give one of them"):
            directions.index(name)


def test_names_that_would_change_the_terminal_are_escaped_in_messages():
    with pytest.raises(UserError) as caught:
        some(names=["\x1b[31mred", "b\n", "x" * 100]).index("nose")
    assert caught.value.message.isprintable()
    assert r"but \x1b[31mred, b\n, " + "x" * 40 + "..." in caught.value.message


def test_a_direction_of_another_shape_is_refused_and_of_another_model_warned_of():
    said = []
    check_fit(some(), like(), "d.npz", said.append)
    assert said == []
    check_fit(some(), like(sha256="cd"), "d.npz", said.append)
    assert said == ["d.npz was found with another model than m.pkl: its directions may mean something else."]
    with pytest.raises(UserError, match=r"d\.npz holds directions of 8 numbers, but latents of m\.pkl have 16\. Give"):
        check_fit(some(), like(w_dim=16), "d.npz", said.append)
    with pytest.raises(UserError, match=r"d\.npz is for a model of more than 2 layers\. Say which ones to move with --layers\."):
        check_fit(some(), like(num_ws=2), "d.npz", said.append)


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(UserError, match="could not be written"):
        write_directions(tmp_path / "none" / "d.npz", some())


def stored(path, **changes):
    """Write a file by hand, with some arrays changed; None leaves one out."""
    about = {"names": ["a", "b"], "layers": [None, [1]]}
    arrays = {"directions": np.eye(2, 4), "scales": np.ones(2), "recipe": np.array(json.dumps(about)), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


DEEP = json.loads("[" * 300 + "]" * 300)


def recipe(**changes):
    return np.array(json.dumps({"names": ["a", "b"], "layers": [None, [1]], **changes}))


def test_a_file_made_by_hand_is_read(tmp_path):
    directions = read_directions(stored(tmp_path / "d.npz"))
    np.testing.assert_array_equal(directions.vectors, np.eye(2, 4))
    assert directions.vectors.dtype == directions.scales.dtype == np.float32
    assert directions.network_sha256 is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"directions": None}, "has no array `directions`"),
        ({"recipe": None}, "has no array `recipe`"),
        ({"scales": np.ones(3)}, r"directions \[2, 4\] and scales \[3\] do not go together"),
        ({"directions": np.ones(4)}, "do not go together"),
        ({"directions": np.zeros([0, 4]), "scales": np.ones(0)}, "do not go together"),
        ({"directions": np.full([2, 4], "x")}, "do not go together"),
        ({"directions": np.full([2, 4], np.nan)}, "values that are no directions, such as NaN"),
        ({"directions": np.full([2, 4], np.inf)}, "values that are no directions, such as NaN"),
        ({"directions": np.zeros([2, 4])}, "values that are no directions, such as NaN"),
        ({"scales": np.array([1, np.nan])}, "values that are no directions, such as NaN"),
        ({"scales": np.array([1, 1e300])}, "values that are no directions, such as NaN"),
        ({"scales": np.array([1, 2e6])}, "values that are no directions, such as NaN"),
        ({"scales": -np.ones(2)}, "values that are no directions, such as NaN"),
        ({"directions": np.array([[object()]])}, r"as a file of directions \(directions.npy: it holds Python objects"),
        ({"recipe": np.array("{")}, "its recipe is damaged"),
        ({"recipe": np.array("[" * 100_000)}, "its recipe is damaged"),
        ({"recipe": recipe(deep=DEEP)}, "its recipe is damaged"),
        ({"recipe": np.array("[]")}, "its recipe is damaged"),
        ({"recipe": np.ones(3)}, "its recipe is damaged"),
        ({"recipe": recipe(names=["a"])}, "names or layers are damaged"),
        ({"recipe": recipe(names=["a", "a"])}, "names or layers are damaged"),
        ({"recipe": recipe(names=["a", 3])}, "names or layers are damaged"),
        ({"recipe": recipe(layers=[None])}, "names or layers are damaged"),
        ({"recipe": recipe(layers=[None, [-1]])}, "names or layers are damaged"),
        ({"recipe": recipe(layers=[None, []])}, "names or layers are damaged"),
        ({"recipe": recipe(layers=[None, ["1"]])}, "names or layers are damaged"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, changes, words):
    path = stored(tmp_path / "d.npz", **changes)
    with pytest.raises(UserError, match=words) as caught:
        read_directions(path)
    assert str(path) in caught.value.message


def test_what_is_no_such_file_is_refused(tmp_path):
    whole = stored(tmp_path / "d.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("The quick brown fox")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("directions.npy", bytes(65 << 20))
    np.savez(tmp_path / "latents.npz", w=np.zeros([1, 4, 8]))
    for name in ("half", "text", "huge"):
        with pytest.raises(UserError, match="cannot be read as a file of directions"):
            read_directions(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match="has no array `directions`, so it is no file of directions"):
        read_directions(tmp_path / "latents.npz")
    with pytest.raises(UserError, match="does not exist"):
        read_directions(tmp_path / "none.npz")
    with pytest.raises(UserError, match="does not exist"):
        read_directions(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are not there on Windows")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="does not exist"):
        read_directions(tmp_path / "pipe.npz")

"""Sheets and edited latents as files: the right pixels in the right place, with recipes; no other file is replaced."""

import json

import numpy as np
import pytest
from PIL import Image

from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents.directions import moved, read_directions, write_directions
from sgtool.latents.editing import find_files, use_files
from sgtool.latents.editing.find import find_directions
from sgtool.latents.file import read_latents, write_latents
from sgtool.latents.generate import render
from sgtool.latents.sources import gather

QUIET = {"warn": pytest.fail, "say": lambda text: None}
SHAPES = [{}, {"img_resolution": [8, 16], "img_channels": 1}, {"img_channels": 4}, {"img_channels": 2}, {"c_dim": 3}]


def opened(path):
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
        return pixels if pixels.ndim == 3 else pixels[:, :, None], json.loads(picture.info["sgtool"])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def cells(pixels, rows, columns, height, width):
    """The cells of a sheet `[rows, columns, H, W, C]`, whose edges with labels are above and to the left."""
    body = pixels[-rows * height :, -columns * width :]
    return body.reshape(rows, height, columns, width, -1).swapaxes(1, 2).astype(int)


@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_sheets_have_a_row_for_each_latent_and_a_column_for_each_strength(make_model, tmp_path, changes):
    model, out = make_model(**changes), tmp_path / "out"
    label = 1 if model.G.c_dim else None
    path, directions, sheets = find_files(
        model.path, out, parse_latents("5,3"), "pca", number=3, samples=200, strengths=[-1, 0, 2.5], label=label, **QUIET
    )  # fmt: skip
    assert [sheet.name for sheet in sheets] == ["directions.png", *(f"strengths-pca0{i}.png" for i in range(3))]
    assert names_in(out) == sorted(["directions.npz", *(sheet.name for sheet in sheets)])
    height, width = (16, 16) if "img_resolution" not in changes else (8, 16)
    again, latents = read_directions(path), gather(parse_latents("5,3"), model, out, label=label)
    for index in range(3):
        pixels, recipe = opened(sheets[1 + index])
        shown = cells(pixels, 2, 3, height, width)
        for i, w in enumerate(latents.ws):
            expected = list(render(model.G, [moved(w, again.step(index), strength) for strength in (-1, 0, 2.5)]))
            assert np.abs(shown[i] - np.stack(expected)).max() <= 1
        assert recipe["directions"] == [f"pca0{index}"]
        assert recipe["strengths"] == [-1, 0, 2.5]
        assert [own["seed"] for own in recipe["latents"]] == [5, 3]
        assert recipe["network_sha256"] == model.sha256
        overview = cells(opened(sheets[0])[0], 3, 3, height, width)
        assert np.abs(overview[index] - shown[0]).max() <= 1
    assert directions.names == again.names


@pytest.fixture
def found(model, tmp_path):
    """A model and a file of three of its directions, the last of which moves two layers only."""
    directions = find_directions(model, "pca", number=3, samples=200)
    directions.names, directions.layers = ["smile", "age", "Smile"], [None, None, [2, 3]]
    write_directions(tmp_path / "d.npz", directions)
    return model, tmp_path / "d.npz"


def test_directions_add_up_on_any_latents_and_what_is_written_agrees(found, tmp_path):
    model, file = found
    out, stored = tmp_path / "out", gather([8, 9], model, None)
    stored.names = ["anna", "seed0001"]
    write_latents(tmp_path / "w.npz", stored)
    items = parse_latents(f"1,{tmp_path / 'w.npz'},0.5*2+0.5*3")
    sheets = use_files(model.path, out, items, file, use={"smile": 2, "2": -1.5}, enlarge=2, **QUIET)
    names = ["seed0001-edited", "anna-edited", "seed0001-edited-2", "seed0002+seed0003-edited"]
    assert sheets == [out / "grid.png"]
    assert names_in(out) == sorted(["edited.npz", "grid.png", *(f"{name}.png" for name in names)])

    directions, latents, edited = read_directions(file), gather(items, model, None), read_latents(out / "edited.npz")
    expected = latents.ws + 2 * directions.step(0)
    expected[:, [2, 3]] -= 1.5 * directions.step(2)
    np.testing.assert_allclose(edited.ws, expected, atol=1e-5)
    assert edited.names == names
    shown = cells(opened(out / "grid.png")[0], 4, 2, 32, 32)
    for i, name in enumerate(names):
        pixels, recipe = opened(out / f"{name}.png")
        assert np.abs(pixels.astype(int) - next(render(model.G, expected[i : i + 1]))).max() <= 1
        np.testing.assert_array_equal(shown[i, 1, ::2, ::2], pixels)
        assert np.abs(shown[i, 0, ::2, ::2] - next(render(model.G, latents.ws[i : i + 1]))).max() <= 1
        assert [(step["name"], step["strength"], step["layers"]) for step in recipe["edit"]] == [
            ("smile", 2, None), ("Smile", -1.5, [2, 3]),
        ]  # fmt: skip
        assert recipe["of"] == latents.recipes[i]


def test_edited_latents_are_latents_for_the_next_edit(found, tmp_path):
    model, file = found
    use_files(model.path, tmp_path / "a", parse_latents("4"), file, use={"age": 2}, **QUIET)
    use_files(model.path, tmp_path / "b", parse_latents(str(tmp_path / "a" / "edited.npz")), file, use={"age": -2}, **QUIET)
    back = read_latents(tmp_path / "b" / "edited.npz")
    np.testing.assert_allclose(back.ws, gather([4], model, None).ws, atol=1e-5)
    assert back.recipes[0]["made"]["of"]["made"]["of"]["seed"] == 4


def test_layers_that_are_given_go_before_those_of_the_file(found, tmp_path):
    model, file = found
    use_files(model.path, tmp_path / "o", parse_latents("4"), file, use={"2": 3, "0": 1}, layers=[0], **QUIET)
    change = read_latents(tmp_path / "o" / "edited.npz").ws - gather([4], model, None).ws
    assert np.abs(change[0, 0]).max() > 0
    assert not change[0, 1:].any()


def test_sheets_of_some_directions_of_a_file_whose_names_differ_in_case_only(found, tmp_path):
    model, file = found
    sheets = use_files(model.path, tmp_path / "a", parse_latents("4"), file, use={"smile": None, "2": None}, **QUIET)
    assert [sheet.name for sheet in sheets] == ["directions.png", "strengths-0-smile.png", "strengths-2-Smile.png"]
    assert opened(sheets[0])[1]["strengths"] == [-3, -2, -1, 0, 1, 2, 3]
    sheets = use_files(model.path, tmp_path / "b", parse_latents("4"), file, use={"age": None}, **QUIET)
    assert names_in(tmp_path / "b") == ["strengths-age.png"]


def test_random_noise_is_that_of_the_seed_before_and_after(found, tmp_path):
    model, file = found
    for block in model.G.synthesis.children():
        block.conv1.noise_strength.data.fill_(1)
    use_files(model.path, tmp_path / "a", parse_latents("4"), file, use={"age": 0}, noise_mode="random", **QUIET)
    shown = cells(opened(tmp_path / "a" / "grid.png")[0], 1, 2, 16, 16)
    np.testing.assert_array_equal(shown[0, 0], shown[0, 1])


def test_what_was_made_is_replaced_and_nothing_else(found, tmp_path):
    model, file = found
    out = tmp_path / "out"

    def find():
        find_files(model.path, out, parse_latents("0"), "sefa", number=2, samples=100, **QUIET)

    def use():
        use_files(model.path, out, parse_latents("0"), file, use={"age": 1}, **QUIET)

    for step in (find, use, find, use):
        step()
    for name in ("directions.npz", "strengths-sefa01.png", "edited.npz", "grid.png", "seed0000-edited.png", "directions.png"):
        kept = (out / name).read_bytes()
        (out / name).write_bytes(b"mine")
        with pytest.raises(UserError, match=f"{name} .*made by sgtool.* so it is not replaced"):
            find() if name.startswith(("dir", "str")) else use()
        assert (out / name).read_bytes() == b"mine"
        (out / name).write_bytes(kept)
    np.savez(out / "edited.npz", w=np.zeros([1, 6, 16]))
    with pytest.raises(UserError, match=r"edited\.npz was not made by sgtool"):
        use()


def test_directions_of_other_models_are_refused_or_warned_of(found, make_model, tmp_path):
    _, file = found
    with pytest.raises(UserError, match="holds directions of 16 numbers"):
        use_files(make_model("wide.pkl", w_dim=12).path, tmp_path / "o", parse_latents("0"), file, **QUIET)
    warned = []
    talk = {**QUIET, "warn": warned.append}
    use_files(make_model("other.pkl", seed=3).path, tmp_path / "o", parse_latents("0"), file, use={"age": 1}, **talk)
    assert len(warned) == 1
    assert "was found with another model than other.pkl" in warned[0]


def test_a_folder_that_cannot_be_made_is_told(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="--outdir .*file: the folder cannot be created"):
        find_files(model.path, tmp_path / "file", parse_latents("0"), "pca", **QUIET)

"""The sheets: which network, latent and class is in which cell."""

import json

import numpy as np
import pytest
from model_files import related
from PIL import Image

from sgtool import latents, snapshots
from sgtool.errors import UserError
from sgtool.grammar import Seed, parse_latents
from sgtool.latents.blending import blend_files
from sgtool.latents.file import Latents, write_latents
from sgtool.latents.generate import render
from sgtool.networks.blend import are_equal, blend


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture), json.loads(picture.info["sgtool"])


def cells(path, rows, columns, size=(16, 16), gap=0):
    """The pictures of a sheet, `[rows, columns, H, W, C]`: they fill it from the lower right corner."""
    sheet = read(path)[0]
    height, width = size
    return np.stack(
        [
            np.stack([sheet[y : y + height, x : x + width] for x in starts(sheet.shape[1], width, columns, gap)])
            for y in starts(sheet.shape[0], height, rows, gap)
        ]
    )


def starts(whole, side, number, gap):
    return [whole - (number - i) * (side + gap) + gap for i in range(number)]


def pictures(path, seeds, classes=None, **look):
    return np.stack(list(latents.generate(snapshots.load(path).G_ema, seeds, classes, **look)))


def test_preview_shows_each_seed_in_a_in_the_blend_and_in_b(a, b, tmp_path):
    blend_files(a, b, at=8, out=tmp_path / "out.pkl", seeds=[3, 85], gap=2, truncation_psi=0.5)
    shown = cells(tmp_path / "out.png", 2, 3, gap=2)
    for column, path in enumerate((a, tmp_path / "out.pkl", b)):
        np.testing.assert_array_equal(shown[:, column], pictures(path, [3, 85], truncation_psi=0.5))
    recipe = read(tmp_path / "out.png")[1]
    assert recipe["blend"] == snapshots.load(tmp_path / "out.pkl").config["blend"]
    assert recipe["columns"] == ["A", "blend", "B"]
    assert [(row["seed"], row["truncation_psi"]) for row in recipe["rows"]] == [(3, 0.5), (85, 0.5)]


@pytest.mark.parametrize("mapping", ["a", "b"])
@pytest.mark.parametrize("width", [0.0, 2.0])
def test_sweep_shows_a_then_every_cut_then_b(a, b, tmp_path, mapping, width):
    done = blend_files(a, b, sweep=tmp_path / "cuts.png", width=width, mapping=mapping, seeds=[0, 7])
    assert (done.out, done.preview, done.words) == (None, None, "")
    shown, recipe = cells(done.sweep, 2, 5), read(done.sweep)[1]
    assert recipe["columns"] == ["A", "16", "8", "4", "B"]
    np.testing.assert_array_equal(shown[:, 0], pictures(a, [0, 7]))
    np.testing.assert_array_equal(shown[:, 4], pictures(b, [0, 7]))
    for column, at in enumerate((16, 8, 4), start=1):
        blend_files(a, b, at=at, width=width, mapping=mapping, out=tmp_path / "out.pkl", preview=False)
        np.testing.assert_array_equal(shown[:, column], pictures(tmp_path / "out.pkl", [0, 7]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pkl", "b.pkl", "cuts.png", "out.pkl"]


def test_saved_latents_are_the_same_for_all_columns(a, b, tmp_path):
    ws = np.random.default_rng(0).standard_normal([2, 6, 16]).astype(np.float32)
    write_latents(tmp_path / "w.npz", Latents(ws, ["x", "y"], [{}, {}]))
    items = parse_latents(f"{tmp_path / 'w.npz'},3,0.5*1+0.5*2")
    blend_files(a, b, sweep=tmp_path / "cuts.png", seeds=items)
    shown = cells(tmp_path / "cuts.png", 4, 5)
    for column, path in ((0, a), (4, b)):
        expected = list(render(snapshots.load(path).G_ema, ws))
        np.testing.assert_array_equal(shown[:2, column], expected)
        np.testing.assert_array_equal(shown[2, column], pictures(path, [3])[0])


@pytest.mark.parametrize(("channels", "size"), [(1, (16, 24)), (4, (16, 16)), (5, (8, 8))])
def test_pictures_of_any_shape_and_number_of_channels(tmp_path, channels, size):
    a, b = related(tmp_path, img_resolution=list(size), img_channels=channels)
    blend_files(a, b, at=8, out=tmp_path / "out.pkl", sweep=tmp_path / "cuts.png", seeds=[1, 2])
    A, B, made = (snapshots.load(path).G_ema for path in (a, b, tmp_path / "out.pkl"))
    assert are_equal(made, blend(A, B, [0] + [1] * (len(A.synthesis.block_names) - 1)))
    if channels < 5:
        shown = cells(tmp_path / "out.png", 2, 3, size)
        np.testing.assert_array_equal(shown.reshape(2, 3, *size, channels)[:, 1], pictures(tmp_path / "out.pkl", [1, 2]))


def test_classes_are_shown_in_turn_or_as_asked(tmp_path):
    a, b = related(tmp_path, (3, 3))
    seeds = [Seed(number) for number in (5, 6, 7, 8)]
    for label, expected in ((None, [0, 1, 2, 0]), (2, [2] * 4)):
        blend_files(a, b, sweep=tmp_path / "cuts.png", seeds=seeds, label=label)
        shown = cells(tmp_path / "cuts.png", 4, 5)
        for column, path in ((0, a), (4, b)):
            np.testing.assert_array_equal(shown[:, column], pictures(path, [5, 6, 7, 8], expected))
        assert [row["class"] for row in read(tmp_path / "cuts.png")[1]["rows"]] == expected
    with pytest.raises(UserError, match=r"--class 7 does not exist: a.pkl knows the classes 0 to 2"):
        blend_files(a, b, sweep=tmp_path / "cuts.png", label=7)


@pytest.mark.parametrize("mapping", ["a", "b"])
def test_a_model_with_classes_and_one_without_are_each_shown_their_way(tmp_path, mapping):
    a, b = related(tmp_path, (0, 3))
    blend_files(a, b, sweep=tmp_path / "cuts.png", seeds=[5, 6], mapping=mapping)
    shown = cells(tmp_path / "cuts.png", 2, 5)
    np.testing.assert_array_equal(shown[:, 0], pictures(a, [5, 6]))
    np.testing.assert_array_equal(shown[:, 4], pictures(b, [5, 6], [0, 1]))

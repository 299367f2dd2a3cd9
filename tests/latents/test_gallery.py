"""Pictures as files: names, recipes, the sheet, and what is never replaced."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import __version__, latents, snapshots
from sgtool.errors import UserError
from sgtool.latents import gallery, generate_files
from sgtool.networks import build_generator


def write_snapshot(path, c_dim=0, channels=3, class_names=None):
    torch.manual_seed(1)
    G = build_generator(
        z_dim=8,
        c_dim=c_dim,
        w_dim=8,
        img_resolution=[8, 16],
        img_channels=channels,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 64, "channel_max": 8},
    )
    snapshots.save(snapshots.Snapshot(G, dataset={"class_names": class_names}), path)
    return path


@pytest.fixture
def network(tmp_path):
    """A snapshot without labels."""
    return write_snapshot(tmp_path / "network-snapshot-000004.pkl")


@pytest.fixture
def network_of_ten(tmp_path):
    """A snapshot with ten classes that have names."""
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return write_snapshot(tmp_path / "digits.pkl", 10, 1, names)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture), json.loads(picture.info["sgtool"])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_have_nvidias_names_and_the_generators_pixels(network, tmp_path):
    out = tmp_path / "new" / "out"
    assert generate_files(network, out, [85, 3, 12345]) == (3, out / "grid.png")
    assert names_in(out) == ["grid.png", "seed0003.png", "seed0085.png", "seed12345.png"]
    expected = list(latents.generate(snapshots.load(network).G_ema, [85, 3, 12345]))
    np.testing.assert_array_equal(read(out / "seed0085.png")[0], expected[0])
    sheet = read(out / "grid.png")[0]
    assert sheet.shape == (16, 32, 3)
    np.testing.assert_array_equal(sheet[:8, 16:], expected[1])
    np.testing.assert_array_equal(sheet[8:, :16], expected[2])
    assert not sheet[8:, 16:].any()


def test_recipe_tells_how_to_make_the_picture_again(network_of_ten, tmp_path):
    generate_files(network_of_ten, tmp_path / "o", [5], [7], truncation_psi=0.5, truncation_cutoff=3, noise_mode="random")
    pixels, recipe = read(tmp_path / "o" / "seed0005.png")
    assert recipe == {
        "version": __version__,
        "network": "digits.pkl",
        "network_sha256": snapshots.network_hash(network_of_ten),
        "truncation_psi": 0.5,
        "truncation_cutoff": 3,
        "noise_mode": "random",
        "precision": "float32",
        "seed": 5,
        "class": 7,
    }
    look = {key: recipe[key] for key in ("truncation_psi", "truncation_cutoff", "noise_mode")}
    again = next(latents.generate(snapshots.load(network_of_ten).G_ema, [recipe["seed"]], [recipe["class"]], **look))
    np.testing.assert_array_equal(pixels, again[:, :, 0])
    with Image.open(tmp_path / "o" / "seed0005.png") as picture:
        assert picture.info["Software"] == f"sgtool {__version__}"


def test_several_classes_make_a_sheet_of_class_by_seed(network_of_ten, tmp_path):
    number, sheet = generate_files(network_of_ten, tmp_path / "o", [1, 2, 3], [0, 9])
    assert number == 6
    assert names_in(tmp_path / "o") == ["grid.png", *sorted(f"seed000{s}-class{c}.png" for s in (1, 2, 3) for c in (0, 9))]
    pixels, recipe = read(sheet)
    assert pixels.shape == (16, 48)
    np.testing.assert_array_equal(pixels[8:, 32:], read(tmp_path / "o" / "seed0003-class9.png")[0])
    assert (recipe["seeds"], recipe["classes"]) == ("1-3", "0,9")


def test_one_class_keeps_the_plain_names(network_of_ten, tmp_path):
    generate_files(network_of_ten, tmp_path / "o", [1, 2], [4], grid=False)
    assert names_in(tmp_path / "o") == ["seed0001.png", "seed0002.png"]


def test_one_picture_has_no_sheet(network, tmp_path):
    assert generate_files(network, tmp_path / "o", [1]) == (1, None)
    assert names_in(tmp_path / "o") == ["seed0001.png"]


@pytest.mark.parametrize(("columns", "shape"), [(1, (40, 16)), (5, (8, 80)), (99, (8, 80)), (None, (16, 48))])
def test_columns_shape_the_sheet(network, tmp_path, columns, shape):
    generate_files(network, tmp_path / "o", range(5), columns=columns)
    assert read(tmp_path / "o" / "grid.png")[0].shape[:2] == shape


def test_enlarged_pixels_are_blocks_on_the_sheet_only(network, tmp_path):
    generate_files(network, tmp_path / "o", [4, 7], enlarge=3)
    sheet, single = read(tmp_path / "o" / "grid.png")[0], read(tmp_path / "o" / "seed0007.png")[0]
    assert sheet.shape[:2] == (24, 96)
    assert single.shape[:2] == (8, 16)
    np.testing.assert_array_equal(sheet[:, 48:], np.kron(single, np.ones((3, 3, 1), np.uint8)))


def test_a_gap_keeps_pictures_apart_on_the_sheet(network, tmp_path):
    generate_files(network, tmp_path / "o", [4, 7, 9], columns=2, gap=3)
    sheet = read(tmp_path / "o" / "grid.png")[0]
    assert sheet.shape[:2] == (19, 35)
    np.testing.assert_array_equal(sheet[:8, 19:], read(tmp_path / "o" / "seed0007.png")[0])
    np.testing.assert_array_equal(sheet[11:, :16], read(tmp_path / "o" / "seed0009.png")[0])
    assert not sheet[8:11].any()
    assert not sheet[:, 16:19].any()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_files_have_the_networks_own_channels(tmp_path, channels, mode):
    network = write_snapshot(tmp_path / "x.pkl", channels=channels)
    generate_files(network, tmp_path / "o", [0, 1])
    for name in ("seed0000.png", "grid.png"):
        with Image.open(tmp_path / "o" / name) as picture:
            assert picture.mode == mode


def test_too_large_a_sheet_is_left_out_with_a_warning(network, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "SHEET_BYTES", 8 * 16 * 3 * 4)
    warnings = []
    assert generate_files(network, tmp_path / "a", range(4), warn=warnings.append)[1] is not None
    assert generate_files(network, tmp_path / "b", range(5), warn=warnings.append) == (5, None)
    assert warnings == ["5 pictures of 16x8 are too many for one sheet: grid.png is not written."]


def test_own_pictures_are_replaced(network, tmp_path):
    generate_files(network, tmp_path / "o", [0, 1], truncation_psi=0.5)
    generate_files(network, tmp_path / "o", [0, 1], truncation_psi=0.9)
    assert read(tmp_path / "o" / "seed0000.png")[1]["truncation_psi"] == 0.9


@pytest.mark.parametrize("name", ["seed0001.png", "grid.png"])
@pytest.mark.parametrize("kind", ["picture", "text", "folder"])
def test_other_peoples_files_are_never_replaced(network, tmp_path, name, kind):
    out = tmp_path / "o"
    out.mkdir()
    if kind == "picture":
        Image.new("RGB", (3, 3), (1, 2, 3)).save(out / name)
    elif kind == "text":
        (out / name).write_text("my notes")
    else:
        (out / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is no picture made by sgtool, so it is not replaced"):
        generate_files(network, out, [0, 1])
    assert names_in(out) == [name]


def test_class_outside_is_refused_with_the_names(network_of_ten, tmp_path):
    with pytest.raises(UserError, match="--class 12 does not exist: digits.pkl knows the classes 0 to 9 .0 zero, .*9 nine.. G"):
        generate_files(network_of_ten, tmp_path / "o", [0], [3, 12])
    assert names_in(tmp_path / "o") == []


def test_long_lists_of_class_names_are_cut(tmp_path):
    network = write_snapshot(tmp_path / "x.pkl", 50, class_names=[f"kind{i}" for i in range(50)])
    with pytest.raises(UserError, match=r"19 kind19, ...\)"):
        generate_files(network, tmp_path / "o", [0], [50])


def test_class_missing_is_refused(network_of_ten, tmp_path):
    with pytest.raises(UserError, match="--class is missing: .* or --class 0-9 for all"):
        generate_files(network_of_ten, tmp_path / "o", [0])


def test_class_without_use_is_a_warning(network, tmp_path):
    with pytest.warns(UserWarning, match="trained without classes: --class changes nothing"):
        generate_files(network, tmp_path / "o", [0, 1], [3, 4])
    assert names_in(tmp_path / "o") == ["grid.png", "seed0000.png", "seed0001.png"]
    assert read(tmp_path / "o" / "seed0000.png")[1]["class"] is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"truncation_psi": float("nan")}, "--trunc nan"),
        ({"truncation_cutoff": 7}, "--trunc-cutoff 7: the network has 6 layers. Give 0 to 6."),
    ],
)
def test_impossible_truncation_is_refused(network, tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        generate_files(network, tmp_path / "o", [0], **settings)


def test_output_folder_is_checked_before_the_network_is_read(network, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "load", lambda path: pytest.fail("the network was read"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="--outdir .*the folder cannot be created"):
        generate_files(network, tmp_path / "file" / "out", [0])


def test_a_missing_network_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        generate_files(tmp_path / "none.pkl", tmp_path / "o", [0])
    assert not (tmp_path / "o").exists()

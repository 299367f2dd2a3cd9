"""Pictures as files: names, recipes, the sheet, and what is never replaced."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import __version__, latents, snapshots
from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents import gallery, generate_files
from sgtool.latents.file import Latents, read_latents, write_latents
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


def test_memory_does_not_grow_with_the_sheet(network, tmp_path):
    peaks = []
    generate_files(network, tmp_path / "first", range(8))  # imports, caches
    for number in (16, 48):
        tracemalloc.start()
        generate_files(network, tmp_path / f"{number}", range(number), columns=8, enlarge=32)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    sheet = 48 * 8 * 16 * 3 * 32**2  # bytes
    assert peaks[1] - peaks[0] < 1 << 20 < sheet / 10


def test_an_interrupted_sheet_leaves_the_one_before(network, tmp_path, monkeypatch):
    generate_files(network, tmp_path / "o", [0, 1])
    before = (tmp_path / "o" / "grid.png").read_bytes()

    def stopped(*args, **kwargs):
        yield np.zeros([8, 16, 3], np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery, "generate", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate_files(network, tmp_path / "o", [0, 1])
    assert (tmp_path / "o" / "grid.png").read_bytes() == before
    assert names_in(tmp_path / "o") == ["grid.png", "seed0000.png", "seed0001.png"]


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
    with pytest.raises(UserError, match=f"{name} is no .* made by sgtool, so it is not replaced"):
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


def stored(network, path, seeds, names=None, classes=None):
    """Write the latents of seeds as a file."""
    G = snapshots.load(network).G_ema
    with torch.inference_mode():
        labels = latents.one_hot(classes or [None] * len(seeds), G.c_dim)
        ws = G.mapping(latents.latents_of_seeds(seeds, G.z_dim), labels).numpy()
    write_latents(path, Latents(ws, names or [f"w{seed}" for seed in seeds], [{"from": seed} for seed in seeds]))
    return path


def test_saved_latents_seeds_and_mixtures_come_in_the_order_given(network, tmp_path):
    w = stored(network, tmp_path / "w.npz", [5, 6])
    out = tmp_path / "o"
    assert generate_files(network, out, parse_latents(f"9,{w}[1],{w}[0],0.5*5+0.5*{w}[1]"))[0] == 4
    assert names_in(out) == ["grid.png", "seed0005+w6.png", "seed0009.png", "w5.png", "w6.png"]
    generate_files(network, tmp_path / "seeds", [9, 6, 5])
    for ours, plain in (("seed0009", "seed0009"), ("w6", "seed0006"), ("w5", "seed0005")):
        np.testing.assert_array_equal(read(out / f"{ours}.png")[0], read(tmp_path / "seeds" / f"{plain}.png")[0])
    sheet, recipe = read(out / "grid.png")
    np.testing.assert_array_equal(sheet[8:, :16], read(out / "w5.png")[0])
    assert recipe["seeds"] == f"9,{w}[1],{w}[0],0.5*5+0.5*{w}[1]"
    assert [row.get("seed", row.get("row")) for row in recipe["latents"]] == [9, 1, 0, None]
    assert read(out / "w6.png")[1]["made"] == {"from": 6}
    assert "truncation_psi" not in read(out / "w6.png")[1]


def test_latents_of_one_name_get_files_of_their_own(network, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    a, b = (stored(network, tmp_path / f / "w.npz", [i], ["Seed0003"]) for i, f in enumerate("ab"))
    generate_files(network, tmp_path / "o", parse_latents(f"3,{a},{b},3"), grid=False)
    assert names_in(tmp_path / "o") == ["Seed0003-2.png", "Seed0003-3.png", "seed0003.png"]


def test_no_latent_takes_the_name_of_the_sheet(network, tmp_path):
    w = stored(network, tmp_path / "w.npz", [5, 6], ["grid", "GRID"])
    number, sheet = generate_files(network, tmp_path / "o", parse_latents(f"{w},{w}[0]"))
    assert (number, sheet) == (2, tmp_path / "o" / "grid.png")  # the third is the first once more
    assert names_in(tmp_path / "o") == ["GRID-3.png", "grid-2.png", "grid.png"]
    assert read(sheet)[0].shape[:2] == (16, 32)


def test_truncation_is_of_seeds_and_not_of_saved_latents(network, tmp_path):
    w = stored(network, tmp_path / "w.npz", [5])
    generate_files(network, tmp_path / "o", parse_latents(f"5,{w}"), truncation_psi=0)
    generate_files(network, tmp_path / "plain", [5])
    np.testing.assert_array_equal(read(tmp_path / "o" / "w5.png")[0], read(tmp_path / "plain" / "seed0005.png")[0])
    assert read(tmp_path / "o" / "seed0005.png")[1]["truncation_psi"] == 0
    warnings = []
    generate_files(network, tmp_path / "o", parse_latents(f"{w}"), truncation_psi=0.5, warn=warnings.append)
    assert warnings == ["--trunc 0.5 changes nothing: saved latents and projected pictures are not truncated."]


def test_random_noise_belongs_to_the_seed_beside_saved_latents_too(network, tmp_path):
    w = stored(network, tmp_path / "w.npz", [5])
    generate_files(network, tmp_path / "a", parse_latents(f"{w},3"), noise_mode="random")
    generate_files(network, tmp_path / "b", [3], noise_mode="random")
    np.testing.assert_array_equal(read(tmp_path / "a" / "seed0003.png")[0], read(tmp_path / "b" / "seed0003.png")[0])


def test_projected_w_has_nvidias_names_and_needs_no_class(network_of_ten, tmp_path):
    w = stored(network_of_ten, tmp_path / "projected_w.npz", [4, 5], classes=[3, 8])
    warnings = []
    number, sheet = generate_files(network_of_ten, tmp_path / "o", [7], projected_w=w, warn=warnings.append)
    assert (number, names_in(tmp_path / "o")) == (2, ["grid.png", "proj00.png", "proj01.png"])
    assert warnings == ["--seeds is left out, because --projected-w is given."]
    generate_files(network_of_ten, tmp_path / "s", [5], [8])
    np.testing.assert_array_equal(read(tmp_path / "o" / "proj01.png")[0], read(tmp_path / "s" / "seed0005.png")[0])


def test_a_seed_may_have_a_class_of_its_own(network_of_ten, tmp_path):
    generate_files(network_of_ten, tmp_path / "a", parse_latents("1-2@7"))
    generate_files(network_of_ten, tmp_path / "b", [1, 2], [7])
    assert names_in(tmp_path / "a") == ["grid.png", "seed0001-class7.png", "seed0002-class7.png"]
    np.testing.assert_array_equal(read(tmp_path / "a" / "grid.png")[0], read(tmp_path / "b" / "grid.png")[0])


def test_with_several_classes_what_has_one_is_shown_once_after_the_rest(network_of_ten, tmp_path):
    w = stored(network_of_ten, tmp_path / "w.npz", [4], classes=[3])
    number, sheet = generate_files(network_of_ten, tmp_path / "o", parse_latents(f"5@1,{w},6-7,8"), [0, 9])
    assert number == 8
    pixels = read(sheet)[0]
    assert pixels.shape == (24, 48)
    np.testing.assert_array_equal(pixels[8:16, 16:32], read(tmp_path / "o" / "seed0007-class9.png")[0])
    np.testing.assert_array_equal(pixels[16:, :16], read(tmp_path / "o" / "seed0005-class1.png")[0])
    np.testing.assert_array_equal(pixels[16:, 16:32], read(tmp_path / "o" / "w4.png")[0])


@pytest.mark.parametrize(
    ("text", "classes", "words"),
    [
        ("3@10", None, "--class 10 does not exist"),
        ("3,4@1", None, "--class is missing"),
        ("0.5*3+0.5*4", [1, 2], "the seeds of the mixture 0.5.3.0.5.4 need one each. Write them like 3@1."),
        ("none.npz", None, "none.npz is neither a seed nor a file"),
    ],
)
def test_a_list_that_cannot_be_shown_is_refused(network_of_ten, tmp_path, text, classes, words):
    with pytest.raises(UserError, match=words):
        generate_files(network_of_ten, tmp_path / "o", parse_latents(text), classes)


def test_no_seeds_at_all_are_refused(network, tmp_path):
    with pytest.raises(UserError, match="No latents are given"):
        generate_files(network, tmp_path / "o", [])


def test_a_projected_picture_gets_its_name(network, tmp_path, monkeypatch):
    asked = []

    def projected(model, paths, folder, **talk):
        asked.append((paths, folder))
        return read_latents(w)

    w = stored(network, tmp_path / "w.npz", [5], ["face"])
    Image.new("RGB", (16, 8)).save(tmp_path / "face.png")
    monkeypatch.setattr("sgtool.latents.projection.projected", projected)
    generate_files(network, tmp_path / "o", parse_latents(f"3,{tmp_path / 'face.png'}"))
    assert names_in(tmp_path / "o") == ["face.png", "grid.png", "seed0003.png"]
    assert asked == [([str(tmp_path / "face.png")], tmp_path / "o")]

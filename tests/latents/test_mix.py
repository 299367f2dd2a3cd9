"""Style mixing: which layers come from where, NVIDIA's names, several crossovers, memory, and what is refused."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import latents, snapshots
from sgtool.errors import UserError
from sgtool.grammar import parse_latents
from sgtool.latents.file import Latents, write_latents
from sgtool.latents.generate import render
from sgtool.latents.mix import mix_files, mixed
from sgtool.networks import build_generator


def write_snapshot(path, c_dim=0, size=16, channels=3):
    torch.manual_seed(1)
    G = build_generator(
        z_dim=8, c_dim=c_dim, w_dim=8, img_resolution=size, img_channels=channels,
        mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 64, "channel_max": 8},
    )  # fmt: skip
    G.mapping.w_avg.normal_()
    snapshots.save(snapshots.Snapshot(G), path)
    return path


@pytest.fixture
def network(tmp_path, one_thread):
    """A network of 6 layers."""
    return write_snapshot(tmp_path / "x.pkl")


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture), json.loads(picture.info["sgtool"])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def latents_of(network, seeds, classes=None, **look):
    G = snapshots.load(network).G_ema
    with torch.inference_mode():
        labels = latents.one_hot(classes or [None] * len(seeds), G.c_dim)
        return G, G.mapping(latents.latents_of_seeds(seeds, G.z_dim), labels, **look).numpy()


def picture_of(network, row, column, styles, classes=None, **look):
    """The mixed picture by its definition."""
    G, (a, b) = latents_of(network, [row, column], classes, **look)
    w = np.stack([b[i] if i in styles else a[i] for i in range(G.num_ws)])
    return next(render(G, [w]))


def near(a, b):
    assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


@pytest.mark.parametrize("case", ["n0", "n1", "n2", "n3", "n4", "n5"])
def test_reference_data_of_mixed_styles(golden, case):
    with np.load(golden / "networks.npz") as arrays:
        meta = json.loads(str(arrays["meta"]))
        one = {key.removeprefix(f"{case}/"): arrays[key] for key in arrays if key.startswith(f"{case}/")}
    ws, at = one["out/ws"], int(one["in/mix_at"])
    made = mixed(ws, ws[::-1], list(range(at, ws.shape[1])))
    np.testing.assert_array_equal(made, one["out/ws_mix"])
    kwargs = next(entry["G_kwargs"] for entry in meta["cases"] if entry["id"] == case)
    G = build_generator(**kwargs).eval().requires_grad_(False)
    G.load_state_dict({key.removeprefix("G/"): torch.from_numpy(value) for key, value in one.items() if key.startswith("G/")})
    expected = one["out/img_mix_const"]
    expected = np.floor(np.clip(expected * 127.5 + 128, 0, 255)).astype(int).transpose(0, 2, 3, 1)
    pictures = np.stack(list(render(G, made))).astype(int)
    assert np.abs(pictures - expected).max() <= 1


def test_mixing_takes_no_rows_all_rows_or_some_and_leaves_its_inputs_alone():
    a, b = np.random.default_rng(0).standard_normal([2, 6, 4])
    kept = a.copy()
    np.testing.assert_array_equal(mixed(a, b, []), a)
    np.testing.assert_array_equal(mixed(a, b, list(range(6))), b)
    some = mixed(a, b, [1, 4])
    np.testing.assert_array_equal(some[[1, 4]], b[[1, 4]])
    np.testing.assert_array_equal(some[[0, 2, 3, 5]], a[[0, 2, 3, 5]])
    np.testing.assert_array_equal(a, kept)


def test_files_have_nvidias_names_and_pixels(network, tmp_path):
    out = tmp_path / "new" / "o"
    assert mix_files(network, out, [85, 3], [55, 821, 3], [[0, 1]], truncation_psi=0.7) == (9, out / "grid.png")
    sources = ["85-85.png", "3-3.png", "55-55.png", "821-821.png"]
    assert names_in(out) == sorted(
        ["grid.png", *sources, "85-55.png", "85-821.png", "85-3.png", "3-55.png", "3-821.png"]
    )  # fmt: skip
    near(read(out / "85-821.png")[0], picture_of(network, 85, 821, [0, 1], truncation_psi=0.7))
    near(read(out / "3-55.png")[0], picture_of(network, 3, 55, [0, 1], truncation_psi=0.7))
    near(read(out / "85-85.png")[0], picture_of(network, 85, 85, [], truncation_psi=0.7))


def test_the_sheet_has_the_sources_along_its_edges(network, tmp_path):
    out = tmp_path / "o"
    mix_files(network, out, [1, 2], [3, 4, 5], [[2]], gap=2)
    sheet, _ = read(out / "grid.png")
    assert sheet.shape == (3 * 18 - 2, 4 * 18 - 2, 3)
    cells = [[sheet[y * 18 :][:16, x * 18 :][:, :16] for x in range(4)] for y in range(3)]
    assert not cells[0][0].any()
    for x, column in enumerate([3, 4, 5], 1):
        np.testing.assert_array_equal(cells[0][x], read(out / f"{column}-{column}.png")[0])
        for y, row in enumerate([1, 2], 1):
            np.testing.assert_array_equal(cells[y][x], read(out / f"{row}-{column}.png")[0])
            np.testing.assert_array_equal(cells[y][0], read(out / f"{row}-{row}.png")[0])


def test_several_crossovers_lie_below_one_another_with_labels(network, tmp_path):
    out = tmp_path / "o"
    number, sheet = mix_files(network, out, [1], [2, 3], ["coarse", [4, 5], "fine"], enlarge=2, labels=False)
    mixtures = [f"1-{c}-{name}.png" for c in (2, 3) for name in ("coarse", "layers4-5", "fine")]
    assert number == 9
    assert names_in(out) == sorted(
        ["grid.png", "1-1.png", "2-2.png", "3-3.png", *[n.replace("styles", "layers") for n in mixtures]]
    )
    plain, recipe = read(sheet)
    assert recipe["styles"] == ["coarse", "4-5", "fine"]
    assert plain.shape == (6 * 32, 3 * 32, 3)
    np.testing.assert_array_equal(plain[5 * 32 :: 2, 64::2], read(out / "1-3-fine.png")[0])
    near(read(out / "1-3-fine.png")[0], picture_of(network, 1, 3, [3, 4, 5]))
    near(read(out / "1-2-coarse.png")[0], picture_of(network, 1, 2, [0, 1, 2]))
    mix_files(network, out, [1], [2, 3], ["coarse", [4, 5], "fine"], enlarge=2)
    labelled = read(sheet)[0]
    top, left = labelled.shape[0] - plain.shape[0], labelled.shape[1] - plain.shape[1]
    assert min(top, left) > 10
    np.testing.assert_array_equal(labelled[top:, left:], plain)
    for row in range(6):
        assert labelled[top + 32 * row :][:32, :left].any()


def test_labels_may_stand_on_a_sheet_of_one_crossover(network, tmp_path):
    mix_files(network, tmp_path / "o", [1], [2], labels=True)
    assert read(tmp_path / "o" / "grid.png")[0].shape > (48, 48, 3)


def test_the_recipe_tells_how_to_make_the_picture_again(network, tmp_path):
    mix_files(network, tmp_path / "o", [1], [2], [[0, 1, 5]], truncation_psi=0.5, noise_mode="none")
    recipe = read(tmp_path / "o" / "1-2.png")[1]
    look = {"class": None, "truncation_psi": 0.5, "truncation_cutoff": None}
    assert (recipe["row"], recipe["column"], recipe["styles"]) == ({"seed": 1, **look}, {"seed": 2, **look}, "0-1,5")
    assert recipe["network_sha256"] == snapshots.network_hash(network)
    assert recipe["noise_mode"] == "none"
    assert read(tmp_path / "o" / "2-2.png")[1]["seed"] == 2
    whole = read(tmp_path / "o" / "grid.png")[1]
    assert (whole["rows"], whole["columns"], whole["styles"]) == ([recipe["row"]], [recipe["column"]], ["0-1,5"])


def test_nothing_said_is_the_first_half_of_a_small_network(network, tmp_path):
    mix_files(network, tmp_path / "o", [1], [2])
    assert read(tmp_path / "o" / "1-2.png")[1]["styles"] == "0-2"


def test_singles_or_the_sheet_can_be_left_out_but_not_both(network, tmp_path):
    assert mix_files(network, tmp_path / "a", [1], [2], singles=False) == (0, tmp_path / "a" / "grid.png")
    assert names_in(tmp_path / "a") == ["grid.png"]
    assert mix_files(network, tmp_path / "b", [1], [2], grid=False) == (3, None)
    assert names_in(tmp_path / "b") == ["1-1.png", "1-2.png", "2-2.png"]
    with pytest.raises(UserError, match="--no-grid and --no-singles leave nothing to write"):
        mix_files(network, tmp_path / "c", [1], [2], singles=False, grid=False)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [16, [16, 8]])
def test_any_channels_and_shape(tmp_path, channels, size, one_thread):
    network = write_snapshot(tmp_path / "x.pkl", size=size, channels=channels)
    mix_files(network, tmp_path / "o", [1], [2], ["coarse", "fine"] if size == 16 else [[0]])
    assert read(tmp_path / "o" / "grid.png")[0].any()


def test_classes_are_the_commands_or_the_seeds_own(tmp_path, one_thread):
    network = write_snapshot(tmp_path / "x.pkl", c_dim=3)
    mix_files(network, tmp_path / "o", parse_latents("1,1@2"), parse_latents("2"), [[0, 1]], label=0)
    assert names_in(tmp_path / "o") == ["1-class2_1-class2.png", "1-class2_2.png", "1_1.png", "1_2.png", "2_2.png", "grid.png"]
    near(read(tmp_path / "o" / "1-class2_2.png")[0], picture_of(network, 1, 2, [0, 1], [2, 0]))
    with pytest.raises(UserError, match="--class is missing"):
        mix_files(network, tmp_path / "o", [1], [2])


def test_saved_latents_mix_with_seeds_and_no_two_files_have_one_name(network, tmp_path):
    _, ws = latents_of(network, [7, 8, 9])
    names = ["85", "a-b", "a_b"]
    write_latents(tmp_path / "w.npz", Latents(ws, names, [{}, {}, {}]))
    items = parse_latents(f"85,{tmp_path}/w.npz")
    number, _ = mix_files(network, tmp_path / "o", items, items, [[0]])
    assert number == 16  # a latent mixed with itself is its source
    unique = ["85", "85-2", *names[1:]]
    assert names_in(tmp_path / "o") == sorted(["grid.png", *(f"{row}+{column}.png" for row in unique for column in unique)])
    near(read(tmp_path / "o" / "85+a-b.png")[0], picture_of(network, 85, 8, [0]))


def test_a_source_and_a_mixture_never_have_one_name(network, tmp_path):
    _, ws = latents_of(network, [7, 8])
    write_latents(tmp_path / "w.npz", Latents(ws, ["b-coarse", "b"], [{}, {}]))
    rows, columns = (parse_latents(f"{tmp_path}/w.npz[{row}]") for row in (0, 1))
    assert mix_files(network, tmp_path / "o", rows, columns, ["coarse", [5]], grid=False)[0] == 4
    mixtures = ["b-coarse_b_coarse.png", "b-coarse_b_layers5.png"]
    assert names_in(tmp_path / "o") == sorted([*mixtures, "b-coarse_b-coarse.png", "b_b.png"])


@pytest.mark.parametrize("styles", [[[0]], [[0], [1]]])
def test_files_are_counted_and_not_repetitions(network, tmp_path, styles):
    number, _ = mix_files(network, tmp_path / "o", [1, 1, 2], [2, 2], styles, grid=False)
    assert number == len(names_in(tmp_path / "o"))


def test_the_batch_does_not_change_a_picture(network, tmp_path):
    for batch in (1, 5):
        mix_files(network, tmp_path / f"{batch}", [1, 2], [3, 4], batch=batch)
    near(read(tmp_path / "1" / "grid.png")[0], read(tmp_path / "5" / "grid.png")[0])


def test_random_noise_belongs_to_the_row(network, tmp_path):
    for name, rows, columns in (("a", [1, 2], [3, 4]), ("b", [2], [4])):
        mix_files(network, tmp_path / name, rows, columns, noise_mode="random")
    latents.generate_files(network, tmp_path / "c", [2], noise_mode="random")
    np.testing.assert_array_equal(read(tmp_path / "a" / "2-4.png")[0], read(tmp_path / "b" / "2-4.png")[0])
    np.testing.assert_array_equal(read(tmp_path / "a" / "2-2.png")[0], read(tmp_path / "c" / "seed0002.png")[0])


def test_memory_does_not_grow_with_the_sheet(tmp_path, one_thread):
    network = write_snapshot(tmp_path / "x.pkl", size=8)
    mix_files(network, tmp_path / "first", [1], [2], singles=False)
    peaks = []
    for rows in (3, 30):
        tracemalloc.start()
        mix_files(network, tmp_path / f"{rows}", range(rows), range(10), singles=False, enlarge=32)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    sheet = 31 * 11 * 8 * 8 * 3 * 32**2  # bytes
    assert peaks[1] - peaks[0] < 1 << 20 < sheet / 10


@pytest.mark.parametrize("name", ["grid.png", "1-1.png", "1-2.png", "2-2.png"])
def test_other_peoples_files_are_never_replaced(network, tmp_path, name):
    out = tmp_path / "o"
    out.mkdir()
    Image.new("RGB", (3, 3)).save(out / name)
    with pytest.raises(UserError, match=f"{name} is no picture made by sgtool, so it is not replaced"):
        mix_files(network, out, [1], [2])
    assert names_in(out) == [name]


def test_own_files_are_replaced(network, tmp_path):
    for psi in (0.5, 0.9):
        mix_files(network, tmp_path / "o", [1], [2], truncation_psi=psi)
    assert read(tmp_path / "o" / "1-2.png")[1]["row"]["truncation_psi"] == 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"styles": [[0, 6]]}, "--styles 6 does not exist: the network has the layers 0 to 5"),
        ({"truncation_psi": 99}, "--trunc 99 is not a number to work with"),
        ({"truncation_cutoff": 7}, "--trunc-cutoff 7: the network has 6 layers"),
        ({"rows": []}, "No latents are given"),
        ({"columns": []}, "No latents are given"),
        ({"columns": parse_latents("none.npz")}, "none.npz is neither a seed nor a file"),
    ],
)
def test_what_cannot_be_mixed_is_refused_and_writes_nothing(network, tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        mix_files(network, tmp_path / "o", **{"rows": [1], "columns": [2], **settings})
    assert not (tmp_path / "o").exists() or names_in(tmp_path / "o") == []


def test_a_warning_is_given_once_although_rows_and_columns_are_looked_up_apart(network, tmp_path):
    warnings = []
    mix_files(network, tmp_path / "o", [1], [2], label=3, warn=warnings.append)
    assert warnings == ["x.pkl was trained without classes: --class changes nothing."]


def test_truncation_without_a_seed_is_a_warning(network, tmp_path):
    np.savez(tmp_path / "w.npz", w=latents_of(network, [7])[1])
    saved = parse_latents(f"{tmp_path}/w.npz")
    warnings = []
    mix_files(network, tmp_path / "o", saved, [2], truncation_psi=0.5, warn=warnings.append)
    assert warnings == []
    mix_files(network, tmp_path / "o", saved, saved, truncation_psi=0.5, warn=warnings.append)
    assert warnings == ["--trunc 0.5 changes nothing: saved latents and projected pictures are not truncated."]


def test_a_missing_network_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        mix_files(tmp_path / "none.pkl", tmp_path / "o", [1], [2])
    assert not (tmp_path / "o").exists()

"""The file of latents: what is written is read, NVIDIA's too, and nothing hostile does more than be refused."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.errors import UserError
from sgtool.latents.file import LONGEST_NAME, Latents, joined, read_latents, unique_names, write_latents


def some(number=3, num_ws=6, w_dim=8, seed=0):
    return np.random.default_rng(seed).standard_normal([number, num_ws, w_dim]).astype(np.float32)


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def write_zip(path, members, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def with_recipe(path, recipe, number=1):
    text = recipe if isinstance(recipe, str) else json.dumps(recipe)
    np.savez(path, w=some(number), recipe=np.array(text))
    return path


def test_what_is_written_is_read(tmp_path):
    latents = Latents(some(), ["a", "b", "c"], [{"seed": 1}, {}, {"x": [1, 2]}], "f" * 64)
    write_latents(tmp_path / "w.npz", latents, {"psi": 0.5})
    again = read_latents(tmp_path / "w.npz")
    np.testing.assert_array_equal(again.ws, latents.ws)
    assert again.names == ["a", "b", "c"]
    assert again.network_sha256 == "f" * 64
    assert [row.get("made") for row in again.recipes] == [{"seed": 1}, None, {"x": [1, 2]}]
    assert [(row["file"], row["row"]) for row in again.recipes] == [("w.npz", 0), ("w.npz", 1), ("w.npz", 2)]


def test_nvidias_programs_can_read_it(tmp_path):
    write_latents(tmp_path / "w.npz", Latents(some(), ["a", "b", "c"], [{}] * 3))
    with np.load(tmp_path / "w.npz") as arrays:  # without pickles
        assert arrays["w"].dtype == np.float32
        assert json.loads(str(arrays["recipe"]))["names"] == ["a", "b", "c"]


def test_a_file_of_nvidias_projector_is_read(tmp_path):
    np.savez(tmp_path / "projected_w.npz", w=some(1))
    latents = read_latents(tmp_path / "projected_w.npz")
    assert (latents.names, latents.network_sha256, len(latents)) == (["projected_w"], None, 1)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i2", "u1"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_any_real_type_is_read_as_float32(tmp_path, dtype, write):
    ws = (some() * 10).astype(dtype)
    write(tmp_path / "w.npz", w=np.asfortranarray(ws))
    read = read_latents(tmp_path / "w.npz").ws
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, ws.astype(np.float32))


def test_one_latent_may_lack_its_first_axis(tmp_path):
    np.savez(tmp_path / "w.npz", w=some()[0])
    assert read_latents(tmp_path / "w.npz").ws.shape == (1, 6, 8)


def test_rows_without_names_are_told_apart_by_number(tmp_path):
    np.savez(tmp_path / "w.npz", w=some(2))
    assert read_latents(tmp_path / "w.npz").names == ["w-0000", "w-0001"]


def test_rows_and_joining_keep_names_and_recipes_with_their_latents():
    latents = Latents(some(), ["a", "b", "c"], [{"seed": 1}, {"seed": 2}, {"file": "x"}], "0")
    chosen = latents.rows([2, 0, 2])
    assert (chosen.names, [chosen.noise_seed(i) for i in range(3)]) == (["c", "a", "c"], [0, 1, 0])
    np.testing.assert_array_equal(chosen.ws[1], latents.ws[0])
    both = joined([latents, chosen])
    assert both.names == ["a", "b", "c", "c", "a", "c"]
    np.testing.assert_array_equal(both.ws[4], latents.ws[0])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros([0, 6, 8]), "latents are"),
        (np.zeros(8), "latents are"),
        (np.zeros([1, 2, 3, 4]), "latents are"),
        (np.zeros([2, 6, 8], complex), "latents are"),
        (np.zeros([2, 6, 8], bool), "latents are"),
        (np.full([2, 6, 8], "x"), "latents are"),
        (np.zeros([2, 6, 8], "M8[s]"), "latents are"),
        (np.zeros([2, 6], "f4,f4"), "cannot be read|latents are"),
        (np.full([2, 6, 8], np.nan), "not finite"),
        (np.full([2, 6, 8], -np.inf), "not finite"),
        (np.full([2, 6, 8], 1e300), "not finite"),
    ],
)
def test_arrays_that_are_no_latents_are_refused(tmp_path, array, words):
    np.savez(tmp_path / "w.npz", w=array)
    with pytest.raises(UserError, match=words) as caught:
        read_latents(tmp_path / "w.npz")
    assert str(tmp_path / "w.npz") in caught.value.message


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["w", "recipe"])
def test_pickles_are_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    arrays = {"w": npy(some()), name: npy(np.array([Trap()], object), allow_pickle=True)}
    write_zip("objects.npz", {f"{key}.npy": data for key, data in arrays.items()})
    write_zip("bare.npz", {"w.npy": npy(some()), f"{name}.npy": pickle.dumps(Trap())})
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Trap()))
    for path in ("objects.npz", "bare.npz", "pickle.npz"):
        with pytest.raises(UserError, match="cannot be read as a file of latents"):
            read_latents(path)
    assert not (tmp_path / "sprung").exists()


def test_shapes_that_the_file_does_not_hold_allocate_nothing(tmp_path):
    head = npy(some(1))[:128].replace(b"(1, 6, 8)", b"(9999999999, 6, 8)"[:9])
    huge = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 512, 512), }".ljust(117)
        + b"\n"
    )
    for name, data in {"a": huge, "b": huge + b"\0" * 1000, "c": head}.items():
        write_zip(tmp_path / f"{name}.npz", {"w.npy": data})
        tracemalloc.start()
        with pytest.raises(UserError, match="cannot be read as a file of latents"):
            read_latents(tmp_path / f"{name}.npz")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


def test_a_member_that_claims_gigabytes_is_refused_unread(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "w.npz", {"w.npy": npy(np.zeros([40, 512, 512], np.float32))}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20 < 40 * 512 * 512 * 4
    monkeypatch.setattr("sgtool.latents.file.MOST_BYTES", 1 << 20)
    tracemalloc.start()
    with pytest.raises(UserError, match="w.npy is 0.0 GB, more than latents take"):
        read_latents(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_recipe_that_claims_more_than_words_can_take_is_refused_unread(tmp_path, monkeypatch):
    recipe = np.array(json.dumps({"names": ["a" * 1000]}))
    path = write_zip(tmp_path / "w.npz", {"w.npy": npy(np.zeros([1, 4, 8], np.float32)), "recipe.npy": npy(recipe)})
    assert len(read_latents(path)) == 1
    monkeypatch.setattr("sgtool.latents.npz.MOST_WORDS", 2000)
    with pytest.raises(UserError, match="recipe.npy is 0.0 GB, more than latents take"):
        read_latents(path)


@pytest.mark.parametrize("kind", ["text", "empty", "folder", "nothing", "zip", "pipe", "locked member"])
def test_what_is_no_file_of_latents_is_refused(tmp_path, kind):
    path = tmp_path / "w.npz"
    if kind in ("text", "empty"):
        path.write_text("The quick brown fox" * (kind == "text"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "zip":
        write_zip(path, {"readme.txt": b"hello"})
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "locked member":
        data = bytearray(write_zip(path, {"w.npy": npy(some())}).read_bytes())
        data[6] |= 1  # the bit of encryption, in both headers
        data[data.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(data)
    with pytest.raises(UserError, match="w.npz (does not exist|cannot be read|has no array `w`)"):
        read_latents(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("f")
    write_latents(folder / "w.npz", Latents(some(2, 2, 4), ["a", "b"], [{"seed": 1}, {}], "0"))
    whole = bytearray((folder / "w.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(whole)] * 3 + [data.draw(st.integers(0, len(whole)))]))
    (folder / "w.npz").write_bytes(whole[:cut])
    try:
        latents = read_latents(folder / "w.npz")
    except UserError:
        return
    assert np.isfinite(latents.ws).all()
    assert len(latents.names) == len(latents.recipes) == len(latents.ws)


@pytest.mark.parametrize(
    "recipe",
    ["", "no json", "[1, 2]", "null", "NaN", "3", "[" * 100_000, '{"a":' * 100_000,
     '{"rows": [' + '{"a":' * 300 + "1" + "}" * 300 + "]}", '{"a": ' + "9" * 5000 + "}"],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_recipe_is_told(tmp_path, recipe):
    with pytest.raises(UserError, match="its recipe is damaged"):
        read_latents(with_recipe(tmp_path / "w.npz", recipe))


@pytest.mark.parametrize("array", [np.zeros(3), np.array(["{}", "{}"]), np.array(b"{}")])
def test_a_recipe_that_is_no_text_is_told(tmp_path, array):
    np.savez(tmp_path / "w.npz", w=some(1), recipe=array)
    with pytest.raises(UserError, match="its recipe is damaged"):
        read_latents(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"names": "abc", "rows": 7, "network_sha256": 5},
        {"names": ["a", "b"], "rows": [{}, {}]},
        {"names": [3], "rows": [None]},
        {"names": [""], "rows": [[]]},
    ],
)
def test_parts_of_a_recipe_that_are_of_no_use_are_left_out(tmp_path, recipe):
    latents = read_latents(with_recipe(tmp_path / "w.npz", recipe))
    assert (latents.names, latents.recipes, latents.network_sha256) == (["w"], [{"file": "w.npz", "row": 0}], None)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "w"),
        (".hidden", "hidden"),
        ("/root/x", "_root_x"),
        ("a\\b:c\0d\n", "a_b_c_d_"),
        ("\ud800", "_"),
        ("日本", "日本"),
        ("x" * 500, "x" * LONGEST_NAME),
        ("é" * 500, "é" * (LONGEST_NAME // 2)),
    ],
)
def test_names_are_safe_as_names_of_files(tmp_path, name, plain):
    assert read_latents(with_recipe(tmp_path / "w.npz", {"names": [name]})).names == [plain]


def test_equal_names_are_told_apart_unless_the_latents_are_equal():
    names, recipes = ["a", "A", "a", "b", "a-2", "a"], [{}, {}, {"x": 1}, {}, {}, {}]
    assert unique_names(names, recipes) == ["a", "A-2", "a-3", "b", "a-2-2", "a"]


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "a-2", "b"]), st.integers(0, 3)), max_size=12))
def test_names_are_equal_exactly_where_latents_are(pairs):
    keys = [(name, number) for name, number in pairs]
    unique = unique_names([name for name, _ in keys], [{"n": number} for _, number in keys])
    assert len({name.casefold() for name in unique}) == len(set(keys)) == len(set(zip(keys, unique, strict=True)))

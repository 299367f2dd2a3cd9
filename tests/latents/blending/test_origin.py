"""What a blend says of its models, and how they are related."""

import pytest
from model_files import models, related, write

from sgtool import snapshots
from sgtool.latents.blending import blend_files
from sgtool.latents.blending.origin import in_words
from sgtool.networks.blend import are_equal, blend
from sgtool.snapshots.inspect import inspect
from sgtool.snapshots.inspect_text import lines


def test_the_snapshot_is_the_blend_and_says_where_it_comes_from(a, b, tmp_path):
    done = blend_files(a, b, at=8, out=tmp_path / "out.pkl")
    assert (done.out, done.preview, done.sweep) == (tmp_path / "out.pkl", tmp_path / "out.png", None)
    assert done.words == "4 of A, 8 to 16 of B"
    A, B, made = (snapshots.load(path) for path in (a, b, done.out))
    assert are_equal(made.G_ema, blend(A.G_ema, B.G_ema, [0, 1, 1]))
    assert (made.G, made.nimg, made.augment_p) == (None, 0, 0.0)
    told = made.config["blend"]
    hashes = snapshots.network_hash(a), snapshots.network_hash(b)
    assert (told["a"], told["a_sha256"], told["b"], told["b_sha256"]) == ("a.pkl", hashes[0], "b.pkl", hashes[1])
    assert (told["at"], told["width"], told["weights"], told["mapping"]) == (8, 0.0, [0.0, 1.0, 1.0], "a")
    assert told["ancestors"] == sorted(hashes)
    assert 0.8 < told["correlation"] < 1


def test_inspect_tells_both_models(a, b, tmp_path):
    blend_files(a, b, at=8, out=tmp_path / "out.pkl", preview=False)
    shown = " ".join(" ".join(lines(inspect(tmp_path / "out.pkl"))).split())
    assert f"a a.pkl, a_sha256 {snapshots.network_hash(a)}" in shown
    for words in ("blend version ", "b b.pkl", "at 8", "weights [0.0, 1.0, 1.0]"):
        assert words in shown
    assert "options" not in shown


def test_discriminator_and_class_names_come_with_the_mapping_network(tmp_path):
    a, b = related(tmp_path, (0, 3))
    for mapping, path in (("a", a), ("b", b)):
        blend_files(a, b, at=8, mapping=mapping, out=tmp_path / "out.pkl", preview=False)
        made, source = snapshots.load(tmp_path / "out.pkl"), snapshots.load(path)
        assert are_equal(made.D, source.D)
        assert made.G_ema.c_dim == source.G_ema.c_dim
        assert made.dataset.get("class_names") == source.dataset["class_names"]


def test_related_models_are_recognised_by_their_files_and_by_what_they_learned(a, b, tmp_path):
    said, warned = [], []
    tell = {"say": said.append, "warn": warned.append, "sweep": tmp_path / "cuts.png", "seeds": [0]}
    other = write(*models(tmp_path / "other.pkl", learned=[(1, 0.5), (3, 0.1)]))
    for pair in ((a, b), (b, a), (a, other)):
        blend_files(*pair, **tell)
    assert [line.partition(":")[0] for line in said] == ["B comes from A", "A comes from B", "A and B are related"]
    assert "what their layers have learned correlates 0.9" in said[0]
    assert warned == []


def test_a_blend_remembers_the_models_of_its_models(a, b, stranger, tmp_path):
    blend_files(a, b, at=8, out=tmp_path / "first.pkl", preview=False)
    blend_files(tmp_path / "first.pkl", b, at=16, out=tmp_path / "second.pkl", preview=False)
    said = []
    blend_files(a, tmp_path / "second.pkl", sweep=tmp_path / "cuts.png", seeds=[0], say=said.append)
    assert said[0].startswith("B comes from A: ")
    ancestors = snapshots.load(tmp_path / "second.pkl").config["blend"]["ancestors"]
    assert ancestors == sorted(map(snapshots.network_hash, (a, b, tmp_path / "first.pkl")))


def test_models_trained_apart_are_blended_with_a_warning(a, stranger, tmp_path):
    said, warned = [], []
    blend_files(a, stranger, at=8, out=tmp_path / "out.pkl", say=said.append, warn=warned.append, preview=False)
    assert said[0].startswith("A and B are unrelated: ")
    assert warned[0].startswith("The layers of A and B have nothing in common")
    assert (tmp_path / "out.pkl").exists()


def test_odd_provenance_in_a_file_is_no_reason_to_fail(a, tmp_path):
    config = {"source": "x", "blend": {"ancestors": [1, None, "abc"], "a": []}}
    odd = write(*models(tmp_path / "odd.pkl", learned=[(1, 0.5), (2, 0.1)]), **config)
    blend_files(a, odd, at=8, out=tmp_path / "out.pkl", preview=False)
    hashes = [snapshots.network_hash(path) for path in (a, odd)]
    assert snapshots.load(tmp_path / "out.pkl").config["blend"]["ancestors"] == sorted([*hashes, "abc"])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0, 0, 0], "4 to 16 of A"),
        ([0, 0.25, 1], "4 of A, 8 with 25 % of B, 16 of B"),
        ([0, 0, 1, 1, 0.5, 0.5], "layer 0 to 1 of A, layer 2 to 3 of B, layer 4 to 5 with 50 % of B"),
    ],
)
def test_whose_is_what_in_words(a, weights, words):
    assert in_words(weights, snapshots.load(a).G_ema) == words

"""The grammar of latents: what each list means, what is told about the rest, and that what is written is read again."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sgtool import grammar
from sgtool.grammar import Mixture, Picture, Seed, Stored, latents_text, parse_latents


def seeds(*numbers):
    return [Seed(number) for number in numbers]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("85", seeds(85)),
        ("0-3,7", seeds(0, 1, 2, 3, 7)),
        (" 7 , 0-1 ", seeds(7, 0, 1)),
        ("1,1", seeds(1, 1)),
        ("007", seeds(7)),
        ("4294967295", seeds(2**32 - 1)),
        ("3@5", [Seed(3, 5)]),
        ("3-4@5,6", [Seed(3, 5), Seed(4, 5), Seed(6)]),
        ("w.npz", [Stored("w.npz")]),
        ("W.NPZ", [Stored("W.NPZ")]),
        ("w.npz[0]", [Stored("w.npz", (0,))]),
        ("w.npz[2,0-1],3", [Stored("w.npz", (2, 0, 1)), Seed(3)]),
        ("w.npz[ 1 , 2 ]", [Stored("w.npz", (1, 2))]),
        ("a/b c.png", [Picture("a/b c.png")]),
        ("a[1].png,3", [Picture("a[1].png"), Seed(3)]),
        ("a[1,2", [Picture("a[1"), Seed(2)]),
        ('"a,b.png",3', [Picture("a,b.png"), Seed(3)]),
        ('"a,b.npz[0,2]"', [Stored("a,b.npz", (0, 2))]),
        ('"say ""cheese"".png"', [Picture('say "cheese".png')]),
        ('" spaces .png "', [Picture(" spaces .png ")]),
        ('5" wide.png', [Picture('5" wide.png')]),
        ("0.7*3+0.3*w.npz", [Mixture((0.7, 0.3), (Seed(3), Stored("w.npz")))]),
        ("3+4+5+6", [Mixture((0.25,) * 4, tuple(seeds(3, 4, 5, 6)))]),
        ("1*3+3*4", [Mixture((0.25, 0.75), (Seed(3), Seed(4)))]),
        ("1.5*3+-.5*4", [Mixture((1.5, -0.5), (Seed(3), Seed(4)))]),
        ("1*3@2+1*w.npz[4]", [Mixture((0.5, 0.5), (Seed(3, 2), Stored("w.npz", (4,))))]),
        ("2*3", [Mixture((1.0,), (Seed(3),))]),
        ("٣", [Picture("٣")]),  # a digit, but not one of ours
        ("３", [Picture("３")]),
    ],
)
def test_a_list_means_this(text, items):
    assert parse_latents(text) == items


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty. Write seeds like 0-3,7"),
        (" \n", "it is empty"),
        ("1,,2", "nothing between two commas"),
        ("1,", "nothing between two commas"),
        (",", "nothing between two commas"),
        ("1-", "'1-' names no latent"),
        ("-1", "names no latent"),
        ("1-2-3", "names no latent"),
        ("3@", "names no latent"),
        ("@", "names no latent"),
        ("1 2", "names no latent"),
        ("9" * 5000, "names no latent"),
        ("7-3", "the range 7-3 runs backwards. Write 3-7."),
        ("4294967296", "too large; it goes from 0 to 4294967295"),
        ("0-4294967295", "more than a million"),
        ("w.npz[]", None),
        ("w.npz[-1]", "rows are numbers and ranges"),
        ("w.npz[1-]", "rows are numbers and ranges"),
        ("w.npz[3-1]", "the range 3-1 runs backwards"),
        ("w.npz[9999999]", "too large; it goes from 0 to 1000000"),
        ("0.5*3+", "is no mixture"),
        ("+", "is no mixture"),
        ("*3", "is no mixture"),
        ("0.5**3", "is no mixture"),
        ("0.5*3*4", "is no mixture"),
        ("0.5*0-3", "is no mixture"),
        ("x*3", "is no mixture"),
        ("nan*3+1*4", "is no mixture"),
        ("٣*3", "is no mixture"),
        ("1*3+-1*4", "add up to 0"),
        ("0*3", "add up to 0"),
        ("1e999*3+1*4", "too large to add"),
        ("1" * 51 + "*3", "is no mixture"),
    ],
)
def test_what_names_no_latent_is_told(text, words):
    if words is None:
        assert parse_latents(text) == [Picture(text)]  # which is no file, so that `gather` refuses it
        return
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_latents(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["0-9,0-9,0", "w.npz[0-9,0-9,0]", "0.5*w.npz[0-9,0-9,0]"])
def test_more_than_a_million_are_refused(monkeypatch, text):
    monkeypatch.setattr(grammar, "MOST", 20)
    with pytest.raises(ValueError, match="more than a million (latents|rows)"):
        parse_latents(text)


def test_the_name_of_a_file_is_that_file_whatever_signs_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a+b.png", "0.5*3.npz", "w.npz[0]", "x,y.png", "1 + 1.png"):
        (tmp_path / name).write_text("")
        kind = Stored if name == "0.5*3.npz" else Picture
        assert parse_latents(name) == [kind(name)]
    assert parse_latents("a+b.png,3") == [Picture("a+b.png"), Seed(3)]


def test_seeds_stay_seeds_where_a_file_has_their_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("85", "0-3", "1,2", "3@1"):
        (tmp_path / name).write_text("")
    assert parse_latents("85,0-1,3@1") == [*seeds(85, 0, 1), Seed(3, 1)]
    assert parse_latents("1,2") == seeds(1, 2)
    assert parse_latents("./85") == [Picture("./85")]


numbers = st.integers(0, 2**32 - 1)
seed_items = st.builds(Seed, numbers, st.none() | st.integers(0, 999))
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12).map("p/{}q".format)
rows = st.none() | st.lists(st.integers(0, 1_000_000), min_size=1, max_size=4).map(tuple)
stored_items = st.builds(Stored, paths.map("{}.npz".format), rows)
picture_items = paths.filter(lambda path: not set("+*") & set(path)).map(Picture)
plain_items = stored_items.filter(lambda item: not set("+*") & set(item.path))
simple = seed_items | plain_items | picture_items


@given(st.lists(simple, min_size=1, max_size=8))
def test_what_is_written_is_read_again(items):
    assert parse_latents(latents_text(items)) == items


weights = st.integers(-(10**9), 10**9).map(lambda number: number / 1000)


@given(st.lists(st.tuples(weights, seed_items | st.just(Stored("w.npz", (2,)))), min_size=1, max_size=5))
def test_mixtures_are_written_as_they_are_read(terms):
    assume(abs(sum(weight for weight, _ in terms)) > 1)
    (mixture,) = parse_latents("+".join(f"{weight:.3f}*{part}" for weight, part in terms))
    assert mixture.weights == pytest.approx([weight / sum(weight for weight, _ in terms) for weight, _ in terms])
    assert mixture.parts == tuple(part for _, part in terms)
    assert parse_latents(latents_text([mixture])) == [mixture]


@given(st.text(max_size=20) | st.text("0123456789-,@[]\"'.npz*+ e", max_size=25))
def test_any_text_is_latents_or_one_sentence_and_what_is_read_can_be_written(text):
    try:
        items = parse_latents(text)
    except ValueError as error:
        told = str(error)
    else:
        told = "nothing to tell"
        assert parse_latents(latents_text(items)) == items
    assert 10 < len(told) < 300


def test_runs_of_seeds_are_written_short():
    assert latents_text([*seeds(0, 1, 2, 3, 7), Seed(8, 1), Seed(9), Stored("w.npz", (0, 2))]) == "0-3,7,8@1,9,w.npz[0,2]"
    assert latents_text(seeds(7, 3, 2)) == "7,3,2"
    assert latents_text([Picture("a,b.png")]) == '"a,b.png"'

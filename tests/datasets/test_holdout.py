from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.datasets.holdout import choose_holdout, parse_holdout
from sgtool.errors import UserError


def names_of(number, prefix="p"):
    return [f"{prefix}{i:05d}.png" for i in range(number)]


def test_a_share_and_a_number_are_read():
    assert parse_holdout("5%").share == 0.05
    assert parse_holdout(" 2.5 % ").share == 0.025
    assert parse_holdout("5%").number is None
    assert parse_holdout("200").number == 200


@pytest.mark.parametrize("text", ["", "0", "0%", "100%", "-5%", "0.05", "five", "5 percent", "1e2", "nan%"])
def test_what_is_neither_is_an_error_that_says_how_to_write_it(text):
    with pytest.raises(UserError, match="--holdout .*: give a share of the pictures between 0% and 100%, like 5%"):
        parse_holdout(text)


@pytest.mark.parametrize(("text", "expected"), [("5%", 50), ("33.3%", 333), ("7", 7), ("999", 999)])
def test_as_many_are_held_out_as_asked_for(text, expected):
    names = names_of(1000)
    chosen = choose_holdout(names, parse_holdout(text))
    assert len(chosen) == expected
    assert chosen < set(names)


def test_the_choice_depends_on_the_names_and_neither_on_their_order_nor_on_the_run():
    names = names_of(300)
    chosen = choose_holdout(names, parse_holdout("10%"))
    shuffled = Random(0).sample(names, 300)
    assert choose_holdout(shuffled, parse_holdout("10%")) == chosen
    assert choose_holdout(names_of(20), parse_holdout("3")) == {"p00010.png", "p00011.png", "p00019.png"}  # as first released


def test_the_choice_is_spread_over_the_whole_list():
    chosen = choose_holdout(names_of(4000), parse_holdout("10%"))
    quarters = Counter(int(name[1:6]) // 1000 for name in chosen)
    assert all(70 <= quarters[i] <= 130 for i in range(4))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(20, 400), st.integers(1, 40), st.sampled_from(["5%", "20%", "50%", "10"]))
def test_adding_pictures_changes_the_side_of_no_more_than_were_added(number, added, text):
    names, new = names_of(number), names_of(added, "new")
    before = choose_holdout(names, parse_holdout(text))
    after = choose_holdout(names + new, parse_holdout(text))
    assert len(before ^ (after - set(new))) <= added


def test_adding_to_one_class_leaves_the_others_alone():
    names, new = names_of(200), names_of(57, "new")
    labels = {name: i % 4 for i, name in enumerate(names)}
    before = choose_holdout(names, parse_holdout("10%"), labels)
    after = choose_holdout(names + new, parse_holdout("10%"), labels | dict.fromkeys(new, 2))
    assert {name for name in before if labels[name] != 2} == {name for name in after if labels.get(name, 2) != 2}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from(["10%", "30%", "10", "25"]))
def test_adding_pictures_to_any_classes_moves_few_others(seed, text):
    random = Random(seed)
    names, new = names_of(random.randint(60, 300)), names_of(random.randint(1, 30), "new")
    labels = {name: random.randrange(5) for name in names}
    before = choose_holdout(names, parse_holdout(text), labels)
    after = choose_holdout(names + new, parse_holdout(text), labels | {name: random.randrange(5) for name in new})
    assert len(before ^ (after - set(new))) <= len(new) * (1 if "%" in text else 2)


@pytest.mark.parametrize("text", ["10%", "120"])
def test_each_class_gives_its_share(text):
    names = names_of(1200)
    labels = {name: 0 if i < 800 else 1 if i < 1100 else 2 for i, name in enumerate(names)}
    chosen = choose_holdout(names, parse_holdout(text), labels)
    counts = Counter(labels[name] for name in chosen)
    assert sum(counts.values()) == 120
    assert all(abs(counts[label] - size / 10) <= 1 for label, size in {0: 800, 1: 300, 2: 100}.items())


def test_many_small_classes_give_their_share_together():
    names = names_of(3000)
    labels = {name: i // 3 for i, name in enumerate(names)}
    chosen = choose_holdout(names, parse_holdout("10%"), labels)
    assert 250 <= len(chosen) <= 350
    assert max(Counter(labels[name] for name in chosen).values()) == 1


def test_vectors_are_no_classes():
    names = names_of(100)
    vectors = {name: (float(i), 1.0) for i, name in enumerate(names)}
    assert choose_holdout(names, parse_holdout("10%"), vectors) == choose_holdout(names, parse_holdout("10%"))


# -- what stays together


def test_frames_tiles_and_faces_of_a_file_stay_on_one_side():
    names = [f"clip{i}.mp4#{frame:06d}" for i in range(60) for frame in range(5)] + names_of(100)
    chosen = choose_holdout(names, parse_holdout("20%"))
    for i in range(60):
        assert len({name in chosen for name in names if name.startswith(f"clip{i}.mp4")}) == 1
    assert 75 <= len(chosen) <= 85


def test_groups_stay_on_one_side_also_where_they_share_a_picture_or_a_file():
    names = [*names_of(200), "a.gif#1", "a.gif#2", "b.gif#1", "b.gif#2"]
    groups = [["p00001.png", "p00002.png"], ["p00002.png", "a.gif#1"], ["a.gif#2", "b.gif#1"], [], ["p00009.png"]]
    bound = {"p00001.png", "p00002.png", "a.gif#1", "a.gif#2", "b.gif#1", "b.gif#2"}
    sides = set()
    for text in ("10%", "40%", "60%", "90%"):
        chosen = choose_holdout(names, parse_holdout(text), groups=groups)
        assert len(bound & chosen) in (0, len(bound))
        sides.add(len(bound & chosen))
        assert abs(len(chosen) - len(names) * parse_holdout(text).share) <= len(bound)
    assert sides == {0, len(bound)}


def test_a_number_of_groups_is_met_as_closely_as_they_allow():
    names = [f"clip{i}.mp4#{frame:06d}" for i in range(40) for frame in range(10)]
    assert len(choose_holdout(names, parse_holdout("100"))) == 100
    assert len(choose_holdout(names, parse_holdout("97"))) == 100
    assert len(choose_holdout(names, parse_holdout("93"))) == 90


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (names_of(5), "5", "--holdout 5: there are 5 pictures, and some must be left to train on"),
        (names_of(5), "1%", "--holdout 1% would hold out none of the 5 pictures"),
        (names_of(5), "99%", "--holdout 99% would hold out all of the 5 pictures"),
        (["a.mp4#1", "a.mp4#2"], "50%", "would hold out none of the 2 pictures that can be told apart"),
    ],
)
def test_to_hold_out_nothing_or_everything_is_an_error(names, text, message):
    with pytest.raises(UserError, match=message):
        choose_holdout(names, parse_holdout(text))


def test_names_of_any_bytes_can_be_held_out():
    assert len(choose_holdout(["a\udcff.png", "ü.png", "\u2028.png", "b.png"], parse_holdout("2"))) == 2

"""Labels: whatever form they are written in, they become yes or no; every mistake is one sentence."""

import numpy as np
import pytest

from sgtool.errors import UserError
from sgtool.latents.editing.labels import labels_of_file, matched, questions


def read(tmp_path, text):
    (tmp_path / "l.csv").write_text(text, encoding="utf-8")
    return labels_of_file(tmp_path / "l.csv")


@pytest.mark.parametrize("text", ["name,label\na,dark\nb.png,light\n", "a,dark\nb.png,light\n"], ids=["heading", "none"])
def test_a_word_a_line_is_a_mark_for_each_word(tmp_path, text):
    assert read(tmp_path, text) == {"a": {"dark": True, "light": False}, "b.png": {"dark": False, "light": True}}


def test_class_numbers_columns_and_several_words_are_marks_too(tmp_path):
    assert read(tmp_path, "name,label\na,3\nb,7\n") == {"a": {"3": True, "7": False}, "b": {"3": False, "7": True}}
    columns = read(tmp_path, "name,hat,smile\na,1,0\nb,1,1\n")
    assert columns == {"a": {"hat": True, "smile": False}, "b": {"hat": True, "smile": True}}
    assert read(tmp_path, "name,label\na,hat;smile\nb,hat\n") == columns | {"a": columns["b"], "b": columns["a"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na,0\na,1\n", "line 3 gives a a second label. Leave one."),
        ("name\na\n", "line 2 is not of the form file,label. Mend it."),
        ("name,label\na,\nb,x\n", "a has an empty label."),
        ("name,label\na,0.25\nb,1\n", "a has the number 0.25. Columns of numbers are 0 (no) and 1 (yes)."),
        ("name,label\na,nan\nb,1\n", "nan is no label. Give a word or a number, or take its lines out."),
        ("", "it holds no labels."),
    ],
)
def test_a_file_with_mistakes_is_refused(tmp_path, text, words):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        labels_of_file(tmp_path / "l.csv")
    assert words in caught.value.message
    assert "--labels" in caught.value.message


def test_a_file_that_is_not_there_or_no_text_or_says_no_labels_is_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UserError, match="cannot be read: .* Check the path"):
            labels_of_file(path)
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        labels_of_file(tmp_path / "l.csv")
    (tmp_path / "l.json").write_text('{"labels": null}')
    with pytest.raises(UserError, match="says that there are no labels"):
        labels_of_file(tmp_path / "l.json")


def test_lines_find_their_examples_with_or_without_folder_and_ending():
    said = []
    names = ["x/seed0001", "x/seed0002", "seed0003", "y/seed0004"]
    order, marks = matched({"y/seed0004.png": 4, "seed0003": 3, "seed0001.png": 1}, names, "l.csv", said.append)
    assert (order, marks) == ([0, 2, 3], [1, 3, 4])
    assert said == ["1 of 4 examples have no label in l.csv: they are left out."]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["c"], "there is no example c. The names of the examples are x/a, y/a, b: use those."),
        (["a.png"], "a.png may mean x/a or y/a. Give each its own name."),
        (["b", "b.png"], "has two lines for b. Leave one."),
    ],
)
def test_a_line_that_means_no_example_or_two_is_refused(lines, words):
    with pytest.raises(UserError) as caught:
        matched(dict.fromkeys(lines, {}), ["x/a", "y/a", "b"], "l.csv", print)
    assert words in caught.value.message


def of_words(words):
    distinct = sorted(set(words))
    return [{word: word == own for word in distinct} for own in words]


def test_two_words_are_one_question_and_more_are_one_each():
    two = questions(of_words(["no"] * 5 + ["yes"] * 6))
    assert list(two) == ["yes"]
    np.testing.assert_array_equal(two["yes"], [False] * 5 + [True] * 6)
    three = questions(of_words(["a"] * 5 + ["b"] * 6 + ["c"] * 7))
    assert {word: has.sum() for word, has in three.items()} == {"a": 5, "b": 6, "c": 7}


def test_columns_are_one_question_each():
    marks = [{"hat": i % 2 == 0, "smile": i % 3 == 0} for i in range(30)]
    assert {word: has.sum() for word, has in questions(marks).items()} == {"hat": 15, "smile": 10}


def test_a_word_that_no_labelled_example_has_is_no_question():
    marks = [{**own, "never": False} for own in of_words(["a"] * 5 + ["b"] * 5)]
    assert list(questions(marks)) == ["b"]


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (of_words(["a"] * 9), "All examples have the label a. A direction needs examples with another label too."),
        (of_words(["a"] * 9 + ["b"] * 4), "4 of 13 examples have the label b; at least 5 must"),
        (of_words(["a"] * 9 + ["b"] * 9 + ["c"] * 4), "4 of 22 examples have the label c; at least 5 must"),
        ([{"hat": i > 3, "x": True} for i in range(20)], "4 of 20 examples do not have the label hat"),
    ],
)
def test_too_few_examples_are_refused(marks, words):
    with pytest.raises(UserError) as caught:
        questions(marks)
    assert words in caught.value.message

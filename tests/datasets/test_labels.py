import json

import pytest

from sgtool.datasets.labels import parse_csv, parse_json, read_labels
from sgtool.datasets.sources import Source
from sgtool.errors import UserError

NAMES = ["cat/1.png", "cat/2.png", "dog/1.png"]


def source_with(names=NAMES, **texts):
    texts = {name.replace("_json", ".json").replace("_csv", ".csv"): data.encode() for name, data in texts.items()}
    return Source(list(names), None, texts.get)


def as_json(*labels, names=NAMES):
    return json.dumps({"labels": [[name, label] for name, label in zip(names, labels, strict=True)]})


def test_auto_takes_the_dataset_json_of_the_source():
    labels = read_labels(source_with(dataset_json=as_json(2, 0, 1)), "auto")
    assert labels.by_name == dict(zip(NAMES, [2, 0, 1], strict=True))
    assert labels.class_names is None


def test_auto_takes_class_names_from_prepare_json_beside_it():
    labels = read_labels(source_with(dataset_json=as_json(1, 1, 0), prepare_json='{"class_names": ["dog", "cat"]}'), "auto")
    assert labels.class_names == ["dog", "cat"]


def test_auto_without_dataset_json_or_with_null_labels_is_none():
    assert read_labels(source_with(), "auto") is None
    assert read_labels(source_with(dataset_json='{"labels": null}'), "auto") is None


def test_none_ignores_what_the_source_brings():
    assert read_labels(source_with(dataset_json=as_json(1, 1, 0)), "none") is None


def test_folders_become_classes_in_alphabetical_order():
    labels = read_labels(source_with(["dog/a.png", "cat/x/b.png", "eel/c.png"]), "folders")
    assert labels.class_names == ["cat", "dog", "eel"]
    assert labels.by_name == {"dog/a.png": 1, "cat/x/b.png": 0, "eel/c.png": 2}


def test_a_folder_that_holds_all_others_is_no_class():
    labels = read_labels(source_with(["pets/dog/a.png", "pets/cat/b.png"]), "folders")
    assert labels.class_names == ["cat", "dog"]


def test_one_folder_is_one_class():
    assert read_labels(source_with(["cat/a.png", "cat/b.png"]), "folders").class_names == ["cat"]


def test_pictures_in_no_folder_have_no_class():
    with pytest.raises(UserError, match="--labels folders: b.png lies in no folder \\(1 such\\)"):
        read_labels(source_with(["cat/a.png", "b.png"]), "folders")


def test_vectors_pass_through():
    labels = read_labels(source_with(dataset_json=as_json([0, 0.5], [1, 1], [0.25, -1])), "auto")
    assert labels.by_name["cat/2.png"] == (1.0, 1.0)


@pytest.mark.parametrize(
    "values",
    [(1, [0.5], 2), ([1, 2], [1], [1, 2]), (1, 2, -1), (0, 1, 0.5), (0, 1, True), (0, 1, "cat"), ([], [], []), (0, 1, None)],
)
def test_labels_of_mixed_or_unknown_kind_are_an_error(values):
    with pytest.raises(UserError, match="dataset.json: the label"):
        read_labels(source_with(dataset_json=as_json(*values)), "auto")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"labels": 3}', '{"labels": [["a.png"]]}', "\xff"])
def test_a_json_that_holds_no_labels_is_an_error(text):
    with pytest.raises(UserError, match="dataset.json is not a list of labels"):
        parse_json(text.encode("latin-1"), "dataset.json")


def test_an_empty_list_of_labels_is_an_error():
    with pytest.raises(UserError, match="the list of labels is empty"):
        parse_json(b'{"labels": []}', "dataset.json")


def test_backslashes_in_json_names_are_forward_slashes():
    assert parse_json(b'{"labels": [["00000\\\\a.png", 1]]}', "x") == {"00000/a.png": 1}


def test_a_csv_of_numbers_gives_class_numbers(tmp_path):
    labels = parse_csv("\ufefffile,label\r\na.png,3\r\n\r\nb\\c.png, 0\r\n".encode(), "l.csv")
    assert labels.by_name == {"a.png": 3, "b/c.png": 0}
    assert labels.class_names is None


def test_a_csv_of_words_gives_classes_in_alphabetical_order():
    labels = parse_csv(b'a.png,dog\nb.png,cat\n"c,1.png",dog\n', "l.csv")
    assert labels.class_names == ["cat", "dog"]
    assert labels.by_name == {"a.png": 1, "b.png": 0, "c,1.png": 1}


def test_a_csv_of_several_numbers_gives_vectors():
    assert parse_csv(b"a.png,1,0.5\nb.png,0,2\n", "l.csv").by_name == {"a.png": (1, 0.5), "b.png": (0, 2)}
    assert parse_csv(b"a.png,1.5\nb.png,0\n", "l.csv").by_name == {"a.png": (1.5,), "b.png": (0.0,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.png,1\nb.png\n", "line 2 is not of the form file,label"),
        (b"a.png,1\na.png,2\n", "line 2 gives a.png a second label"),
        (b"a.png,1,cat\n", "the columns of a.png are not all numbers"),
        (b"a.png,1,2\nb.png,1\n", "differ in kind"),
        (b"file,label\n", "it holds no labels"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_understood_is_an_error(text, message):
    with pytest.raises(UserError, match=message):
        parse_csv(text, "l.csv")


def test_a_labels_file_is_looked_for_on_the_disk_and_then_in_the_source(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("cat/1.png,0\ncat/2.png,0\ndog/1.png,1\n")
    assert read_labels(source_with(), str(path)).by_name["dog/1.png"] == 1
    inside = source_with(labels_csv="cat/1.png,5\ncat/2.png,0\ndog/1.png,1\n")
    assert read_labels(inside, "labels.csv").by_name["cat/1.png"] == 5


def test_a_labels_file_that_is_not_there_is_an_error():
    with pytest.raises(UserError, match="--labels nothere.csv: no such file"):
        read_labels(source_with(), "nothere.csv")


def test_asking_for_the_labels_of_a_file_with_none_is_an_error():
    with pytest.raises(UserError, match='it says "labels": null'):
        read_labels(source_with(dataset_json='{"labels": null}'), "dataset.json")


def test_labels_for_files_that_are_not_there_are_an_error():
    text = as_json(1, 1, 0, 2, 2, names=[*NAMES, "eel/9.png", "eel/7.png"])
    with pytest.raises(UserError, match=r"it labels eel/9.png, which is not in the source \(2 such\)"):
        read_labels(source_with(dataset_json=text), "auto")


def test_pictures_without_a_label_are_an_error():
    with pytest.raises(UserError, match=r"cat/2.png has no label \(2 such of 3\)"):
        read_labels(source_with(dataset_json=as_json(1, names=NAMES[:1])), "auto")


def test_a_broken_prepare_json_is_an_error():
    with pytest.raises(UserError, match="prepare.json beside dataset.json is not valid JSON"):
        read_labels(source_with(dataset_json=as_json(1, 1, 0), prepare_json="{"), "auto")


@pytest.mark.parametrize("label", ["1000000000000", "[NaN, 1]", "[Infinity]", "-1", "true", "[]", "1.5"])
def test_a_label_that_is_no_class_and_no_finite_vector_is_named(label):
    with pytest.raises(UserError, match="the label of a.png is .* Labels are class numbers from 0 to 99999"):
        parse_json(f'{{"labels": [["a.png", {label}]]}}'.encode(), "dataset.json")

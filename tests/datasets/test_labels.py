import json

import pytest

from sgtool.datasets.label_counts import count_labels, tell_counts
from sgtool.datasets.labels import file_of, read_labels
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


# -- parts of files, spellings, pictures without a label


def test_frames_tiles_and_faces_have_the_label_of_their_file():
    names = ["a/clip.mp4#000000", "a/clip.mp4#000030", "b/big.jpg#x0y256"]
    labels = read_labels(source_with(names, labels_csv="a/clip.mp4,cat\nb/big.jpg,dog\n"), "labels.csv")
    assert [labels.of(name) for name in names] == [0, 0, 1]
    assert labels.of("b/big.jpg#x0y256#face1") == 1
    assert labels.of("c.jpg") is None


@pytest.mark.parametrize(
    ("labelled", "missing"), [("b.png", "clip.gif has no label"), ("clip.gif#000001", "clip.gif#000000 has no label")]
)
def test_a_missing_label_is_asked_for_a_file_unless_its_frames_have_their_own(labelled, missing):
    source = source_with(["clip.gif#000000", "clip.gif#000001", "b.png"], some_csv=f"{labelled},1")
    with pytest.raises(UserError, match=f"some.csv: {missing} .2 such of 3"):
        read_labels(source, "some.csv")


def test_a_label_of_a_part_goes_before_that_of_its_file():
    labels = read_labels(source_with(["a.gif#1", "a.gif#2"], labels_csv="a.gif,5\na.gif#2,7\n"), "labels.csv")
    assert [labels.of(name) for name in ("a.gif#1", "a.gif#2")] == [5, 7]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a/clip.mp4#000120", "a/clip.mp4"),
        ("clip.mp4#000120#x0y256", "clip.mp4"),
        ("number#1.png", "number#1.png"),
        ("a#b/c.png", "a#b/c.png"),
    ],
)
def test_the_file_of_a_part_is_what_comes_before_the_mark(name, file):
    assert file_of(name) == file


def test_names_may_spell_accents_in_either_way_of_unicode():
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    labels = read_labels(source_with([apart, "b.png"], labels_csv=f"{composed},1\nb.png,0\n"), "labels.csv")
    assert labels.of(apart) == 1


def test_pictures_without_a_label_can_be_left_out():
    labels = read_labels(source_with(dataset_json=as_json(1, names=NAMES[:1])), "auto", unlabelled="drop")
    assert labels.unlabelled == NAMES[1:]
    assert labels.by_name == {NAMES[0]: 1}
    loose = read_labels(source_with(["cat/a.png", "b.png"]), "folders", unlabelled="drop")
    assert loose.unlabelled == ["b.png"]
    assert loose.class_names == ["cat"]


def test_leaving_out_all_pictures_is_an_error():
    with pytest.raises(UserError, match="lies in no folder"):
        read_labels(source_with(["a.png", "b.png"]), "folders", unlabelled="drop")


def test_by_default_no_picture_is_left_out():
    assert read_labels(source_with(dataset_json=as_json(1, 0, 2)), "auto").unlabelled == []


# -- labels out of names


def test_a_regular_expression_takes_the_class_out_of_the_name():
    labels = read_labels(source_with(["x/cat_1.png", "dog_2_3.png"]), "auto", regex="(?P<label>[^_]+)_")
    assert labels.by_name == {"x/cat_1.png": 0, "dog_2_3.png": 1}
    assert labels.class_names == ["cat", "dog"]
    assert labels.origin == "--label-regex (?P<label>[^_]+)_"


def test_the_group_called_label_goes_before_the_first_one_and_a_slash_asks_for_folders():
    names = ["x/10_a.png", "y/9_b.png"]
    assert read_labels(source_with(names), "auto", regex=r"(\d+)_(?P<label>.)").class_names == ["a", "b"]
    assert read_labels(source_with(names), "auto", regex=r"(\d+)_").class_names == ["9", "10"]
    assert read_labels(source_with(names), "auto", regex="([^/]+)/").class_names == ["x", "y"]


def test_a_name_that_does_not_match_has_no_label():
    with pytest.raises(UserError, match=r"--label-regex \(\[a-z\]\+\)_: 7.png has no label \(1 such of 2\).*--unlabelled drop"):
        read_labels(source_with(["cat_1.png", "7.png"]), "auto", regex="([a-z]+)_")
    assert read_labels(source_with(["cat_1.png", "7.png"]), "auto", regex="([a-z]+)_", unlabelled="drop").unlabelled == ["7.png"]


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("([a-z", "not a regular expression"),
        ("[a-z]+", "it has no group. Put the part that is the class into parentheses"),
        ("(dog)", "it matches none of the 1 names, such as cat.png"),
        ("(x?)cat", "it matches none of the 1 names"),
    ],
)
def test_a_regular_expression_that_gives_no_class_is_an_error(regex, message):
    with pytest.raises(UserError, match=message):
        read_labels(source_with(["cat.png"]), "auto", regex=regex)


def test_a_regular_expression_and_a_file_of_labels_contradict_each_other():
    with pytest.raises(UserError, match="--labels folders and --label-regex both tell"):
        read_labels(source_with(), "folders", regex="(.)")


# -- counts


def test_classes_are_counted_with_the_empty_ones_that_have_names():
    counted = count_labels([2, 0, 2], ["cat", "dog", "eel", "fox"])
    assert counted == {"classes": {"0": 1, "1": 0, "2": 2, "3": 0}}
    assert tell_counts(counted, ["cat", "dog", "eel", "fox"]) == "cat 1, dog 0, eel 2, fox 0"
    assert tell_counts(count_labels([5, 5], None), None) == "5 2"


def test_marks_are_counted_for_each_class_and_other_vectors_are_not():
    counted = count_labels([(1.0, 0.0), (1.0, 1.0)], ["red", "round"])
    assert counted == {"vector": 2, "marked": [2, 1]}
    assert tell_counts(counted, ["red", "round"]) == "red 2, round 1"
    assert count_labels([(0.5,), (1.0,)], None) == {"vector": 1}
    assert tell_counts({"vector": 1}, None) == ""


def test_of_many_classes_the_largest_and_the_smallest_are_told():
    counted = count_labels([i for i in range(40) for _ in range(i + 1)], None)
    assert tell_counts(counted, None) == "largest: 39 40, 38 39, 37 38; smallest: 2 3, 1 2, 0 1"

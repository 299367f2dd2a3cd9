import pytest

from sgtool.datasets.label_files import mark_classes, parse_csv, parse_json, parse_jsonl, parse_labels
from sgtool.errors import UserError


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"labels": 3}', '{"labels": [["a.png"]]}', "\xff"])
def test_a_json_that_holds_no_labels_is_an_error(text):
    with pytest.raises(UserError, match="dataset.json is not a list of labels"):
        parse_json(text.encode("latin-1"), "dataset.json")


def test_an_empty_list_of_labels_is_an_error():
    with pytest.raises(UserError, match="the list of labels is empty"):
        parse_json(b'{"labels": []}', "dataset.json")


def test_backslashes_in_json_names_are_forward_slashes():
    assert parse_json(b'{"labels": [["00000\\\\a.png", 1]]}', "x") == {"00000/a.png": 1}


def test_a_csv_of_numbers_gives_class_numbers():
    by_name, class_names = parse_csv("\ufefffile,label\r\na.png,3\r\n\r\nb\\c.png, 0\r\n".encode(), "l.csv")
    assert by_name == {"a.png": 3, "b/c.png": 0}
    assert class_names is None


def test_a_csv_of_words_gives_classes_in_alphabetical_order():
    by_name, class_names = parse_csv(b'a.png,dog\nb.png,cat\n"c,1.png",dog\n', "l.csv")
    assert class_names == ["cat", "dog"]
    assert by_name == {"a.png": 1, "b.png": 0, "c,1.png": 1}


def test_a_csv_of_several_numbers_gives_vectors():
    assert parse_csv(b"a.png,1,0.5\nb.png,0,2\n", "l.csv") == ({"a.png": (1, 0.5), "b.png": (0, 2)}, None)
    assert parse_csv(b"a.png,1.5\nb.png,-1e-1\n", "l.csv") == ({"a.png": (1.5,), "b.png": (-0.1,)}, None)


def test_headings_name_the_entries_of_vectors():
    by_name, names = parse_csv(b"image,Smiling,Hat\na.jpg,1,-1\nb.jpg,-1,-1\n", "l.csv")
    assert by_name == {"a.jpg": (1, -1), "b.jpg": (-1, -1)}
    assert names == ["Smiling", "Hat"]


@pytest.mark.parametrize("heading", [b"file,x,x", b"file,x,", b"file,x", b"file,x,y,z"])
def test_headings_that_do_not_name_each_entry_are_not_used(heading):
    assert parse_csv(heading + b"\na.jpg,1,2\n", "l.csv")[1] is None


def test_the_files_may_be_in_any_column_that_a_heading_says_so_of():
    assert parse_csv(b"label,filename\n3,a.png\n1,b.png\n", "l.csv")[0] == {"a.png": 3, "b.png": 1}


def test_a_first_line_that_is_a_picture_is_no_heading_whatever_its_class_is_called():
    by_name, names = parse_csv(b"a.png,image\nb.png,path\n", "l.csv")
    assert by_name == {"a.png": 0, "b.png": 1}
    assert names == ["image", "path"]


@pytest.mark.parametrize("text", [b"a.png,red;round\nb.png,red\nc.png,\n", b"a.png,red,round\nb.png,red,\nc.png,,\n"])
def test_several_class_names_of_a_picture_become_marks(text):
    by_name, names = parse_csv(text, "l.csv")
    assert names == ["red", "round"]
    assert by_name == {"a.png": (1, 1), "b.png": (1, 0), "c.png": (0, 0)}


def test_several_class_numbers_of_a_picture_are_names_in_the_order_of_their_values():
    by_name, names = parse_csv(b"a.png,10;9\nb.png,9\n", "l.csv")
    assert names == ["9", "10"]
    assert by_name == {"a.png": (1, 1), "b.png": (1, 0)}


def test_a_tsv_is_split_at_tabs():
    assert parse_labels(b"a, b.png\tcat\n", "l.tsv") == ({"a, b.png": 0}, ["cat"])


def test_the_ending_tells_what_a_file_of_labels_is():
    assert parse_labels(b'{"labels": [["a.png", 3]]}', "x.JSON") == ({"a.png": 3}, None)
    assert parse_labels(b'{"labels": null}', "x.json") is None
    assert parse_labels(b'{"file": "a.png", "label": 3}', "x.jsonl") == ({"a.png": 3}, None)
    assert parse_labels(b"a.png,3", "x.txt") == ({"a.png": 3}, None)


# -- JSON lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('{"file": "a.png", "label": 3, "caption": "x"}\n\n{"file": "b.png", "label": 0}', ([3, 0], None)),
        ('{"file_name": "a.png", "label": "dog"}\n{"file_name": "b.png", "label": "cat"}', ([1, 0], ["cat", "dog"])),
        ('{"image": "a.png", "labels": [0.5, 1]}\n{"image": "b.png", "labels": [2, 3]}', ([(0.5, 1), (2, 3)], None)),
        ('{"file": "a.png", "labels": ["x", "y"]}\n{"file": "b.png", "labels": []}', ([(1, 1), (0, 0)], ["x", "y"])),
    ],
)
def test_json_lines_hold_numbers_names_vectors_or_several_names(lines, expected):
    by_name, names = parse_jsonl(lines.encode(), "l.jsonl")
    assert list(by_name) == ["a.png", "b.png"]
    assert (list(by_name.values()), names) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"file": "a.png", "label": 1}\n{"file": "b.png"}', "line 2 is not of the form"),
        (b'{"file": "a.png", "caption": "a cat"}', "line 1 is not of the form"),
        (b'{"file": "a.png", "label": 1, "labels": [2]}', "line 1 is not of the form"),
        (b'{"file": 3, "label": 1}', "line 1 is not of the form"),
        (b"[1, 2]", "line 1 is not of the form"),
        (b"a.png,3", "line 1 is not of the form"),
        (b"[" * 100_000, "line 1 is not of the form"),
        (b'{"file": "a.png", "label": 1}\n{"file": "a.png", "label": 1}', "line 2 gives a.png a second label"),
        (b'{"file": "a.png", "label": 1}\n{"file": "b.png", "label": "x"}', "the label of b.png is x"),
        (b'{"file": "a.png", "label": 1}\n{"file": "b.png", "label": [1]}', "differ in kind"),
        (b'{"file": "a.png", "label": null}', "the label of a.png is None"),
        (b'{"file": "a.png", "labels": []}', "it names 0 classes"),
        (b"\n", "it holds no labels"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_json_lines_that_cannot_be_understood_are_an_error(text, message):
    with pytest.raises(UserError, match=f"--labels l.jsonl: .*{message}"):
        parse_jsonl(text, "l.jsonl")


def test_marks_of_very_many_classes_are_an_error():
    with pytest.raises(UserError, match="it names 10001 classes"):
        mark_classes({"a.png": [str(i) for i in range(10_001)]}, "l.csv")


def test_a_json_that_labels_a_picture_twice_must_say_the_same():
    assert parse_json(b'{"labels": [["a", 1], ["a", 1]]}', "x.json") == {"a": 1}
    with pytest.raises(UserError, match="x.json: a has two different labels"):
        parse_json(b'{"labels": [["a", 1], ["a", 2]]}', "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.png,cat\nb.png,\n", "b.png has an empty label"),
        (b",cat\n", "line 1 is not of the form file,label"),
        (b"a.png,100000\n", "Labels are class numbers from 0 to 99999"),
        (b"a.png,1e999\n", "Labels are class numbers from 0 to 99999"),
        (b"a.png," + b"x" * 200_000, "line 1 cannot be read as CSV"),
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


@pytest.mark.parametrize("label", ["1000000000000", "[NaN, 1]", "[Infinity]", "-1", "true", "[]", "1.5"])
def test_a_label_that_is_no_class_and_no_finite_vector_is_named(label):
    with pytest.raises(UserError, match="the label of a.png is .* Labels are class numbers from 0 to 99999"):
        parse_json(f'{{"labels": [["a.png", {label}]]}}'.encode(), "dataset.json")

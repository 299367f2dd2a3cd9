"""Labels in files: NVIDIA's JSON, CSV and JSON lines; what prepare.json says about them.

A label is a class number 0, 1, ... or a tuple of floats; all pictures of a dataset have the same kind. A picture of several
classes has a vector with 1 for each of its classes and 0 for the others.
"""

import csv
import io
import json
import re

from sgtool.errors import UserError

MOST_CLASSES = 100_000  # a larger number is a mistake, such as an identifier
MOST_TAGS = 10_000  # classes, where a picture has several: each label is so many numbers
FILE_HEADINGS = ("file", "filename", "file_name", "name", "path", "image")
LABEL_KEYS = ("label", "labels")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MANY = ";"  # between the classes of a picture


def parse_labels(data, where):
    """Read a file of labels, by the ending of its name: `.json`, `.jsonl` (or `.ndjson`), `.tsv`, and CSV for all others.

    Args:
        data: bytes of the file.
        where: its name, for messages.
    Returns:
        `{name: label}` and the names of the classes or of the vector's entries (None if they have none); None alone if
        the file says that there are no labels.
    """
    ending = where.lower().rpartition(".")[2]
    if ending == "json":
        by_name = parse_json(data, where)
        return None if by_name is None else (by_name, None)
    if ending in ("jsonl", "ndjson"):
        return parse_jsonl(data, where)
    return parse_csv(data, where, "\t" if ending == "tsv" else ",")


# ---------------------------------------------------------------------------------------------------------------------
# JSON


def parse_json(data, where):
    """Read NVIDIA's `{"labels": [["00000/img00000000.png", 3], ...]}` or `{"labels": null}`.

    Args:
        data: bytes of the file.
        where: its name, for messages.
    Returns:
        `{name: label}`, or None.
    """
    try:
        pairs = json.loads(data)["labels"]
        if pairs is None:
            return None
        pairs = [(str(name).replace("\\", "/"), label) for name, label in pairs]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f'{where} is not a list of labels: it must look like {{"labels": [["a.png", 3], ["b.png", 0]]}}. Mend it.'
        ) from error
    by_name = dict(pairs)
    if not by_name:
        raise UserError(f'{where}: the list of labels is empty. Fill it, or write {{"labels": null}}.')
    twice = next((name for name, label in pairs if by_name[name] != label), None)
    if twice is not None:
        raise UserError(f"{where}: {twice} has two different labels. Leave one.")
    return _check_kind(by_name, where)


def _check_kind(by_name, where):
    """Turn lists into tuples of floats; raise unless all labels are class numbers or all are vectors of one length."""
    checked = {}
    first = None
    for name, label in by_name.items():
        if isinstance(label, (list, tuple)) and label and all(map(_is_number, label)):
            label = tuple(float(v) for v in label)
        elif not (_is_number(label) and isinstance(label, int) and 0 <= label < MOST_CLASSES):
            raise UserError(
                f"{where}: the label of {name} is {str(label)[:40]}. Labels are class numbers from 0 to {MOST_CLASSES - 1}, "
                "or lists of finite numbers."
            )
        kind = len(label) if isinstance(label, tuple) else None
        if first is None:
            first = name, kind
        elif kind != first[1]:
            raise UserError(
                f"{where}: the labels of {first[0]} and {name} differ in kind. Make all numbers, or all lists of one length."
            )
        checked[name] = label
    return checked


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def parse_jsonl(data, where):
    """Read one JSON object a line: `{"file": "a.png", "label": 3}`.

    The label is a class number, a class name, a list of numbers (a vector) or a list of class names. The file may also be
    called by another of `FILE_HEADINGS`, and the label `labels`. Other keys, such as captions, are not looked at.

    Args, Returns: as `parse_labels`.
    """
    rows = {}
    for number, line in enumerate(_text(data, where).splitlines(), 1):
        if not line.strip():
            continue
        name, label = _json_line(line, f"--labels {where}: line {number}")
        if name in rows:
            raise UserError(f"--labels {where}: line {number} gives {name} a second label. Leave one.")
        rows[name] = label
    _check_filled(rows, where, '{"file": "a.png", "label": 3}')
    return _settled(rows, f"--labels {where}")


def _json_line(line, where):
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    row = row if isinstance(row, dict) else {}
    names = [row[key] for key in FILE_HEADINGS if key in row][:1]
    labels = [row[key] for key in LABEL_KEYS if key in row]
    if len(labels) != 1 or not (names and isinstance(names[0], str)):
        raise UserError(f'{where} is not of the form {{"file": "a.png", "label": 3}}. Mend it.')
    return names[0].replace("\\", "/"), labels[0]


def _settled(rows, where):
    """Turn `{name: number, text, list of numbers or list of texts}` into labels and class names."""
    if all(isinstance(value, str) for value in rows.values()):
        return number_classes(rows)
    if all(isinstance(value, list) and all(isinstance(word, str) for word in value) for value in rows.values()):
        return mark_classes(rows, where)
    return _check_kind(rows, where), None


# ---------------------------------------------------------------------------------------------------------------------
# CSV


def parse_csv(data, where, delimiter=","):
    """Read `file,label` lines.

    Whole numbers are class numbers; other numbers, or several columns of numbers, are vectors; anything else is the name
    of a class. Several columns of names, or names with a semicolon between them, are several classes of one picture. A
    first line that begins with `file`, `name`, `path` or `image` is a heading, which then names the entries of vectors.
    If it does not begin so, but has a column of such a name, that column holds the files.

    Args, Returns: as `parse_labels`.
    """
    reader = csv.reader(io.StringIO(_text(data, where)), delimiter=delimiter)
    rows, heading, column = {}, None, 0
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if heading is None and not rows and _file_column(cells) is not None:
                heading, column = cells, _file_column(cells)
                continue
            name = cells.pop(column).replace("\\", "/") if column < len(cells) else ""
            if not name or not cells:
                raise UserError(f"--labels {where}: line {reader.line_num} is not of the form file,label. Mend it.")
            if name in rows:
                raise UserError(f"--labels {where}: line {reader.line_num} gives {name} a second label. Leave one.")
            rows[name] = cells
    except csv.Error as error:
        raise UserError(f"--labels {where}: line {reader.line_num} cannot be read as CSV ({error}). Mend it.") from error
    _check_filled(rows, where, "file,label")
    by_name, class_names = _columns_to_labels(rows, where)
    if heading and class_names is None:
        class_names = _entry_names([cell for i, cell in enumerate(heading) if i != column], by_name)
    return by_name, class_names


def _file_column(cells):
    """Which column of a heading holds the files; None if this is no heading."""
    words = [cell.lower() for cell in cells]
    known = [i for i, word in enumerate(words) if word in FILE_HEADINGS]
    if not known or (known[0] > 0 and any("." in word or not word or NUMBER.fullmatch(word) for word in words)):
        return None
    return known[0]


def _entry_names(headings, by_name):
    """The columns' headings as names of the entries of vectors, if each entry has one of its own."""
    lengths = {len(label) for label in by_name.values() if isinstance(label, tuple)}
    return headings if lengths == {len(set(headings))} and all(headings) and len(headings) > 1 else None


def _columns_to_labels(rows, where):
    where = f"--labels {where}"
    wide = any(len(cells) > 1 for cells in rows.values())
    numbers = all(NUMBER.fullmatch(cell) for cells in rows.values() for cell in cells)
    if not wide and all(re.fullmatch(r"\d{1,9}", cells[0]) for cells in rows.values()):
        return _check_kind({name: int(cells[0]) for name, cells in rows.items()}, where), None
    if numbers:
        return _check_kind({name: [float(cell) for cell in cells] for name, cells in rows.items()}, where), None
    several = any(MANY in cell for cells in rows.values() for cell in cells)
    for name, cells in rows.items():
        if len(cells) > 1 and any(NUMBER.fullmatch(cell) for cell in cells):
            raise UserError(f"{where}: the columns of {name} are not all numbers. Give numbers only, or class names only.")
        if not any(cells) and not (wide or several):
            raise UserError(f"{where}: {name} has an empty label. Fill it, or take the line out.")
    if wide or several:
        return mark_classes({name: [word for cell in cells for word in cell.split(MANY)] for name, cells in rows.items()}, where)
    return number_classes({name: cells[0] for name, cells in rows.items()})


# ---------------------------------------------------------------------------------------------------------------------
# Classes by name


def number_classes(words):
    """Turn `{name: class name}` into class numbers, in alphabetical order (numbers as text: by their value)."""
    class_names = _in_order(set(words.values()))
    number = {word: i for i, word in enumerate(class_names)}
    return {name: number[word] for name, word in words.items()}, class_names


def mark_classes(words, where):
    """Turn `{name: list of class names}`, which may be empty, into vectors with 1 for each class that is named."""
    words = {name: frozenset(word.strip() for word in listed) - {""} for name, listed in words.items()}
    class_names = _in_order(set().union(*words.values()))
    if not 1 <= len(class_names) <= MOST_TAGS:
        raise UserError(f"{where}: it names {len(class_names)} classes. Pictures of several classes can have 1 to {MOST_TAGS}.")
    vectors = {marked: tuple(float(word in marked) for word in class_names) for marked in set(words.values())}
    return {name: vectors[marked] for name, marked in words.items()}, class_names


def _in_order(words):
    numbers = all(word.isascii() and word.isdigit() for word in words)
    return sorted(words, key=(lambda word: (int(word), word)) if numbers else None)


# ---------------------------------------------------------------------------------------------------------------------
# What all of them need


def _text(data, where):
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--labels {where}: it is not UTF-8 text. Save it as text in UTF-8.") from error


def _check_filled(rows, where, form):
    if not rows:
        raise UserError(f"--labels {where}: it holds no labels. Write one line {form} for each picture.")


def class_names_in(data):
    """Return the class names that a prepare.json (bytes, or None) holds, or None."""
    names = _parse_about(data).get("class_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError("prepare.json: class_names is not a list of names. Mend or delete prepare.json.")
    return names


def stated_digest(data):
    """Return the SHA-256 of the pictures that a prepare.json (bytes, or None) states, or None."""
    digest = _parse_about(data).get("sha256")
    return digest if isinstance(digest, str) else None


def _parse_about(data):
    try:
        about = {} if data is None else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError("prepare.json beside dataset.json is not valid JSON. Mend or delete it.") from error
    if not isinstance(about, dict):
        raise UserError("prepare.json beside dataset.json is not what sgtool writes. Mend or delete it.")
    return about

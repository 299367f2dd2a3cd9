"""Labels: which class, or which vector, belongs to which picture.

A label is a class number 0, 1, ... or a tuple of floats; all pictures of a dataset have the same kind.
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from sgtool.errors import UserError

MOST_CLASSES = 100_000  # a larger number is a mistake, such as an identifier
HEADINGS = ("file", "filename", "file_name", "name", "path", "image")


@dataclass(frozen=True)
class Labels:
    """Labels by picture name, names of the classes (None if they have none), and where they come from (to be shown)."""

    by_name: dict
    class_names: list | None
    origin: str


def read_labels(source, choice):
    """Find the label of every picture of a source.

    Args:
        source: `sources.Source`.
        choice: "auto" (the source's own, from its dataset.json or with the embedded digits; otherwise none), "none",
            "folders" (each folder is a class), or the name of a CSV or JSON file.
    Returns:
        `Labels`, or None.
    Raises:
        UserError: a label belongs to no picture, a picture has no label, or labels cannot be read.
    """
    if choice == "none":
        return None
    if choice == "auto":
        labels = _own_labels(source)
    elif choice == "folders":
        labels = labels_from_folders(source.names)
    else:
        labels = _labels_from_file(source, choice)
    if labels is not None:
        _check_coverage(labels, source.names)
    return labels


def _own_labels(source):
    if source.labels is not None:
        return Labels(source.labels, source.class_names, "with the pictures")
    data = source.text("dataset.json")
    if data is None:
        return None
    by_name = parse_json(data, "dataset.json")
    return None if by_name is None else Labels(by_name, class_names_in(source.text("prepare.json")), "dataset.json")


def _labels_from_file(source, choice):
    path = Path(choice)
    data = path.read_bytes() if path.is_file() else source.text(choice)
    if data is None:
        raise UserError(f"--labels {choice}: no such file, here or in the source. Write none, folders, or a CSV or JSON file.")
    if path.suffix.lower() != ".json":
        return parse_csv(data, choice)
    by_name = parse_json(data, choice)
    if by_name is None:
        raise UserError(f'--labels {choice}: it says "labels": null, that is, none. Give another file, or --labels none.')
    return Labels(by_name, class_names_in(source.text("prepare.json")), choice)


def labels_from_folders(names):
    """Make each folder a class: the first folder level at which the pictures differ, in alphabetical order."""
    paths = [name.split("/") for name in names]
    loose = [name for name, path in zip(names, paths, strict=True) if len(path) == 1]
    if loose:
        raise UserError(
            f"--labels folders: {loose[0]} lies in no folder ({len(loose)} such). "
            "Move each into the folder of its class, or give --labels none."
        )
    level = 0
    while all(len(path) > level + 2 for path in paths) and len({path[level] for path in paths}) == 1:
        level += 1
    class_names = sorted({path[level] for path in paths})
    number = {name: i for i, name in enumerate(class_names)}
    return Labels({name: number[path[level]] for name, path in zip(names, paths, strict=True)}, class_names, "folders")


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
        by_name = {str(name).replace("\\", "/"): label for name, label in pairs}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f'{where} is not a list of labels: it must look like {{"labels": [["a.png", 3], ["b.png", 0]]}}. Mend it.'
        ) from error
    if not by_name:
        raise UserError(f'{where}: the list of labels is empty. Fill it, or write {{"labels": null}}.')
    return _check_kind(by_name, where)


def _check_kind(by_name, where):
    """Turn lists into tuples of floats; raise unless all labels are class numbers or all are vectors of one length."""
    checked = {}
    first = None
    for name, label in by_name.items():
        if isinstance(label, list) and label and all(map(_is_number, label)):
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
    except ValueError as error:
        raise UserError("prepare.json beside dataset.json is not valid JSON. Mend or delete it.") from error
    if not isinstance(about, dict):
        raise UserError("prepare.json beside dataset.json is not what sgtool writes. Mend or delete it.")
    return about


def parse_csv(data, where):
    """Read `file,label` lines.

    Whole numbers are class numbers; other numbers, or several columns of numbers, are vectors; anything else is the
    name of a class, and classes are numbered in alphabetical order. A first line that begins with `file`, `name`,
    `path` or `image` is a heading.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--labels {where}: it is not UTF-8 text. Save it as CSV in UTF-8.") from error
    rows = {}
    reader = csv.reader(io.StringIO(text))
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (reader.line_num == 1 and cells[0].lower() in HEADINGS):
            continue
        if len(cells) < 2 or not all(cells):
            raise UserError(f"--labels {where}: line {reader.line_num} is not of the form file,label. Mend it.")
        name = cells[0].replace("\\", "/")
        if name in rows:
            raise UserError(f"--labels {where}: line {reader.line_num} gives {name} a second label. Leave one.")
        rows[name] = cells[1:]
    if not rows:
        raise UserError(f"--labels {where}: it holds no labels. Write one line file,label for each picture.")
    return _columns_to_labels(rows, where)


def _columns_to_labels(rows, where):
    if all(len(cells) == 1 and re.fullmatch(r"\d+", cells[0]) for cells in rows.values()):
        return Labels({name: int(cells[0]) for name, cells in rows.items()}, None, where)
    try:
        vectors = {name: [float(cell) for cell in cells] for name, cells in rows.items()}
    except ValueError:
        vectors = None
    if vectors is not None:
        return Labels(_check_kind(vectors, f"--labels {where}"), None, where)
    wide = next((name for name, cells in rows.items() if len(cells) > 1), None)
    if wide is not None:
        raise UserError(f"--labels {where}: the columns of {wide} are not all numbers. Give one class name, or numbers.")
    class_names = sorted({cells[0] for cells in rows.values()})
    number = {name: i for i, name in enumerate(class_names)}
    return Labels({name: number[cells[0]] for name, cells in rows.items()}, class_names, where)


def _check_coverage(labels, names):
    present = set(names)
    absent = [name for name in labels.by_name if name not in present]
    if absent:
        raise UserError(
            f"{labels.origin}: it labels {absent[0]}, which is not in the source ({len(absent)} such). "
            "Mend the names (relative to the source), or give --labels none."
        )
    bare = [name for name in names if name not in labels.by_name]
    if bare:
        raise UserError(
            f"{labels.origin}: {bare[0]} has no label ({len(bare)} such of {len(names)}). "
            "Label all of them, or give --labels none."
        )

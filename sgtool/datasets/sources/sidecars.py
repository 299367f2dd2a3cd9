"""Labels that lie beside the pictures in a tar: the WebDataset layout, `0001.jpg` with `0001.cls`, `.json` or `.txt`.

A sample is all files that share a name up to the first dot behind the last slash.
https://github.com/webdataset/webdataset
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from sgtool.datasets.sources.formats import EXTENSIONS, is_hidden
from sgtool.errors import UserError

KINDS = ("cls", "json", "txt")  # where labels are looked for, in this order
KEYS = ("label", "cls", "class", "class_id", "label_name", "class_name")  # of a .json, in this order
LARGEST = 1 << 20  # bytes of one such file


@dataclass
class Sidecars:
    """What lies beside the pictures.

    Attributes:
        used: names of files that are no pictures of their own: labels, captions, further pictures of a sample.
        labels, class_names: see `Source`.
        counts, warnings: see `Source`.
    """

    used: list = field(default_factory=list)
    labels: dict | None = None
    class_names: list | None = None
    counts: Counter = field(default_factory=Counter)
    warnings: list = field(default_factory=list)


def read_sidecars(names, read):
    """Find the labels of the pictures among some files.

    `.cls` holds a class number or a class name; `.json` a dict with one of `KEYS`, or just the label, which may be a list
    of numbers; `.txt` counts only if all of them hold class numbers: otherwise they are captions.

    Args:
        names: file names (a container); forward slashes.
        read: function from a name to the file's bytes.
    """
    beside = {}
    for name in names:
        key, _, ending = _split(name)
        if ending in KINDS and not is_hidden(name) and key.rsplit("/", 1)[-1] not in ("dataset", "prepare"):
            beside.setdefault(ending, {})[key] = name
    if not beside:
        return Sidecars()
    pictures = {name: _split(name) for name in names if f".{_split(name)[2].rsplit('.', 1)[-1]}" in EXTENSIONS}
    keys = {key for key, *_ in pictures.values()}
    for kind in KINDS:
        found = {key: name for key, name in beside.get(kind, {}).items() if key in keys}
        values = _values(kind, found, read) if found else None
        if values is not None:
            return _labelled(kind, values, pictures, beside)
    return Sidecars()


def _split(name):
    """`a/b.seg.png` is `("a/b", ".", "seg.png")`."""
    folder, slash, file = name.rpartition("/")
    key, dot, ending = file.partition(".")
    return folder + slash + key, dot, ending.lower()


def _values(kind, files, read):
    """Return `{key: int, str or tuple}`, or None if these files hold no labels."""
    if kind == "txt":
        texts = {key: _text(name, read) for key, name in files.items()}
        numbers = all(re.fullmatch(r"\d{1,9}", text) for text in texts.values())
        return {key: int(text) for key, text in texts.items()} if numbers else None
    values = {}
    for key, name in files.items():
        value = _text(name, read)
        if kind == "json":
            value = _json_label(name, value)
            if value is None:
                return None
        elif re.fullmatch(r"\d{1,9}", value):
            value = int(value)
        values[key] = value
    return values


def _text(name, read):
    data = read(name)
    if len(data) > LARGEST:
        raise UserError(f"{name}: a label of {len(data)} bytes. Make it a class number, or give --labels none.")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: the label is not UTF-8 text. Mend it, or take the .cls files out.") from error


def _json_label(name, text):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: it is not valid JSON. Mend it, or take the .json files out.") from error
    if isinstance(value, dict):
        value = next((value[key] for key in KEYS if key in value), None)
    if value is None:
        return None
    numbers = isinstance(value, list) and value and all(_is_number(v) for v in value)
    if numbers:
        return tuple(float(v) for v in value)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise UserError(f"{name}: the label is {str(value)[:40]}. Labels are class numbers, class names or lists of numbers.")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _labelled(kind, values, pictures, beside):
    class_names = None
    kinds = {type(value) for value in values.values()}
    if kinds == {str}:
        class_names = sorted(set(values.values()))
        number = {name: i for i, name in enumerate(class_names)}
        values = {key: number[value] for key, value in values.items()}
    elif len(kinds) > 1 or len({len(value) for value in values.values() if isinstance(value, tuple)}) > 1:
        raise UserError(f"The .{kind} files hold labels of several kinds. Make all numbers, all names, or lists of one length.")
    result = Sidecars(class_names=class_names, labels={})
    result.used = [name for names in beside.values() for name in names.values()]
    whole = {key for key, _, ending in pictures.values() if "." not in ending}
    for name, (key, _, ending) in pictures.items():
        if "." in ending and key in whole:  # 0001.seg.png beside 0001.jpg is another picture of the same sample
            result.used.append(name)
            result.counts["further pictures of a sample"] += 1
        elif key in values:
            result.labels[name] = values[key]
    others = sum(len(names) for other, names in beside.items() if other != kind)
    if others:
        result.counts["texts beside pictures"] = others
    return result

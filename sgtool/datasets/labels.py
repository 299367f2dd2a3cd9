"""Labels: which class, or which vector, belongs to which picture.

A label is a class number 0, 1, ... or a tuple of floats; all pictures of a dataset have the same kind.
"""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from sgtool.datasets.label_files import class_names_in, number_classes, parse_json, parse_labels
from sgtool.errors import UserError

UNLABELLED = ("refuse", "drop")
PART = re.compile(r"(#[^#/.]+)+$")  # what tells frames, tiles and faces of one file apart


@dataclass(frozen=True)
class Labels:
    """The labels of a source's pictures.

    Attributes:
        by_name: `{name: label}`, a picture's own name or that of the file that it is a part of.
        class_names: names of the classes 0, 1, ... or of the entries of vectors; None if they have none.
        origin: where they come from, to be shown.
        unlabelled: names of pictures that have none and are to be left out.
    """

    by_name: dict
    class_names: list | None
    origin: str
    unlabelled: list = field(default_factory=list)

    def of(self, name):
        """The label of a picture, or of a part of it such as `clip.mp4#000120`; None if it has none."""
        label = self.by_name.get(name)
        return self.by_name.get(file_of(name)) if label is None else label


def file_of(name):
    """The file that a frame, tile or face was taken from: `clip.mp4#000120#x0y256` lies in `clip.mp4`."""
    return PART.sub("", name) if "#" in name else name


def read_labels(source, choice, regex=None, unlabelled="refuse"):
    """Find the label of every picture of a source.

    Args:
        source: `sources.Source`.
        choice: "auto" (the source's own, from its dataset.json or whatever else it brings; otherwise none), "none",
            "folders" (each folder is a class), or the name of a CSV, JSON or JSON-lines file.
        regex: take the class name out of the picture's name by this regular expression (see `labels_from_names`); None = no.
        unlabelled: "refuse" raises if a picture has no label; "drop" lists it in `Labels.unlabelled`.
    Returns:
        `Labels`, or None.
    Raises:
        UserError: a label belongs to no picture, a picture has no label, or labels cannot be read.
    """
    if unlabelled not in UNLABELLED:
        raise ValueError(f"unlabelled must be one of {UNLABELLED}, not {unlabelled}")
    if regex is not None:
        if choice != "auto":
            raise UserError(f"--labels {choice} and --label-regex both tell where labels come from. Give one of them.")
        labels = labels_from_names(source.names, regex)
    elif choice == "none":
        return None
    elif choice == "auto":
        labels = _own_labels(source)
    elif choice == "folders":
        labels = labels_from_folders(source.names, unlabelled)
    else:
        labels = _labels_from_file(source, choice)
    return None if labels is None else _covering(labels, source.names, unlabelled)


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
    try:
        data = path.read_bytes() if path.is_file() else source.text(choice)
    except OSError as error:
        raise UserError(f"--labels {choice}: it cannot be read ({error.strerror or error}). Mend it, or give another.") from error
    if data is None:
        raise UserError(f"--labels {choice}: no such file, here or in the source. Write none, folders, or a CSV or JSON file.")
    parsed = parse_labels(data, choice)
    if parsed is None:
        raise UserError(f'--labels {choice}: it says "labels": null, that is, none. Give another file, or --labels none.')
    by_name, class_names = parsed
    if path.suffix.lower() == ".json":
        class_names = class_names_in(source.text("prepare.json"))
    return Labels(by_name, class_names, choice)


def labels_from_folders(names, unlabelled="refuse"):
    """Make each folder a class: the first folder level at which the pictures differ, in alphabetical order."""
    paths = {name: name.split("/") for name in names if "/" in name}
    loose = [name for name in names if name not in paths]
    if loose and (unlabelled == "refuse" or not paths):
        raise UserError(
            f"--labels folders: {loose[0]} lies in no folder ({len(loose)} such). "
            "Move each into the folder of its class, or give --unlabelled drop or --labels none."
        )
    level = 0
    while all(len(path) > level + 2 for path in paths.values()) and len({path[level] for path in paths.values()}) == 1:
        level += 1
    return Labels(*number_classes({name: path[level] for name, path in paths.items()}), "folders")


def labels_from_names(names, regex):
    """Take class names out of the pictures' names.

    The class is the group called `label`, or else the first group, of the first place where the expression matches the
    file's name without its folders; with them, if there is a slash in the expression.

    Args:
        names: of the pictures.
        regex: Python regular expression with a group, such as `([^_]+)_`.
    """
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise UserError(f"--label-regex {regex}: not a regular expression ({error}). Write one like '([^_]+)_'.") from error
    if not pattern.groups:
        raise UserError(f"--label-regex {regex}: it has no group. Put the part that is the class into parentheses: '([^_]+)_'.")
    group = "label" if "label" in pattern.groupindex else 1
    words = {}
    for name in names:
        found = pattern.search(name if "/" in regex else name.rpartition("/")[2])
        if found and found[group]:
            words[name] = found[group]
    if not words:
        raise UserError(f"--label-regex {regex}: it matches none of the {len(names)} names, such as {names[0]}. Mend it.")
    return Labels(*number_classes(words), f"--label-regex {regex}")


def _covering(labels, names, unlabelled):
    """Hold the labels against the pictures: same names in either, whatever way Unicode writes them."""
    present = set(names) | {file_of(name) for name in names}
    absent = [name for name in labels.by_name if name not in present]
    if absent:
        labels = replace(labels, by_name=_respelt(labels.by_name, present))
        absent = [name for name in absent if name in labels.by_name]
    if absent:
        raise UserError(
            f"{labels.origin}: it labels {absent[0]}, which is not in the source ({len(absent)} such). "
            "Mend the names (relative to the source), or give --labels none."
        )
    bare = [name for name in names if labels.of(name) is None]
    if bare and (unlabelled == "refuse" or len(bare) == len(names)):
        raise UserError(
            f"{labels.origin}: {_to_label(bare[0], labels.by_name)} has no label ({len(bare)} such of {len(names)}). "
            "Label all of them, or give --unlabelled drop or --labels none."
        )
    return replace(labels, unlabelled=bare)


def _to_label(name, by_name):
    """What a label is missing for: a frame, if others of its file have labels of their own, or else its file."""
    file = file_of(name)
    return name if any(other.startswith(f"{file}#") for other in by_name) else file


def _respelt(by_name, present):
    """Give names the spelling of the source where they differ only in how accents are composed (macOS takes them apart)."""
    spelling = {unicodedata.normalize("NFC", name): name for name in present}
    return {
        name if name in present else spelling.get(unicodedata.normalize("NFC", name), name): label
        for name, label in by_name.items()
    }

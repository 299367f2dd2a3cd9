"""Labels of examples: from a file or from the names of folders, as yes or no for each direction to be learned."""

from pathlib import PurePosixPath

import numpy as np

from sgtool.datasets.label_files import parse_labels
from sgtool.errors import UserError

MOST_LABEL_BYTES = 1 << 26
NO_LABELS = ("nan", "inf", "-inf")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".npz")
FEWEST = 5  # examples with a label, and as many without


def labels_of_file(path):
    """Read a file of labels: CSV `name,label`, or what else `label_files.parse_labels` reads.

    Returns:
        `{name: {label: True or False}}`, each with the same labels. Of one label a line, each name has one that is True;
        of columns with 0 and 1, or of several labels a line, any number.
    Raises:
        UserError: it cannot be read, or holds something else than labels.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_LABEL_BYTES + 1)
    except OSError as error:
        raise UserError(f"--labels {path} cannot be read: {error.strerror or error}. Check the path.") from error
    if len(data) > MOST_LABEL_BYTES:
        raise UserError(f"--labels {path} is larger than {MOST_LABEL_BYTES >> 20} MB. Give a CSV of lines name,label.")
    parsed = parse_labels(data, str(path))
    if parsed is None:
        raise UserError(f"--labels {path} says that there are no labels. Give a CSV of lines name,label.")
    by_name, words = parsed
    first = next(iter(by_name.values()))
    marks = _marks_of_vectors if isinstance(first, tuple) else _marks_of_classes
    marked = marks(by_name, words, path)
    for word in next(iter(marked.values())):
        if word.lower() in NO_LABELS:
            raise UserError(f"--labels {path}: {word} is no label. Give a word or a number, or take its lines out.")
    return marked


def _marks_of_classes(by_name, words, path):
    """`{name: class number}` to marks."""
    numbers = sorted(set(by_name.values()))
    texts = {number: str(number) if words is None else words[number] for number in numbers}
    return {name: {texts[number]: number == own for number in numbers} for name, own in by_name.items()}


def _marks_of_vectors(by_name, words, path):
    """`{name: tuple of 0 and 1}` to marks."""
    for name, values in by_name.items():
        wrong = [value for value in values if value not in (0, 1)]
        if wrong:
            raise UserError(f"--labels {path}: {name} has the number {wrong[0]:g}. Columns of numbers are 0 (no) and 1 (yes).")
    length = len(next(iter(by_name.values())))
    words = words or [f"label{i}" for i in range(length)]
    return {name: {word: value == 1 for word, value in zip(words, values, strict=True)} for name, values in by_name.items()}


def matched(marked, names, path, say):
    """Find the example that each line of a file of labels means.

    A line means the example of that name. The ending of a picture may be there or not, and the folder too where the rest
    tells examples apart.

    Args:
        marked: what `labels_of_file` gives.
        names: of the examples, without endings: "seed0003", "smiling/seed0003".
        path: the file, for messages.
        say: called with a text on examples without a label.
    Returns:
        numbers of the examples that have labels, and their marks, two lists.
    Raises:
        UserError: a name is of no example, or of several, or one example has two lines.
    """
    places = {}
    for i, name in enumerate(names):
        for key in {name, PurePosixPath(name).name}:
            places.setdefault(key, []).append(i)
    found = {}
    for name, marks in marked.items():
        key = _without_ending(name)
        here = places.get(key) or places.get(PurePosixPath(key).name) or []
        if not here:
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise UserError(f"--labels {path}: there is no example {name}. The names of the examples are {listed}: use those.")
        if len(here) > 1:
            raise UserError(f"--labels {path}: {name} may mean {names[here[0]]} or {names[here[1]]}. Give each its own name.")
        if here[0] in found:
            raise UserError(f"--labels {path} has two lines for {names[here[0]]}. Leave one.")
        found[here[0]] = marks
    if len(found) < len(names):
        say(f"{len(names) - len(found)} of {len(names)} examples have no label in {path}: they are left out.")
    order = sorted(found)
    return order, [found[i] for i in order]


def _without_ending(name):
    path = PurePosixPath(name)
    return str(path.with_suffix("") if path.suffix.lower() in PICTURES else path)


def questions(marks):
    """Return what is to be learned: a name and who has it, for each direction.

    Two labels that exclude each other are one question, named after the last in order: of 0 and 1 it is 1, of without
    and with it is without. More are a question each: this label, or any other.

    Args:
        marks: list of `{label: True or False}`, one for each example.
    Returns:
        `{label: bool array [N]}`.
    Raises:
        UserError: there is one label only, or too few examples have one, or too few have not.
    """
    words = list(marks[0])
    table = {word: np.array([own[word] for own in marks]) for word in words}
    exclusive = all(sum(own.values()) == 1 for own in marks)
    if exclusive:
        table = {word: has for word, has in table.items() if has.any()}
    if exclusive and len(table) < 2:
        raise UserError(f"All examples have the label {next(iter(table))}. A direction needs examples with another label too.")
    counts = [(int(has.sum()), "have", word) for word, has in table.items()]
    counts += [(int((~has).sum()), "do not have", word) for word, has in table.items()]
    for count, have, word in counts:
        if count < FEWEST:
            raise UserError(
                f"{count} of {len(marks)} examples {have} the label {word}; at least {FEWEST} must, "
                "and a hundred make a good direction. Label more of them."
            )
    if exclusive and len(table) == 2:
        last = list(table)[-1]
        return {last: table[last]}
    return table

"""What a list of latents may say: seeds, saved latents, pictures to be projected, and mixtures of them."""

import math
import os
import re
from typing import NamedTuple

LARGEST_SEED = 2**32 - 1
MOST = 1_000_000  # latents in one list
EXAMPLE = "Write seeds like 0-3,7, a file of latents like w.npz, a picture like face.png, or a mixture like 0.7*3+0.3*w.npz"
PART = re.compile(r"""\s*(?:"((?:[^"]|"")+)"\s*|((?:\[[0-9,\s-]*\]|[^,])*)),""")  # in quotes, or without; then a comma

WEIGHTED = re.compile(r"(?:\s*(-?[0-9]{0,20}\.?[0-9]{1,30}(?:[eE]-?[0-9]{1,3})?)\s*\*)?([^*]+)")  # 0.7*w.npz


class Seed(NamedTuple):
    """z of a seed, and the class it is shown as (None = the command's)."""

    number: int
    label: int | None = None

    def __str__(self):
        return f"{self.number}" if self.label is None else f"{self.number}@{self.label}"


class Stored(NamedTuple):
    """Rows of a file of latents; None = all."""

    path: str
    rows: tuple | None = None

    def __str__(self):
        return self.path if self.rows is None else f"{self.path}[{','.join(map(str, self.rows))}]"


class Picture(NamedTuple):
    """A picture, to be projected."""

    path: str

    def __str__(self):
        return self.path


class Mixture(NamedTuple):
    """The weighted mean, in W, of several of them; the weights add up to 1."""

    weights: tuple
    parts: tuple

    def __str__(self):
        weights = [repr(weight).replace("e+", "e") for weight in self.weights]  # a plus sign begins another part
        return "+".join(f"{weight}*{part}" for weight, part in zip(weights, self.parts, strict=True))


def parse_latents(text):
    """Read a list of latents, in the order given.

    `0-3,7` are seeds, `3@5` is seed 3 as class 5, `w.npz` all latents of a file, `w.npz[0]` or `w.npz[0-2]` some of them,
    any other file a picture to be projected, `0.7*3+0.3*w.npz` a mixture (weights without a number count 1; they are
    divided by their sum). What has no other sign than digits is a seed. What else is the name of an existing file is that
    file, whatever signs it has; a name with a comma stands in double quotes.

    Args:
        text: the list.
    Returns:
        list of `Seed`, `Stored`, `Picture` and `Mixture`, never empty.
    Raises:
        ValueError: a part of it is nothing of the kind; the text says which part.
    """
    if not text.strip():
        raise ValueError(f"it is empty. {EXAMPLE}.")
    parts = [text] if _is_file(text) else _split(text)
    items = []
    for part in parts:
        items.extend(_one(part))
        if len(items) > MOST:
            raise ValueError("it names more than a million latents. Ask for fewer at a time.")
    return items


def latents_text(items):
    """Write a list of latents as `parse_latents` reads it, with runs of seeds as ranges: "0-3,7,w.npz[0]"."""
    runs = []  # [first, last] of seeds, or an item
    for item in items:
        plain = isinstance(item, Seed) and item.label is None
        if plain and runs and isinstance(runs[-1], list) and item.number == runs[-1][1] + 1 and item.number - runs[-1][0] < MOST:
            runs[-1][1] = item.number
        else:
            runs.append([item.number, item.number] if plain else item)
    return ",".join(_text(run) for run in runs)


def _text(run):
    if isinstance(run, list):
        return f"{run[0]}" if run[0] == run[1] else f"{run[0]}-{run[1]}"
    text = str(run)
    return text if _split(text) == [text] else '"' + text.replace('"', '""') + '"'


def _split(text):
    """Cut a list at its commas, those in quotes or brackets apart: `"a,b.png"`, `w.npz[0,2]`."""
    found = PART.findall(text + ",")
    return [quoted.replace('""', '"') if quoted else bare.strip() for quoted, bare in found]


def _is_file(text):
    """Tell whether a text is the name of a file; what can be a list of seeds never is."""
    return os.path.isfile(text) and not re.fullmatch(r"[0-9,@\s-]*", text)


def _one(part):
    """Return the latents that one part of a list names."""
    if not part:
        raise ValueError(f"there is nothing between two commas. {EXAMPLE}.")
    if _is_file(part):
        return [_file(part, None)]
    if "+" in part or "*" in part:
        return [_mixture(part)]
    return _plain(part)


def _plain(part):
    match = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?(?:@([0-9]{1,9}))?", part)
    if match:
        label = None if match[3] is None else int(match[3])
        return [Seed(number, label) for number in _range(part, match[1], match[2], LARGEST_SEED)]
    match = re.fullmatch(r"(.+\.npz)\[([0-9,\s-]+)\]", part, re.IGNORECASE | re.DOTALL)
    if match:
        return [_file(match[1], _rows(part, match[2]))]
    if re.search(r"[^0-9,@\s-]", part):
        return [_file(part, None)]
    raise ValueError(f"{part[:80]!r} names no latent. {EXAMPLE}.")


def _range(part, first, last, largest):
    first, last = int(first), int(last or first)
    if max(first, last) > largest:
        raise ValueError(f"{max(first, last)} in {part} is too large; it goes from 0 to {largest}.")
    if last < first:
        raise ValueError(f"the range {part} runs backwards. Write {last}-{first}.")
    if last - first >= MOST:
        raise ValueError(f"the range {part} holds more than a million numbers. Ask for fewer at a time.")
    return range(first, last + 1)


def _rows(part, text):
    rows = []
    for piece in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", piece)
        if not match:
            raise ValueError(f"{part[:80]!r}: rows are numbers and ranges, like [0] or [0-2,5].")
        rows.extend(_range(piece.strip(), match[1], match[2], MOST))
        if len(rows) > MOST:
            raise ValueError(f"{part[:80]!r} names more than a million rows. Ask for fewer at a time.")
    return tuple(rows)


def _file(path, rows):
    if path.lower().endswith(".npz"):
        return Stored(path, rows)
    return Picture(path)


def _mixture(part):
    weights, parts = [], []
    for term in part.split("+"):
        match = WEIGHTED.fullmatch(term)
        found = _plain(match[2].strip()) if match else []
        if len(found) != 1:
            raise ValueError(
                f"{part[:80]!r} is no mixture: each part is one seed or file, with a weight or without, as in 0.7*3+0.3*8."
            )
        weights.append(float(match[1] or 1))
        parts.append(found[0])
    total = sum(weights)
    if not math.isfinite(total):
        raise ValueError(f"the weights of {part[:80]!r} are too large to add. Write smaller ones.")
    if not abs(total) > 1e-6 * max(map(abs, weights)):
        raise ValueError(f"the weights of {part[:80]!r} add up to 0, so there is no mean. Change one of them.")
    if abs(total - 1) < 1e-9:  # so that what was divided once stays as it is
        total = 1
    return Mixture(tuple(weight / total for weight in weights), tuple(parts))

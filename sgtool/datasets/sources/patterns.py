"""Names of many files in one: `shards/train-{000..012}.tar`, `shards/train-*.tar`."""

import glob
import itertools
import re
from pathlib import Path

from sgtool.errors import UserError

MOST = 100_000  # files


def is_pattern(text):
    """Tell whether a text stands for several names."""
    return bool(re.search(r"[*?\[]|\{[^{}]*(?:,|\.\.)[^{}]*\}", text))


def matching(text):
    """List the files that a pattern stands for, sorted; those that braces spell out must all be there.

    Args:
        text: path with `{000..012}`, `{a,b}`, `*`, `?` or `[0-9]`.
    Returns:
        list of `Path`.
    """
    parts = [_choices(part) for part in re.split(r"(\{[^{}]*\})", text)]
    count = 1
    for choices in parts:
        count *= len(choices)
    if count > MOST:
        raise UserError(f"{text} stands for {count} files, more than {MOST}. Give a folder or a shorter pattern.")
    found = []
    for choice in itertools.product(*parts):
        name = "".join(choice)
        files = glob.glob(name) if re.search(r"[*?\[]", name) else [name] if Path(name).is_file() else []
        if not files:
            raise UserError(f"{name} does not exist ({text}). Mend the pattern, or put the pattern in quotes.")
        found += files
    return [Path(name) for name in sorted(set(found))]


def _choices(part):
    numbers = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", part)
    if numbers:
        first, last = numbers.groups()
        if int(last) - int(first) >= MOST:
            raise UserError(f"{part} stands for more than {MOST} files. Give a folder or a shorter pattern.")
        return [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return part[1:-1].split(",") if part.startswith("{") and "," in part else [part]

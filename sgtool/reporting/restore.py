"""Encoded pictures out of the page that was written before, so that a sheet is encoded once in the life of a run."""

import re

from sgtool.reporting.encode import Encoded
from sgtool.reporting.tail import inside, parsed

SOURCE = re.compile(r"data:image/(webp|png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")
MOST_BYTES = 32 << 20  # of a page
FIRST, LAST = '<script type="application/json" id="data">', "</script>"


def as_plain(key, picture):
    """Return a kept picture as plain values, for the data of a page."""
    return {"key": list(key), "size": [picture.width, picture.height, picture.columns, picture.rows, *picture.of]}


def restore(gallery, folder, name):
    """Give a `Gallery` the pictures of an earlier page. What is not as it was written is passed over, and encoded again.

    Args:
        gallery: `pictures.Gallery`.
        folder: where the page lies.
        name: of the page.
    """
    path = inside(folder, name)
    try:
        if path is None or path.stat().st_size > MOST_BYTES:
            return
        page = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    _, _, rest = page.partition(FIRST)
    data = parsed(rest.partition(LAST)[0]) or {}
    runs = data.get("runs")
    for run in runs if isinstance(runs, list) else []:
        frames = run.get("frames") if isinstance(run, dict) else None
        for frame in frames if isinstance(frames, list) else []:
            found = _picture(frame)
            if found is not None:
                gallery.keep(*found)


def _picture(frame):
    """Return (key, `Encoded`) of a frame of an earlier page, None if it is not as `as_plain` writes it."""
    if not isinstance(frame, dict):
        return None
    source, key, size = frame.get("source"), frame.get("key"), frame.get("size")
    if not isinstance(source, str) or not SOURCE.fullmatch(source):
        return None
    if not _are_numbers(size, 6) or not isinstance(key, list) or len(key) != 6 or not isinstance(key[0], str):
        return None
    cell = tuple(key[3]) if _are_numbers(key[3], 2) else None
    if not _are_numbers([*key[1:3], *key[4:]], 4):
        return None
    return (*key[:3], cell, *key[4:]), Encoded(source, *size[:4], tuple(size[4:]))


def _are_numbers(values, count):
    return isinstance(values, list) and len(values) == count and all(type(value) is int for value in values)

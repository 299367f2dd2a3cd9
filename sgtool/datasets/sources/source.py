"""What every source of pictures is, whatever it was read from."""

from collections import Counter
from dataclasses import dataclass, field

from sgtool.datasets.sources.formats import is_picture_name
from sgtool.errors import UserError

METADATA = ("dataset.json", "prepare.json")
WANTED = "Give a folder or zip of PNG, JPEG, WebP, GIF, BMP or TIFF pictures."


@dataclass
class Source:
    """An ordered collection of pictures.

    Attributes:
        names: what each picture is called: its path below the source with forward slashes, `tile00042.png`, ...; all differ.
        picture: function from an index to a small object that `load` and `examine` take, and that can be pickled.
        text: function from the name of a text file at the top of the source (dataset.json) to its bytes, or None.
        labels: `{name: label}` that the source brings itself, or None. A label is an int or a tuple of floats.
        class_names: names of the classes 0, 1, ... of `labels`, or None.
        ignored_files: files that are not used, for any reason in `counts`.
        empty_tiles: fully transparent tiles of a sprite sheet.
        counts: `{reason: number}` of what was not used.
        warnings: sentences on what was chosen or left out.
        stamps: list of (path, size, time) of the files that the pictures lie in; empty if each has a file of its own.
        keep: something that must live as long as the source is used, such as a temporary file. It goes away with it.
    """

    names: list
    picture: object
    text: object = field(default=lambda name: None)
    labels: dict | None = None
    class_names: list | None = None
    ignored_files: int = 0
    empty_tiles: int = 0
    counts: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)
    stamps: list = field(default_factory=list)
    keep: object = None


def pictures_among(files, where, counts=()):
    """Sort file names out: pictures, and all others.

    Args:
        files: names (any container of them), forward slashes.
        where: what holds them, for the message.
        counts: `{reason: number}` of files that were left out before.
    Returns:
        the pictures' names, sorted, and the counts with "not pictures" added.
    Raises:
        UserError: none is a picture.
    """
    names = sorted(name for name in files if is_picture_name(name))
    counts = Counter(counts)
    counts["not pictures"] += len(files) - len(names) - sum(name in files for name in METADATA)
    counts = {reason: number for reason, number in counts.items() if number}
    if not names:
        others = len(files) or sum(counts.values())
        what = f"{others} files, but none is a picture" if others else "nothing"
        raise UserError(f"{where} holds {what}. {WANTED}")
    return names, counts


def safe_name(name):
    """Clean the name of a file inside an archive.

    Returns:
        the name without a leading `./`, or None if it is absolute or leads outside.
    """
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":" and name[0].isalpha()) or ".." in name.split("/"):
        return None
    return name


def shown_name(name, taken=()):
    """Turn a name that may hold bytes outside UTF-8 (as surrogates) into plain text that is not in `taken`."""
    if name.isascii():
        return name
    data = name.encode("utf-8", "surrogateescape")
    shown = data.decode("utf-8", "replace")
    if shown != name and shown in taken:
        shown = data.decode("utf-8", "backslashreplace").replace("\\", "%")
    return shown

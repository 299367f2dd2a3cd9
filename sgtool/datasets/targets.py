"""The datasets that one run writes: names, places, and the space they need."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sgtool.datasets.archive import check_destination, check_name, is_zip_name
from sgtool.datasets.png import png_bytes
from sgtool.errors import UserError

PLACE = "{resolution}"
MAIN, HELD_OUT = 0, 1
OVERHEAD = 512  # bytes a picture besides the PNG: its names in the archive, its line in an index and in dataset.json


@dataclass(frozen=True)
class Target:
    """One dataset.

    Attributes:
        dest: zip or folder.
        edition: number of its resolution.
        side: `MAIN` or `HELD_OUT`.
    """

    dest: Path
    edition: int
    side: int

    @property
    def part(self):
        """Its name in the work folder."""
        return f"dataset-{self.edition}-{self.side}" + (".zip" if is_zip_name(self.dest) else "")


def size_text(size):
    """Write a size as `--resolution` takes it: 256, or 512x384."""
    width, height = size
    return f"{width}" if width == height else f"{width}x{height}"


def targets_of(dest, sizes, holdout):
    """Name the datasets of a run.

    Args:
        dest: what the user gave. With several sizes, `{resolution}` in its name is replaced; without it, `-256` is added.
        sizes: (width, height) of each resolution.
        holdout: whether there is a second dataset of each, called `...-holdout`.
    Returns:
        list of `Target`.
    """
    dest = Path(dest)
    if PLACE in str(dest.parent):
        raise UserError(f"DEST {dest}: {PLACE} belongs into the last part of the name. Write it like data-{PLACE}.zip")
    named = PLACE in dest.name
    if len(sizes) > 1 and not named:
        dest = _with_ending(dest, f"-{PLACE}")
    targets = []
    for edition, size in enumerate(sizes):
        name = dest.name.replace(PLACE, size_text(size)) if None not in size else dest.name
        if PLACE in name:
            raise UserError(f"DEST {dest}: {PLACE} is the size of --resolution. Give one, or another name.")
        targets.append(Target(dest.with_name(name), edition, MAIN))
        if holdout:
            targets.append(Target(_with_ending(dest.with_name(name), "-holdout"), edition, HELD_OUT))
    for target in targets:
        check_name(target.dest)
    return targets


def _with_ending(dest, ending):
    return dest.with_name(f"{dest.stem}{ending}{dest.suffix}" if is_zip_name(dest) else f"{dest.name}{ending}")


def check_targets(targets, source, force, moved=()):
    """Refuse datasets that are there already (see `archive.check_destination`), except those in `moved`, which are ours."""
    for target in targets:
        if str(target.dest.absolute()) not in moved:
            check_destination(target.dest, source, force)


def check_space(dest, folder, number, shapes, done):
    """Raise `UserError` unless the disk has room for what is still to be made.

    Args:
        dest: as the user gave it, for the message.
        folder: work folder, on the same disk.
        number: of the pictures; each is taken to become one.
        shapes: (width, height, channels) of each resolution.
        done: bytes that are in the work folder already.
    """
    need = number * sum(png_bytes(*shape) + OVERHEAD for shape in shapes) - done
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"DEST {dest} needs about {_amount(need)}, but {_amount(free)} are free on its disk. "
            "Free some, choose a DEST on another disk, or a smaller --resolution."
        )


def _amount(size):
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"

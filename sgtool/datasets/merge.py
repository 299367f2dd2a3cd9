"""From shards to datasets: pictures are appended in the order of the source, and shards go once they are safe.

Where the merging stands is noted from time to time (`merge.json`), so that it goes on after a kill: what was appended
since is cut off. So the disk holds each picture once, and a little more.
"""

import os
from dataclasses import dataclass, field

from sgtool.datasets.archive import is_zip_name, open_part, picture_name
from sgtool.datasets.shards import data_path, read_index, read_shard

NOTE = "merge.json"
SAFE_BYTES = 1 << 28  # appended between two notes


@dataclass
class Standing:
    """Where the merging stands: shards that are appended; for each dataset, bytes and pictures."""

    shards: int = 0
    positions: list = field(default_factory=list)
    counts: list = field(default_factory=list)


def standing(workplace, targets):
    """Read where the merging stands; at the beginning, if a dataset is not as long as was noted."""
    noted = workplace.noted(NOTE)
    if noted is not None and len(noted["positions"]) == len(targets):
        there = [_length(workplace.folder / target.part) for target in targets]
        if all(length is not None and length >= position for length, position in zip(there, noted["positions"], strict=True)):
            return Standing(**noted)
    return Standing(0, [0] * len(targets), [0] * len(targets))


def _length(path):
    """Bytes of an unfinished dataset; None if it is not there."""
    if not path.exists():
        return None
    return path.stat().st_size if is_zip_name(path) else 0


def merge(workplace, targets, shards, sides, shown):
    """Append the pictures of all shards to their datasets, without finishing these.

    Args:
        workplace: `Workplace`.
        targets: list of `Target`.
        shards: number of shards.
        sides: `Target.side` of each picture of the source, or anything else for those in no dataset; indexable.
        shown: called with the number of pictures appended.
    Returns:
        the unfinished datasets, see `archive.open_part`.
    Raises:
        Damaged: a shard is not what was written. What was merged before it is kept.
        OSError: a dataset cannot be written.
    """
    state = standing(workplace, targets)
    parts = [open_part(workplace.folder / target.part, at) for target, at in zip(targets, state.positions, strict=True)]
    number_of = {(target.edition, target.side): i for i, target in enumerate(targets)}
    safe, waiting = state.shards, 0
    try:
        for number in range(state.shards, shards):
            for record, pictures in read_shard(workplace.folder, number):
                which = number_of.get((record.edition, sides[record.index]))
                if which is None:
                    continue
                for data, png in zip(pictures, record.pictures, strict=True):
                    parts[which].add(picture_name(state.counts[which]), data, png.crc)
                    state.counts[which] += 1
                    waiting += png.size
                shown(len(pictures))
            state.shards = number + 1
            if waiting >= SAFE_BYTES:
                safe, waiting = _note(workplace, parts, state, safe), 0
    except BaseException:
        for part in parts:
            part.close()
        raise
    return parts


def _note(workplace, parts, state, safe):
    """Make what was merged durable, note it, and remove the data of the shards; return the number of the next shard."""
    for part in parts:
        part.sync()
    state.positions = [part.position for part in parts]
    workplace.note(NOTE, vars(state))
    for number in range(safe, state.shards):
        data_path(workplace.folder, number).unlink(missing_ok=True)
    return state.shards


def entries(workplace, target, shards, sides):
    """Yield (name, size, CRC-32) of the pictures of a merged dataset, in order."""
    count = 0
    for record in records(workplace, shards):
        if record.edition == target.edition and sides[record.index] == target.side:
            for png in record.pictures:
                yield picture_name(count), png.size, png.crc
                count += 1


def records(workplace, shards):
    """Yield the records of all shards, in the order of the source."""
    for number in range(shards):
        yield from read_index(workplace.folder, number)


def publish(workplace, moves):
    """Move finished files and folders to their places; after a kill, those that are still to be moved.

    Args:
        workplace: `Workplace`.
        moves: list of (name in the work folder, absolute path). What is there is replaced.
    """
    for name, dest in moves:
        path = workplace.folder / name
        if not path.exists():
            continue
        if os.path.isdir(dest):
            os.rename(dest, workplace.folder / f"old-{name}")
        os.replace(path, dest)


def moved(workplace_folder, moves):
    """Return the set of places (text) that a run that was killed has filled already."""
    return {dest for name, dest in moves if not os.path.exists(os.path.join(workplace_folder, name))}

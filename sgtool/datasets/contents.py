"""What each dataset of a run will hold, gathered from the shards before they are merged."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

from sgtool.datasets.archive import picture_name
from sgtool.datasets.headers import refuse_if
from sgtool.datasets.targets import MAIN
from sgtool.errors import UserError


@dataclass
class Content:
    """Contents of a dataset, counted picture by picture, in order.

    Attributes:
        written: number of pictures.
        digest: SHA-256 over those of the pictures.
        notes: number of pictures for each thing that was done to some.
        labels: text of the list in dataset.json, as bytes.
        values: the labels.
        skipped: list of [name, reason] of what was left out; empty in the dataset that is held out.
    """

    written: int = 0
    digest: object = field(default_factory=hashlib.sha256)
    notes: Counter = field(default_factory=Counter)
    labels: bytearray = field(default_factory=bytearray)
    values: list = field(default_factory=list)
    skipped: list = field(default_factory=list)

    def add(self, png, label):
        """Count a picture: `shards.Png`, and its label or None."""
        self.digest.update(bytes.fromhex(png.digest))
        self.notes.update(png.notes)
        if label is not None:
            pair = json.dumps([picture_name(self.written), label])
            self.labels += (b", " if self.labels else b"") + pair.encode()
            self.values.append(label)
        self.written += 1

    def dataset_json(self):
        """The bytes of dataset.json."""
        return b'{"labels": ' + (b"[" + bytes(self.labels) + b"]" if self.labels else b"null") + b"}"


def contents_of(records, targets, chosen, source, labels, request):
    """Count what goes where.

    Args:
        records: of all shards, in order.
        targets: list of `Target`.
        chosen: `selection.Selection`.
        source: `sources.Source`.
        labels: `labels.Labels` or None.
        request: `Request`.
    Returns:
        list of `Content`, one for each target.
    Raises:
        UserError: a picture that `--strict` refuses, or a dataset without pictures.
    """
    contents = {(target.edition, target.side): Content() for target in targets}
    for record in records:
        name = source.names[record.index]
        reason = record.failure or chosen.dropped.get(record.index)
        if reason is not None:
            refuse_if(request.strict and record.unreadable, name, reason)
            contents[record.edition, MAIN].skipped.append([name, reason])
            continue
        content = contents[record.edition, chosen.sides[record.index]]
        label = labels.of(name) if labels else None
        for png in record.pictures:
            content.add(png, label)
    for target in targets:
        _refuse_nothing(target, contents[target.edition, target.side], request)
    return list(contents.values())


def _refuse_nothing(target, content, request):
    if content.written:
        return
    if target.side != MAIN or not content.skipped:
        raise UserError(
            f"--holdout {request.holdout} leaves {target.dest} without pictures. Give another share, or more pictures."
        )
    name, reason = content.skipped[-1]
    number = len(content.skipped)
    raise UserError(f"None of the {number} pictures can be used. The last is {name}: {reason}. Give other files.")

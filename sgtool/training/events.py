"""What happened to a run besides training: events.jsonl, for the log's readers and the report's time axis."""

import time

from sgtool.files import json_line
from sgtool.training.lines import Lines

KINDS = (
    "start", "resume", "restart", "stop", "done", "change", "rollback", "skip", "fault", "collapse", "memory", "snapshot-now",
    "data", "metric",
)  # fmt: skip


class Events:
    """Appends a line to events.jsonl for each event. Lines stay when a run goes on from before them: they happened.

    While the disk is full, lines wait for the next one.

    Args:
        folder: the run folder; None = nowhere, in processes that write nothing.
    """

    def __init__(self, folder):
        self._lines = None if folder is None else Lines(folder / "events.jsonl")

    def __call__(self, kind, text, nimg, **facts):
        """Note an event.

        Args:
            kind: one of `KINDS`.
            text: a sentence for people.
            nimg: real pictures shown so far.
            facts: plain values.
        Raises:
            ValueError: there is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"no kind of event is called {kind!r}")
        if self._lines is not None:
            self._lines.add(json_line({"kind": kind, "text": text, "nimg": nimg, "timestamp": time.time(), **facts}))

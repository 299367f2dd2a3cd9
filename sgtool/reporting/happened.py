"""What happened in a run: events.jsonl, and the warnings in log.txt."""

from dataclasses import dataclass

from sgtool.reporting.history import NAN
from sgtool.reporting.tail import Tail, number, parsed

MOST_EVENTS = 5000
MOST_WARNINGS = 500  # different ones
LONGEST = 500  # letters of a text


@dataclass(frozen=True)
class Event:
    """Something that happened at a moment of the run.

    Attributes:
        kimg: when, in thousands of pictures.
        kind: a word, such as resume, rollback, change, fault.
        text: a sentence.
        timestamp: seconds since 1970, NaN = not told.
    """

    kimg: float
    kind: str
    text: str
    timestamp: float


class Events:
    """The events of a run, which may become more.

    Attributes:
        events: list of `Event`, as written.
        dropped: how many more there were.
    """

    def __init__(self, folder):
        self.tail = Tail(folder, "events.jsonl")
        self.events, self.dropped, self.unreadable = [], 0, 0

    def refresh(self):
        """Read what has been added."""
        lines, anew = self.tail.read()
        if anew:
            self.events, self.dropped, self.unreadable = [], 0, 0
        for line in lines:
            event = _event(parsed(line))
            if event is None:
                self.unreadable += 1
            elif len(self.events) < MOST_EVENTS:
                self.events.append(event)
            else:
                self.dropped += 1

    def last_kind(self):
        """The kind of the last event, "" without any."""
        return self.events[-1].kind if self.events else ""


def _event(row):
    nimg = NAN if row is None else number(row.get("nimg"))
    if not nimg >= 0 or not isinstance(row.get("kind"), str):
        return None
    return Event(nimg / 1000, row["kind"][:40], str(row.get("text", ""))[:LONGEST], number(row.get("timestamp")))


class Warnings:
    """The warnings in a run's log.txt, each once.

    Attributes:
        counts: {line: how often it was said}, in the order in which they came.
        dropped: lines that were left out.
    """

    def __init__(self, folder):
        self.tail = Tail(folder, "log.txt")
        self.counts, self.dropped = {}, 0

    def refresh(self):
        """Read what has been added."""
        lines, anew = self.tail.read()
        if anew:
            self.counts, self.dropped = {}, 0
        for line in lines:
            text = line.strip()[:LONGEST]
            if not is_warning(text):
                continue
            if text in self.counts or len(self.counts) < MOST_WARNINGS:
                self.counts[text] = self.counts.get(text, 0) + 1
            else:
                self.dropped += 1


def is_warning(line):
    """Whether a line of a log asks for attention."""
    words = line[:200].lower()
    return words.startswith(("warning", "error")) or "warning:" in words or "leak" in words

"""A run folder as a page needs it: read whatever is there, again and again, only what is new."""

from pathlib import Path

from sgtool.errors import UserError
from sgtool.reporting.happened import Events, Warnings
from sgtool.reporting.history import History
from sgtool.reporting.measured import Metrics
from sgtool.reporting.pictures import Allowance, Gallery
from sgtool.reporting.settings import reached, read_settings

SIGNS = ("stats.jsonl", "training_options.json", "log.txt", "reals.png", "fakes_init.png")


class RunFolder:
    """What a run folder tells; `refresh` reads what has been added.

    Attributes:
        name: of the folder.
        settings, history, metrics, events, warnings: each as its module says.
        frames, reals: sheets of pictures, see `Gallery.refresh`.
    """

    def __init__(self, folder, allowance=None):
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.history, self.metrics = History(folder), Metrics(folder)
        self.events, self.warnings = Events(folder), Warnings(folder)
        self.gallery = Gallery(folder, allowance or Allowance())
        self.settings, self.frames, self.reals = None, [], None

    def refresh(self, most_new=None):
        """Read what has been added, encode at most `most_new` sheets (None = all), and return self."""
        self.settings = read_settings(self.folder)
        for part in (self.history, self.metrics, self.events, self.warnings):
            part.refresh()
        self.frames, self.reals = self.gallery.refresh(self.settings.cell(), most_new)
        return self

    @property
    def kimg(self):
        """How far the run is, in thousands of pictures."""
        return self.history.kimg[-1] if self.history.kimg else 0.0

    def seconds_left(self):
        """Seconds of training that are left at the speed of the last ticks; NaN where it cannot be told."""
        _, total = reached(self.kimg, self.settings)
        return max(total - self.kimg, 0.0) * self.history.last("Timing/sec_per_kimg", 10)

    def state(self):
        """In a word or two, how the run stands."""
        share, _ = reached(self.kimg, self.settings)
        if share >= 1:
            return "complete"
        last = self.events.last_kind()
        return {"stop": "stopped", "done": "complete"}.get(last, "in progress")

    def notes(self):
        """Sentences about what is not shown, or could not be read."""
        notes = list(self.gallery.notes)
        unreadable = [("stats.jsonl", self.history.unreadable), ("events.jsonl", self.events.unreadable)]
        unreadable += [(f"metric-{name}.jsonl", file.unreadable) for name, file in self.metrics.files.items()]
        notes += [f"{name}: {count} lines could not be read." for name, count in unreadable if count]
        tails = [part.tail for part in (self.history, self.events, self.warnings)]
        notes += [f"{tail.name}: {tail.skipped / 1e6:.1f} MB were passed over." for tail in tails if tail.skipped]
        more = [(self.events.dropped, "events"), (self.warnings.dropped, "warnings")]
        return notes + [f"{count} more {what} are not shown." for count, what in more if count]


def found_run(path, allowance=None):
    """Return the `RunFolder` of a path, not yet read.

    Raises:
        UserError: there is no such folder, or it is no run's.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder. Name a run folder, such as runs/00000-data-auto1.")
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). Check its permissions.") from error
    if not names.intersection(SIGNS):
        inner = sorted(name for name in names if (path / name / "stats.jsonl").is_file())[:1]
        hint = f"Did you mean {path / inner[0]}?" if inner else "Name a folder that sgtool train (or NVIDIA's train.py) made."
        raise UserError(f"{path} is no run folder: it has no stats.jsonl, no training_options.json, no pictures. {hint}")
    return RunFolder(path, allowance)

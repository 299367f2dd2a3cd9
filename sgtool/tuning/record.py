"""tune.json: what a ladder was begun with and what came of its rungs, so that the same line goes on with it."""

import contextlib
import json
from pathlib import Path

from sgtool import __version__
from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.tuning.outcome import RULE, Outcome

NAME = "tune.json"
MAY_CHANGE = {  # options of `train` that change no number of it
    "device", "disk_budget", "gpus", "keep", "keep_every", "metrics", "metrics_share", "nobench", "offline", "snap", "tick",
    "timeout", "workers",
}  # fmt: skip


class Record:
    """The file tune.json of a ladder.

    Attributes:
        path: of the file.
        outcomes: {name of the rung: `Outcome`} of those that are done.
        started: list of names of the rungs that were begun.
    """

    def __init__(self, path, data, options):
        self.path, self.data, self.options = path, data, options
        self.outcomes, self.started = {}, []

    @classmethod
    def opened(cls, outdir, data, options):
        """Begin a ladder in the folder `outdir`, which is there, or go on with the one that lies there.

        Args:
            outdir: folder of the ladder.
            data: path of the dataset.
            options: what is passed on to each training, plain values.
        Raises:
            UserError: the folder holds something else, or a ladder with other options or data.
        """
        path = Path(outdir) / NAME
        record = cls(path, str(Path(data).absolute()), {k: v for k, v in _plain(options).items() if k not in MAY_CHANGE})
        if not path.exists():
            if any(found.name not in (".lock", NAME) and not found.name.endswith(".part") for found in path.parent.iterdir()):
                raise UserError(f"--outdir {outdir} holds something, but no {NAME} of a ladder. Choose a new folder.")
            record.save()
            return record
        record._read()
        return record

    def _read(self):
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            before, data = values["options"], values["data"]
            self.outcomes = {name: Outcome.from_dict(found) for name, found in values["outcomes"].items()}
            self.started = list(values["started"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{self.path} is damaged ({error!r}). Choose a new --outdir.") from error
        changed = sorted(k for k in {*before, *self.options} if before.get(k) != self.options.get(k))
        if changed:
            flag = f"--{changed[0].replace('_', '-')}"
            was, now = before.get(changed[0]), self.options.get(changed[0])
            raise UserError(
                f"--outdir {self.path.parent}: the ladder there was begun with {flag} {_words(was)}, not {_words(now)}. "
                "Rungs are compared with each other, so all need the same line: repeat it, or choose a new --outdir."
            )
        if data != self.data:
            raise UserError(
                f"--outdir {self.path.parent}: the ladder there was begun with --data {data}. Give that, or another --outdir."
            )

    def begin(self, name):
        """Note that a rung is begun."""
        if name not in self.started:
            self.started.append(name)
            self.save()

    def finish(self, outcome):
        """Note what came of a rung."""
        self.outcomes[outcome.rung] = outcome
        self.save()

    def save(self, **more):
        """Write the file, with what else there is to tell."""
        values = {
            "sgtool_version": __version__,
            "data": self.data,
            "options": self.options,
            "rule": RULE,
            "started": self.started,
            "outcomes": {name: outcome.as_dict() for name, outcome in self.outcomes.items()},
        }
        write_text(self.path, json.dumps(values | more, indent=2) + "\n")


def _plain(options):
    return json.loads(json.dumps({name: value for name, value in options.items() if value is not None}))


def _words(value):
    return "its default" if value is None else value


def lines_of(path):
    """Return the lines of a .jsonl file as dicts, without those that are damaged; none if there is no such file."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict)]

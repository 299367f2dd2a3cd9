"""control.json in the run folder: what may be changed while a run goes on."""

import hashlib
import json
import os
import time

from sgtool.errors import UserError
from sgtool.files import write_text
from sgtool.training.changes import change, describe
from sgtool.training.wishes import NAME, parse, read_file, values_of, wishes_in

POLL_SECONDS = 3.0  # how often it is looked at, as far as steps allow
YOUNG_SECONDS = 3.0  # a file changed so shortly before it was read may change again without a new time stamp


class Control:
    """Reads control.json between steps and does what it says. All processes call it alike; the first one reads and tells.

    A change is followed by a checkpoint, so that it is not lost however the run ends. The file is looked at about every
    `POLL_SECONDS`: after how many steps, the first process tells the others, so that all act at the same step.

    Args:
        folder: the run folder.
        say: callable (text).
        events: callable (kind, text, nimg, **facts).
        world: `World`.
        save: callable (state): writes a checkpoint.
        snapshot: callable (state): writes snapshot and pictures.
        stop: callable (): lets the run end after this step.
    """

    def __init__(self, folder, say, events, world, save, snapshot, stop):
        self.path, self._say, self._events, self._world = folder / NAME, say, events, world
        self._save, self._snapshot, self._stop = save, snapshot, stop
        self._seen, self._digest, self._doubtful, self._is_young = None, None, None, False
        self._next_step, self._last = 0, None  # when to look again; (step, time) of the last look

    def begin(self, state, decided=()):
        """Write the file with the values of now; what a run that goes on was asked for in the meantime is done first.

        Args:
            state: `TrainState`.
            decided: fields that the command line decides; what the file says of them is old.
        """
        asked = {}
        if self._world.is_first and self.path.exists():
            asked, _ = self._read(state, final=True)
            asked = {field: value for field, value in asked.items() if field not in decided}
        self._change(state, self._world.broadcast(asked))
        self.write(state)

    def write(self, state):
        """Write the file with the values of now."""
        if not self._world.is_first:
            return
        text = json.dumps(values_of(state.config), indent=2) + "\n"
        try:
            write_text(self.path, text)
        except UserError as error:
            self._say(f"Warning: {error.message}")
            return
        self._digest = hashlib.sha256(text.encode()).digest()

    def __call__(self, state):
        """Look whether something is asked for, if it is time to, and do it."""
        if state.done or state.step < self._next_step:
            return
        changes, wishes, wait = self._world.broadcast(self._look(state) if self._world.is_first else None)
        self._next_step = state.step + wait
        self._change(state, changes)
        if "snapshot-now" in wishes:
            self._snapshot(state)
            self._save(state)
            self._tell("snapshot-now", f"{NAME}: snapshot, pictures and checkpoint of kimg {state.nimg / 1000:g}", state)
        if "stop" in wishes:
            self._stop()
            if self._world.is_first:
                self._say(f"{NAME}: the run is to stop")
        if wishes and self._world.is_first and self._is_as_read():
            self.write(state)

    def _change(self, state, values):
        notes = [note for field, value in values.items() if (note := change(state, field, value, NAME)) is not None]
        if notes:
            self._save(state)
        for note in notes:
            self._tell("change", f"Changed: {describe(note)}", state, field=note["field"], before=note["from"], after=note["to"])

    def _tell(self, kind, text, state, **facts):
        if self._world.is_first:
            self._say(text)
            self._events(kind, text, state.nimg, **facts)

    def _look(self, state):
        """Return ({field: value}, wishes, after how many steps to look again)."""
        now, wait = time.monotonic(), 1
        if self._last is not None and state.step > self._last[0]:
            each = max((now - self._last[1]) / (state.step - self._last[0]), 1e-4)
            wait = max(int(POLL_SECONDS / each), 1)
        self._last = state.step, now
        return *self._read(state), wait

    def _read(self, state, final=False):
        """Return ({field: value}, wishes) of a file that has changed since it was last read; nothing otherwise.

        Text that is not valid is told of only when it is still the same at the next look, or `final`: an editor may have
        been caught while it wrote.
        """
        try:
            status = os.lstat(self.path)
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature == self._seen and not self._is_young and self._doubtful is None:
                return {}, set()
            self._seen, self._is_young = signature, abs(time.time() - status.st_mtime) < YOUNG_SECONDS
            content = read_file(self.path)
        except FileNotFoundError:
            return {}, set()  # nothing is asked for; editors that replace a file may be caught in between
        except (OSError, UserError) as error:
            return self._refuse(error, repr(error).encode())
        return self._understand(content, state, final)

    def _understand(self, content, state, final):
        digest = hashlib.sha256(content).digest()
        if digest == self._digest:
            self._doubtful = None
            return {}, set()
        try:
            values = parse(content)
        except UserError as error:
            if digest != self._doubtful and not final:
                self._doubtful = digest
                return {}, set()
            return self._refuse(error, digest)
        self._digest, self._doubtful = digest, None
        changes, wishes, wrong = wishes_in(values, state)
        for text in wrong:
            self._say(text)
        return changes, wishes

    def _refuse(self, error, digest):
        """Tell what is wrong with the file, once."""
        if digest != self._digest:
            reason = error.message if isinstance(error, UserError) else f"{NAME} cannot be read ({error.strerror or error})."
            self._say(reason)
        self._digest, self._doubtful = digest, None
        return {}, set()

    def _is_as_read(self):
        """Whether nobody has changed the file since it was read."""
        try:
            return hashlib.sha256(read_file(self.path)).digest() == self._digest
        except (OSError, UserError):
            return False

"""Which snapshots of a run are kept, and how much room its folder may take."""

import re
import shutil
from pathlib import Path

from sgtool.errors import UserError
from sgtool.training.saving import NETWORKS

GB = 1e9


def kept(kimgs, keep, keep_every=None, best=()):
    """Return those of the snapshots that are not removed.

    Args:
        kimgs: when they were written, thousands of pictures, ascending.
        keep: so many newest ones.
        keep_every: of each so many thousand pictures the first one too; None = none for that reason.
        best: those that are best by a metric.
    Returns:
        set of numbers among `kimgs`.
    """
    chosen = set(kimgs[-keep:]) | set(best) & set(kimgs)
    if keep_every:
        firsts = {}
        for kimg in kimgs:
            firsts.setdefault(int(kimg // keep_every), kimg)
        chosen |= set(firsts.values())
    return chosen


def size_of(folder):
    """Bytes of the files in a folder, those with two names counted once."""
    found = {}
    for path in Path(folder).rglob("*"):
        try:
            about = path.stat()
        except OSError:  # renamed or removed meanwhile
            continue
        if path.is_file():
            found[(about.st_dev, about.st_ino) if about.st_ino else path] = about.st_size
    return sum(found.values())


def sizes(state):
    """Bytes of (a snapshot, a checkpoint) of a run; Adam keeps two numbers for each weight."""
    tensors = {name: getattr(state, name).state_dict().values() for name in NETWORKS}
    networks = {name: sum(t.numel() * t.element_size() for t in values) for name, values in tensors.items()}
    snapshot = sum(networks.values())
    return snapshot, snapshot + 2 * (networks["G"] + networks["D"])


def check_space(folder, state):
    """Raise UserError unless a snapshot and three checkpoints fit on the disk, and one and two of them into --disk-budget."""
    snapshot, checkpoint = sizes(state)
    free, need = shutil.disk_usage(folder).free, snapshot + 3 * checkpoint
    if free < need:
        raise UserError(
            f"{folder}: {free / GB:.1f} GB are free, but a snapshot and the checkpoints take {need / GB:.1f} GB. "
            "Free some space or choose another --outdir."
        )
    budget, need = state.config.disk_budget, snapshot + 2 * checkpoint
    if budget is not None and need > budget * GB:
        raise UserError(
            f"--disk-budget {budget:g}: two checkpoints and a snapshot alone take {need / GB:.2g} GB in {folder}. "
            f"Give more, for instance --disk-budget {max(3 * need / GB, 0.01):.2g}, or leave it out."
        )


class Retention:
    """Removes snapshots that are not to be kept. Checkpoints, pictures and tables stay.

    As a report it stands before that which writes snapshots: what newer ones have replaced is removed once these are on the disk,
    and room is made for the next one where there is a budget.

    Args:
        folder: the run folder.
        writer: `Writer`; nothing is removed while it writes.
        log: prints a line.
        tell: called with ("fault", text), to note it among the run's events.
    """

    def __init__(self, folder, writer, log, tell=None):
        self.folder, self._writer, self._log, self._tell = Path(folder), writer, log, tell
        self._is_over = False

    def __call__(self, state, tick):
        self.apply(state, is_due=tick.is_snapshot)

    def apply(self, state, is_due=False):
        """Remove what is not to be kept; `is_due`: a snapshot is about to be written, and must fit into the budget."""
        config = state.config
        if config.keep is None and config.keep_every is None and config.disk_budget is None:
            return
        if is_due:
            self._writer.wait()
        if not self._writer.is_idle:
            return
        found = snapshots_in(self.folder)
        chosen = kept([kimg for kimg, _ in found], config.keep or 1, config.keep_every, best_of(state))
        others = [path for kimg, path in found if kimg not in chosen]
        if config.keep is not None or config.keep_every is not None:
            _remove(others)
            others = []
        if is_due and config.disk_budget is not None:
            self._make_room(config.disk_budget, others, sum(sizes(state)))

    def _make_room(self, budget, others, need):
        """Remove the oldest of `others` until the folder and `need` bytes more, those of a snapshot and a checkpoint, fit."""
        over, removed = size_of(self.folder) + need - budget * GB, []
        for path in others:
            if over <= 0:
                break
            over -= path.stat().st_size
            removed.append(path)
        if removed:
            names = ", ".join(path.name for path in removed)
            self._warn(f"Warning: with the next snapshot {self.folder} exceeds --disk-budget {budget:g}: removing {names}")
            _remove(removed)
        if over > 0 and not self._is_over:
            self._warn(
                f"Warning: with the next snapshot {self.folder} exceeds --disk-budget {budget:g} by {over / GB:.2g} GB, and "
                "nothing else may be removed: give more, or keep fewer by --keep and --keep-every."
            )
        self._is_over = over > 0

    def _warn(self, text):
        self._log(text)
        if self._tell is not None:
            self._tell("fault", text)


def _remove(paths):
    for path in paths:
        path.unlink(missing_ok=True)


def best_of(state):
    """Snapshots that are best by a metric, as thousands of pictures."""
    return {kimg_of(best["snapshot_pkl"]) if "snapshot_pkl" in best else best["nimg"] // 1000 for best in state.best.values()}


def kimg_of(name):
    """Thousands of pictures in the name of a snapshot; None if it is no such name."""
    match = re.fullmatch(r"network-snapshot-(\d{6,})\.pkl", name)
    return int(match[1]) if match else None


def snapshots_in(folder):
    """Return the snapshots of a run folder, oldest first: [(kimg, path)]."""
    found = [(kimg_of(path.name), path) for path in Path(folder).iterdir()]
    return sorted((kimg, path) for kimg, path in found if kimg is not None)

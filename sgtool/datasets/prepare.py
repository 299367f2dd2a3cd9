"""Pictures from anywhere into a dataset that trains: one size, one number of channels, labels checked.

The source is cut into jobs, each job becomes a shard in the work folder, and the shards are merged into the dataset. What is
written follows from the source and the options alone: not from the number of workers, where they are, or how often it stopped.
"""

import errno

from sgtool.datasets.jobs import covered
from sgtool.datasets.labels import read_labels
from sgtool.datasets.pool import Pool, workers_for
from sgtool.datasets.report import summary
from sgtool.datasets.request import Request
from sgtool.datasets.run import Run
from sgtool.datasets.shards import Resumable
from sgtool.datasets.sources import close_files, open_source
from sgtool.datasets.workplace import Workplace, remove_leftover
from sgtool.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)

__all__ = ["Request", "Resumable", "look", "prepare", "prepare_all", "summary"]


def prepare(source, dest, **options):
    """Turn pictures into one dataset (see `prepare_all`); return what was written into prepare.json: dict."""
    reports = prepare_all(source, dest, **options)
    if len(reports) > 1:
        raise ValueError("several datasets were written: take prepare_all, which returns a report of each")
    return next(iter(reports.values()))


def prepare_all(source, dest, *, workers=None, cluster=None, force=False, progress=False, say=lambda text: None, **options):
    """Turn a folder, zip, sprite sheet, ... into a dataset, or several.

    Args:
        source: what `sources.open_source` reads.
        dest: `.zip` or folder to write; appears only when complete. See `targets.targets_of` for several.
        workers: number of processes; None takes all cores.
        cluster: address of a dask scheduler, whose workers do the work; None takes processes of this machine.
        force: replace a dataset that is already at `dest`.
        progress: show progress bars on stderr.
        say: called with lines on what happens.
        options: see `request.Request`.
    Returns:
        `{path: dict}`: of each dataset what was written into its prepare.json.
    Raises:
        UserError: anything that the user can mend. Nothing is at `dest` then.
        Resumable: the same call goes on where this one stopped, as it does after KeyboardInterrupt or a kill.
    """
    remove_leftover(dest)
    run = Run(source, dest, Request(**options), force, progress, say)
    try:
        with Workplace(dest) as place:
            try:
                return run.go(place, workers, cluster)
            except OSError as error:
                raise _not_written(dest, error) from error
            except UserError as error:
                if not isinstance(error, Resumable) and isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL:
                    raise _not_written(dest, error.__cause__) from error
                raise
    finally:
        close_files()


def look(source, *, workers=None, thumbnails=False, progress=False, **options):
    """Only look at the pictures that `prepare_all` would take with the same options (see `check`); return `Findings`."""
    from sgtool.datasets.check import run  # late: SciPy is needed for it

    request = Request(**options)
    conversions = request.conversions()
    opened = open_source(source, request.tile, request.frames, request.every)
    labels = read_labels(opened, request.labels, request.label_regex, request.unlabelled)
    number = min(len(opened.names), request.max_images or len(opened.names))
    size = covered(conversions) if not request.align and all(None not in c.size for c in conversions) else None
    with Pool(workers_for(number, workers)) as pool:
        what = {"number": number, "target_size": size, "labels": labels}
        return run(opened, pool, **what, thumbnails=thumbnails, progress=progress)


def _not_written(dest, error):
    if error.errno in FULL:
        return Resumable(f"The disk of {dest} is full. Free some space and run the same command again: it goes on from here.")
    reason = error.strerror or error
    return Resumable(f"{error.filename or dest} cannot be used: {reason}. Mend that and run the same command again: it goes on.")

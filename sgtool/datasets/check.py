"""Look before you train: measure every picture of a source, and judge."""

from dataclasses import dataclass

from tqdm import tqdm

from sgtool.datasets.findings import Failure, measure
from sgtool.datasets.jobs import Batch
from sgtool.datasets.judge import Findings, check_kinds, judge
from sgtool.datasets.kinds import KINDS, Limits
from sgtool.datasets.labels import read_labels
from sgtool.datasets.pool import Pool, cores
from sgtool.datasets.sources import close_files, load, open_source
from sgtool.datasets.transforms import Skip

TOGETHER = 32  # pictures of one job
ALONE = 32  # so few pictures are done before worker processes have started

__all__ = ["KINDS", "Findings", "Limits", "check", "check_kinds", "judge", "measure_all", "run"]


@dataclass(frozen=True)
class Look(Batch):
    """Pictures to measure, some of them a `Failure` in the place of one that is not wanted.

    Attributes:
        target_size: (width, height) that they are to cover, or None.
        thumbnails: make one of each.
    """

    target_size: tuple | None = None
    thumbnails: bool = False


def check(source, *, target_size=None, labels="auto", workers=None, limits=None, thumbnails=False, progress=False, **options):
    """Look at all pictures of a source (or of a dataset, which is one).

    Args:
        source: whatever `prepare` takes: folder, zip, ...
        target_size: (width, height) that the pictures are to cover, or None: they may be as small as they are.
        labels: see `labels.read_labels`.
        workers: number of processes; None takes all cores.
        limits: `Limits`.
        thumbnails: keep some for `check_page.write_page`.
        progress: show a progress bar on stderr.
        options: of `sources.open_source`.
    Returns:
        `Findings`.
    Raises:
        UserError: there are no pictures, or the labels do not fit.
    """
    source = open_source(source, **options)
    found = read_labels(source, labels)
    workers = workers or (cores() if len(source.names) > ALONE else 1)
    with Pool(min(workers, len(source.names))) as pool:
        return run(source, pool, target_size=target_size, labels=found, limits=limits, thumbnails=thumbnails, progress=progress)


def run(source, pool=None, *, number=None, target_size=None, labels=None, limits=None, thumbnails=False, progress=False):
    """Measure the pictures of an open source and judge them; memory and time as for `judge`.

    Args:
        source: `sources.Source`.
        pool: `pool.Pool` or anything with `map(function, jobs)` that gives results in order; None: this process.
        number: of its pictures, the first so many; None takes all.
        labels: `labels.Labels` or None; what they list as unlabelled is left out.
        target_size, limits, thumbnails, progress: see `check`.
    Returns:
        `Findings`.
    """
    names = source.names[:number]
    jobs = (Look(pictures, part, target_size, thumbnails) for part, pictures in _parts(source, names, labels))
    try:
        results = (result for part in (map if pool is None else pool.map)(measure_all, jobs) for result in part)
        shown = tqdm(results, "looking", len(names), unit=" pictures", disable=None if progress else True)
        return judge(zip(names, shown, strict=True), limits, labels)
    finally:
        close_files()


def _parts(source, names, labels):
    """Names of the first and the last, and a list of pictures, or of a `Failure` in the place of one that is not wanted."""
    bare = frozenset(labels.unlabelled if labels else ())
    for start in range(0, len(names), TOGETHER):
        part = names[start : start + TOGETHER]
        pictures = [
            Failure("no label", unreadable=False) if name in bare else source.picture(i) for i, name in enumerate(part, start)
        ]
        yield (part[0], part[-1]), pictures


def measure_all(look):
    """Load and measure the pictures of a `Look`; runs in a worker.

    Returns:
        list of `Measures` or `Failure`.
    """
    return [_measured(picture, look.target_size, look.thumbnails) for picture in look.pictures]


def _measured(picture, target_size, thumbnails):
    if isinstance(picture, Failure):
        return picture
    try:
        return measure(load(picture), target_size, thumbnail=thumbnails)
    except Skip as skip:
        return Failure(str(skip), skip.unreadable)

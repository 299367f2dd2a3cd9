"""A look at the headers of all pictures: size and channels, where the options leave them open."""

from dataclasses import replace

from tqdm import tqdm

from sgtool.datasets.geometry import output_size, settled
from sgtool.datasets.jobs import Batch, Unwanted
from sgtool.datasets.sources import examine
from sgtool.datasets.transforms import Skip, is_grey
from sgtool.errors import UserError

AT_ONCE = 8  # pictures that are looked at first, which mostly settle it
TOGETHER = 256  # pictures of one job


def settle(conversions, channels, names, picture, pool, strict, progress, whole=True):
    """Settle the size and channels that the options leave open.

    Args:
        conversions: `Conversion` for each resolution.
        channels: "auto" or a number.
        names: of the pictures.
        picture: function from an index to a picture, or to an `Unwanted`.
        pool: `pool.Pool` or `cluster.Cluster`.
        strict: refuse pictures that cannot be read.
        progress: show a bar.
        whole: whole pictures are used, so that their sizes matter.
    Returns:
        the conversions, with all sizes.
    Raises:
        UserError: sizes are mixed, or no picture can be read.
    """
    open_sizes = whole and any(None in conversion.size for conversion in conversions)
    if channels != "auto" and not open_sizes:
        return conversions
    grey, first, last = True, None, None
    number = len(names)
    shown = tqdm(_headers(names, picture, pool), "looking", number, unit=" pictures", disable=None if progress else True)
    for name, (size, mode) in zip(names, shown, strict=True):
        if size is None:
            reason, unreadable = mode
            refuse_if(strict and unreadable, name, reason)
            last = name, reason
            continue
        grey = grey and is_grey(mode)
        first = first or (name, size)
        if open_sizes:
            _check_same(first, (name, size), conversions)
        elif not grey:
            shown.close()
            break  # one is enough
    if first is None:
        raise UserError(f"None of the {number} pictures can be read. The last is {last[0]}: {last[1]}. Give other files.")
    channels = (1 if grey else 3) if channels == "auto" else conversions[0].channels
    return tuple(replace(settled(conversion, first[1]), channels=channels) for conversion in conversions)


def _headers(names, picture, pool):
    """Yield what `examine_all` gives for each picture. The first few are read before the others are asked for."""
    few = min(AT_ONCE, len(names))
    for starts in (range(0, few, AT_ONCE), range(few, len(names), TOGETHER)):
        spans = (range(start, min(start + starts.step, len(names))) for start in starts)
        jobs = (Batch([picture(i) for i in span], (names[span[0]], names[span[-1]])) for span in spans)
        for results in pool.map(examine_all, jobs):
            yield from results


def examine_all(batch):
    """Read the headers of a `Batch` of pictures; runs in a worker.

    Returns:
        for each (size, mode) as of `sources.examine`, or (None, (reason, unreadable)).
    """
    results = []
    for picture in batch.pictures:
        if isinstance(picture, Unwanted):
            results.append((None, (picture.reason, False)))
            continue
        try:
            results.append(examine(picture))
        except Skip as skip:
            results.append((None, (str(skip), skip.unreadable)))
    return results


def refuse_if(refused, name, reason):
    """Raise what `--strict` says of a picture that cannot be read."""
    if refused:
        raise UserError(f"{name}: {reason}. Mend or remove it, or leave out --strict to skip such pictures.")


def _check_same(first, second, conversions):
    for conversion in conversions:
        if output_size(second[1], conversion) == output_size(first[1], conversion):
            continue
        smallest = min(*first[1], *second[1])
        side = 1 << max(smallest.bit_length() - 1, 3)
        crop = "" if conversion.transform == "square-crop" else " --transform square-crop"
        raise UserError(
            f"{first[0]} is {first[1][0]}x{first[1][1]}, but {second[0]} is {second[1][0]}x{second[1][1]}. "
            f"All pictures of a dataset must have one size: add --resolution {side}{crop}"
        )

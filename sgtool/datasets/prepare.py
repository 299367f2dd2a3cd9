"""Pictures from anywhere into a dataset that trains: one size, one number of channels, labels checked."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sgtool import __version__
from sgtool.datasets import archive
from sgtool.datasets.labels import read_labels
from sgtool.datasets.pool import Pool, cores
from sgtool.datasets.sources import close_files, examine, load, open_source
from sgtool.datasets.transforms import NEED_SIZE, Conversion, Skip, convert, is_grey, output_size, parse_colour
from sgtool.errors import UserError

CHUNK_PIXELS = 1 << 21  # output pixels of one job: bounds what is in flight
CHUNK_PICTURES = 64
ALONE = 32  # so few pictures are done before worker processes have started


@dataclass(frozen=True)
class Failure:
    """A picture that was left out, and why; `unreadable` ones are what `strict` refuses."""

    reason: str
    unreadable: bool


@dataclass(frozen=True)
class Done:
    """A converted picture: PNG bytes, (H, W, C), SHA-256 of shape and pixels, notes on what was done to it."""

    png: bytes
    shape: tuple
    digest: bytes
    notes: list


def prepare(
    source,
    dest,
    *,
    resolution=None,
    width=None,
    height=None,
    transform="none",
    resize_filter="lanczos",
    channels="auto",
    background=None,
    labels="auto",
    max_images=None,
    tile=None,
    strict=False,
    workers=None,
    force=False,
    progress=False,
):
    """Turn a folder, zip, sprite sheet or `demo:digits` into a dataset.

    Args:
        source: folder (with all below it), zip, picture of tiles, or "demo:digits".
        dest: `.zip` or folder to write; appears only when complete.
        resolution: (width, height) in pixels; None keeps the size, which must then be the same for all.
        width, height: NVIDIA's way to say the same; one of them alone keeps the other side.
        transform: "none" (resize only), "center-crop", "center-crop-wide", "square-crop" or "pad".
        resize_filter: "lanczos", "box", "bicubic" or "nearest".
        channels: "auto" (1 if every file is grey, otherwise 3), 1, 3 or 4.
        background: colour under transparent pixels and around padded pictures, as text.
        labels: "auto", "none", "folders", or a CSV or JSON file (see `labels.read_labels`).
        max_images: look at the first so many pictures only.
        tile: (width, height) of the tiles if `source` is a sprite sheet.
        strict: raise at the first picture that cannot be read, instead of leaving it out.
        workers: number of processes; None takes all cores.
        force: replace a dataset that is already at `dest`.
        progress: show progress bars on stderr.
    Returns:
        what was written into prepare.json: dict.
    Raises:
        UserError: anything that the user can mend. Nothing is left at `dest` then.
    """
    conversion = _conversion(resolution, width, height, transform, resize_filter, channels, background)
    archive.check_destination(dest, source, force)
    pictures = open_source(source, tile)
    found_labels = read_labels(pictures, labels)
    number = min(len(pictures.names), max_images or len(pictures.names))
    if workers is None:
        workers = cores() if number > ALONE else 1
    options = {
        "resolution": resolution, "width": width, "height": height, "transform": transform, "resize_filter": resize_filter,
        "channels": channels, "background": background, "labels": labels, "max_images": max_images, "tile": tile,
        "strict": strict,
    }  # fmt: skip
    with Pool(min(workers, number)) as pool:
        try:
            conversion = _fill_in(conversion, channels, pictures, number, pool, strict, progress)
            with archive.open_archive(dest) as add:
                results = _converted(pictures, number, conversion, pool, progress)
                report = _write(add, results, pictures, number, found_labels, strict)
                report = {"sgtool": __version__, "source": str(source), "options": options, **report}
                add("prepare.json", _json(report, indent=2))
        finally:
            close_files()
    return report


def _conversion(resolution, width, height, transform, resize_filter, channels, background):
    """Gather the options; raise where they contradict each other. `channels` is settled later if it is "auto"."""
    if resolution is not None and (width is not None or height is not None):
        raise UserError("--resolution and --width/--height say the same thing. Give one of them.")
    size = tuple(resolution) if resolution is not None else (width, height)
    if transform in NEED_SIZE and None in size:
        raise UserError(f"--transform {transform} needs a size to reach. Add --resolution 256 (or another one).")
    if transform == "center-crop-wide" and size[1] > size[0]:
        raise UserError(f"--transform center-crop-wide: {size[0]}x{size[1]} is tall. Give a wide size, --resolution 512x384.")
    if transform == "square-crop" and size != (None, None) and size[0] != size[1]:
        raise UserError("--transform square-crop makes squares. Give --resolution 256, or take --transform center-crop.")
    colour = parse_colour(background) if background is not None else None
    return Conversion(size, transform, resize_filter, 3 if channels == "auto" else int(channels), colour)


# ---------------------------------------------------------------------------------------------------------------------
# Looking at the headers: size and channels


def _fill_in(conversion, channels, pictures, number, pool, strict, progress):
    """Settle the size and channels that the options leave open, from the headers of all pictures."""
    if channels != "auto" and None not in conversion.size:
        return conversion
    grey = True
    first = None
    jobs = ([pictures.picture(i) for i in range(start, min(start + 256, number))] for start in range(0, number, 256))
    results = (result for chunk in pool.map(examine_all, jobs) for result in chunk)
    for name, result in zip(pictures.names, _shown(results, number, progress, "looking"), strict=False):
        if isinstance(result, Failure):
            _refuse_if(strict, name, result)
            continue
        size, mode = result
        grey = grey and is_grey(mode)
        first = first or (name, size)
        if output_size(size, conversion) != output_size(first[1], conversion):
            raise _mixed_sizes(first, (name, size), conversion)
    if first is None:
        raise UserError(f"None of the {number} pictures can be read. The last is {name}: {result.reason}. Give other files.")
    return replace(
        conversion,
        size=conversion.size if conversion.transform == "center-crop-wide" else output_size(first[1], conversion),
        channels=(1 if grey else 3) if channels == "auto" else conversion.channels,
    )


def examine_all(pictures):
    """Read the headers of some pictures (see `sources.examine`); runs in a worker."""
    results = []
    for picture in pictures:
        try:
            results.append(examine(picture))
        except Skip as skip:
            results.append(Failure(str(skip), skip.unreadable))
    return results


def _mixed_sizes(first, second, conversion):
    smallest = min(*first[1], *second[1])
    side = 1 << max(smallest.bit_length() - 1, 3)
    crop = "" if conversion.transform == "square-crop" else " --transform square-crop"
    return UserError(
        f"{first[0]} is {first[1][0]}x{first[1][1]}, but {second[0]} is {second[1][0]}x{second[1][1]}. "
        f"All pictures of a dataset must have one size: add --resolution {side}{crop}"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Converting and writing


def _converted(pictures, number, conversion, pool, progress):
    width, height = output_size((1, 1), conversion)
    step = max(1, min(CHUNK_PICTURES, CHUNK_PIXELS // (width * height)))
    jobs = (
        (conversion, [pictures.picture(i) for i in range(start, min(start + step, number))]) for start in range(0, number, step)
    )
    return _shown((result for chunk in pool.map(convert_all, jobs) for result in chunk), number, progress, "preparing")


def convert_all(job):
    """Load, convert and encode some pictures; runs in a worker.

    Args:
        job: a `Conversion` and a list of pictures.
    Returns:
        a `Done` or a `Failure` for each.
    """
    conversion, pictures = job
    results = []
    for picture in pictures:
        try:
            pixels, notes = convert(load(picture), conversion)
            results.append(Done(archive.encode_png(pixels), pixels.shape, picture_digest(pixels), notes))
        except Skip as skip:
            results.append(Failure(str(skip), skip.unreadable))
    return results


def picture_digest(pixels):
    """SHA-256 of a uint8 picture `[H, W, C]`: the text "HxWxC" and a line feed, then the pixels row by row."""
    return hashlib.sha256(b"%dx%dx%d\n" % pixels.shape + np.ascontiguousarray(pixels).tobytes()).digest()


def _write(add, results, pictures, number, labels, strict):
    """Write the pictures that succeeded and dataset.json; return what there is to tell."""
    digest = hashlib.sha256()
    notes = Counter()
    written, skipped = [], []
    shape = None
    for name, result in zip(pictures.names[:number], results, strict=True):
        if isinstance(result, Failure):
            _refuse_if(strict, name, result)
            skipped.append([name, result.reason])
            continue
        if shape not in (None, result.shape):
            size, others = f"{result.shape[1]}x{result.shape[0]}", f"{shape[1]}x{shape[0]}"
            raise UserError(f"{name} became {size}, the pictures before it {others}. Add --resolution {others}.")
        shape = result.shape
        new_name = archive.picture_name(len(written))
        add(new_name, result.png)
        digest.update(result.digest)
        notes.update(result.notes)
        written.append([new_name, labels.by_name[name] if labels else None])
    if not written:
        raise UserError(f"None of the {number} pictures can be used. The last is {name}: {result.reason}. Give other files.")
    add("dataset.json", _json({"labels": written if labels else None}))
    return {
        "width": shape[1],
        "height": shape[0],
        "channels": shape[2],
        "sha256": digest.hexdigest(),
        "labels": _describe(labels, [label for _, label in written]),
        "class_names": labels.class_names if labels else None,
        "counts": {
            "written": len(written),
            "skipped": len(skipped),
            "ignored_files": pictures.ignored_files,
            "empty_tiles": pictures.empty_tiles,
            **{note: notes[note] for note in ("transparent", "16 bit", "float", "enlarged", "stretched")},
        },
        "skipped": skipped,
        "warnings": _warnings(shape, notes, pictures, labels),
    }


def _refuse_if(strict, name, failure):
    if strict and failure.unreadable:
        raise UserError(f"{name}: {failure.reason}. Mend or remove it, or leave out --strict to skip such pictures.")


def _describe(labels, values):
    if labels is None:
        return None
    if isinstance(values[0], tuple):
        return {"from": labels.origin, "vector": len(values[0])}
    counts = Counter(values)
    return {"from": labels.origin, "classes": {str(label): counts[label] for label in sorted(counts)}}


def _warnings(shape, notes, pictures, labels):
    warnings = []
    for side, length in (("width", shape[1]), ("height", shape[0])):
        if length % 2:
            near = f"{length - 1} or {length + 1}" if length > 1 else "8"
            warnings.append(f"The {side} {length} is odd, and such pictures cannot be trained on. Add --resolution with {near}.")
    if notes["stretched"]:
        warnings.append(f"{notes['stretched']} pictures changed their proportions. --transform square-crop or pad keeps them.")
    folders = {name.split("/")[0] for name in pictures.names if "/" in name}
    if labels is None and len(folders) > 1 and pictures.text("dataset.json") is None:  # a dataset's own folders mean nothing
        warnings.append(f"The pictures lie in {len(folders)} folders, but have no labels. --labels folders makes each a class.")
    return warnings


def _shown(results, number, progress, verb):
    return tqdm(results, verb, number, unit=" pictures", disable=None if progress else True)


def _json(value, indent=None):
    return json.dumps(value, indent=indent).encode()


# ---------------------------------------------------------------------------------------------------------------------
# Telling


def summary(report, dest):
    """Put a report of `prepare` into a few lines for the user."""
    counts, options = report["counts"], report["options"]
    grey = "all are grey" if report["channels"] == 1 else "not all are grey"
    reason = f" (auto: {grey})" if options["channels"] == "auto" else ""
    lines = [
        f"{Path(dest)}: {counts['written']} pictures, {report['width']}x{report['height']}, "
        f"{report['channels']} channel{'s'[: report['channels'] > 1]}{reason}, {_labels_line(report)}"
    ]
    told = {
        "transparent": "with transparency, kept" if report["channels"] == 4
        else f"with transparency, laid over {options['background'] or 'white'} (--background)",
        "16 bit": "with 16 bits a channel, scaled to 8",
        "float": "with floating-point values 0 to 1, scaled to 0 to 255",
        "enlarged": "enlarged",
    }  # fmt: skip
    lines += [f"  {counts[note]} {text}" for note, text in told.items() if counts[note]]
    if counts["empty_tiles"]:
        lines.append(f"  {counts['empty_tiles']} empty tiles left out")
    if counts["ignored_files"]:
        lines.append(f"  {counts['ignored_files']} not counted as pictures (by their names)")
    if counts["skipped"]:
        lines.append(f"  {counts['skipped']} skipped, all listed in prepare.json:")
        lines += [f"    {name}: {reason}" for name, reason in report["skipped"][:5]]
    return "\n".join(lines)


def _labels_line(report):
    labels = report["labels"]
    if labels is None:
        return "no labels"
    if "vector" in labels:
        return f"labels of {labels['vector']} numbers ({labels['from']})"
    sizes = labels["classes"].values()
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return f"{len(sizes)} classes of {each} picture{'s'[: max(sizes) > 1]} ({labels['from']})"

"""What is told of a run: prepare.json and the lines on the screen."""

import re
from collections import Counter
from pathlib import Path

from sgtool import __version__
from sgtool.datasets.label_counts import count_labels, tell_counts
from sgtool.datasets.targets import MAIN

NOTES = ("transparent", "turned", "16 bit", "float", "icc", "icc ignored", "exif ignored", "enlarged", "stretched")
SHOWN = 5  # skipped pictures, or reasons, on the screen


def report_of(target, shape, content, number, source, labels, asked):
    """Put together what prepare.json says.

    Args:
        target: `Target`.
        shape: (width, height, channels).
        content: `contents.Content`.
        number: of the pictures that were looked at.
        source: `sources.Source`.
        labels: `labels.Labels` or None.
        asked: (source as given, options as a dict).
    """
    return {
        "sgtool": __version__,
        "source": asked[0],
        "options": asked[1],
        "part": "all" if asked[1]["holdout"] is None else "training" if target.side == MAIN else "holdout",
        "width": shape[0],
        "height": shape[1],
        "channels": shape[2],
        "sha256": content.digest.hexdigest(),
        "labels": {"from": labels.origin, **count_labels(content.values, labels.class_names)} if labels else None,
        "class_names": labels.class_names if labels else None,
        "counts": {
            "pictures": number,
            "written": content.written,
            "skipped": len(content.skipped),
            "ignored_files": source.ignored_files,
            "empty_tiles": source.empty_tiles,
            **{note: content.notes[note] for note in NOTES},
        },
        "skipped": content.skipped,
        "ignored": dict(source.counts),
        "warnings": [*source.warnings, *_warnings(shape, content.notes, source, labels)],
    }


def _warnings(shape, notes, source, labels):
    warnings = []
    for side, length in (("width", shape[0]), ("height", shape[1])):
        if length % 2:
            near = f"{length - 1} or {length + 1}" if length > 1 else "8"
            warnings.append(f"The {side} {length} is odd, and such pictures cannot be trained on. Add --resolution with {near}.")
    if notes["stretched"]:
        warnings.append(f"{notes['stretched']} pictures changed their proportions. --transform square-crop or pad keeps them.")
    folders = {name.split("/")[0] for name in source.names if "/" in name}
    if labels is None and len(folders) > 1 and source.text("dataset.json") is None:  # a dataset's own folders mean nothing
        warnings.append(f"The pictures lie in {len(folders)} folders, but have no labels. --labels folders makes each a class.")
    return warnings


# ---------------------------------------------------------------------------------------------------------------------
# On the screen


def summary(report, dest):
    """Put a report into a few lines for the user."""
    counts, options = report["counts"], report["options"]
    grey = "all are grey" if report["channels"] == 1 else "not all are grey"
    reason = f" (auto: {grey})" if options["channels"] == "auto" else ""
    lines = [
        f"{Path(dest)}: {counts['written']} pictures, {report['width']}x{report['height']}, "
        f"{report['channels']} channel{'s'[: report['channels'] > 1]}{reason}, {_labels_line(report)}"
    ]
    told_labels = tell_counts(report["labels"], report["class_names"]) if report["labels"] else ""
    lines += [f"  {told_labels}"] if told_labels else []
    told = {
        "transparent": "with transparency, kept" if report["channels"] == 4
        else f"with transparency, laid over {options['background'] or 'white'} (--background)",
        "16 bit": "with 16 bits a channel, scaled to 8",
        "float": "with floating-point values 0 to 1, scaled to 0 to 255",
        "icc": "with a colour profile, converted to sRGB",
        "turned": "turned upright by their EXIF orientation",
        "icc ignored": "with a damaged colour profile, taken as sRGB",
        "exif ignored": "with damaged EXIF data, which are ignored",
        "enlarged": "enlarged",
    }  # fmt: skip
    lines += [f"  {counts[note]} {text}" for note, text in told.items() if counts[note]]
    if report["part"] != "holdout":
        lines += _left_out(report)
    return "\n".join(map(printable, lines))


def printable(line):
    """A line without control characters, so that a name can neither break it nor steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _left_out(report):
    counts, lines = report["counts"], []
    if counts["written"] != counts["pictures"]:
        lines.append(f"  of {counts['pictures']} pictures in {report['source']}")
    if counts["empty_tiles"]:
        lines.append(f"  {counts['empty_tiles']} empty tiles left out")
    if counts["ignored_files"]:
        reasons = ", ".join(f"{number} {reason}" for reason, number in report["ignored"].items())
        lines.append(f"  {counts['ignored_files']} files not used{f': {reasons}' if reasons else ''}")
    if counts["skipped"]:
        lines.append(f"  {counts['skipped']} skipped, all listed in prepare.json:")
        lines += [f"    {line}" for line in reasons_told(report["skipped"])]
    return lines


def reasons_told(skipped):
    """Tell of skipped pictures: each, if they are few; otherwise how many for each reason, with one of them."""
    if len(skipped) <= SHOWN:
        return [f"{name}: {reason}" for name, reason in skipped]
    kinds, examples = Counter(), {}
    for name, reason in skipped:
        kind = re.sub(r"\d+", "#", reason)
        kinds[kind] += 1
        examples.setdefault(kind, (name, reason))
    lines = [f"{number} like {examples[kind][0]}: {examples[kind][1]}" for kind, number in kinds.most_common(SHOWN)]
    others = sum(kinds.values()) - sum(number for _, number in kinds.most_common(SHOWN))
    return lines + ([f"{others} for other reasons"] if others else [])


def _labels_line(report):
    labels = report["labels"]
    if labels is None:
        return "no labels"
    if "vector" in labels:
        return f"labels of {labels['vector']} numbers ({labels['from']})"
    sizes = labels["classes"].values()
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return f"{len(sizes)} classes of {each} picture{'s'[: max(sizes) > 1]} ({labels['from']})"

"""sgtool prepare: pictures in, dataset out."""

import signal
import sys

import click

from sgtool.errors import UserError
from sgtool.options import RESOLUTION


class Resolutions(click.ParamType):
    """One size, as (width, height), or several separated by commas, as a list of them."""

    name = "WxH"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        sizes = [RESOLUTION.convert(part, param, ctx) for part in value.split(",")]
        return sizes if len(sizes) > 1 else sizes[0]


class Words(click.ParamType):
    """Words separated by commas, as a tuple."""

    name = "KINDS"

    def convert(self, value, param, ctx):
        return value if isinstance(value, tuple) else tuple(word.strip() for word in value.split(",") if word.strip())


@click.command()
@click.argument("source", required=False)
@click.argument("dest", required=False)
@click.option("--source", "source_option", metavar="PATH", help="The same as SOURCE.")
@click.option("--dest", "dest_option", metavar="PATH", help="The same as DEST.")
@click.option(
    "--resolution",
    type=Resolutions(),
    help="Size in pixels: 256, or width x height: 512x384; several make as many datasets: 128,256.  [default: as it is]",
)
@click.option("--width", type=click.IntRange(1, 16384), help="Width to reach, in pixels.")
@click.option("--height", type=click.IntRange(1, 16384), help="Height to reach, in pixels.")
@click.option(
    "--transform",
    type=click.Choice(["none", "center-crop", "center-crop-wide", "center-crop-tall", "square-crop", "pad", "tile"]),
    default="none",
    show_default=True,
    help="Before the resize: nothing; crop to the proportions asked for; the same with black bars to a square; "
    "crop to the largest square; only shrink what is too large and pad; or cut into tiles.",
)
@click.option(
    "--focus",
    type=click.Choice(["center", "saliency"]),
    default="center",
    show_default=True,
    help="Where square-crop cuts: in the middle, or where there is most to see.",
)
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Pixels that tiles share at least.",
)
@click.option(
    "--resize-filter",
    type=click.Choice(["lanczos", "box", "bicubic", "nearest"]),
    default="lanczos",
    show_default=True,
    help="How to resize; nearest keeps pixel art sharp.",
)
@click.option(
    "--channels",
    type=click.Choice(["auto", "1", "3", "4"]),
    default="auto",
    show_default=True,
    help="1 grey, 3 RGB, 4 RGBA; auto is 1 if every file is grey, otherwise 3.",
)
@click.option("--background", metavar="COLOUR", help="Colour under transparency and around padding.  [default: white]")
@click.option("--align", type=click.Choice(["faces"]), help="Cut out faces, upright and centred, as in FFHQ.")
@click.option(
    "--faces", type=click.Choice(["all", "largest"]), default="all", show_default=True, help="Which faces of a picture to take."
)
@click.option(
    "--min-face", type=click.IntRange(min=0), default=0, show_default=True, help="Leave out faces smaller than this, in pixels."
)
@click.option("--landmarks", type=click.Path(), help="Another landmark model: a .dat file of 68 points.")
@click.option("--faces-sheet", type=click.Path(), help="Write a contact sheet of all pictures with their faces: a .jpg or .png.")
@click.option(
    "--labels",
    default="auto",
    show_default=True,
    metavar="auto|none|folders|FILE",
    help="Where labels come from; FILE is a CSV, JSON or JSONL; auto is the source's own.",
)
@click.option("--label-regex", metavar="PATTERN", help="The class is in the name: what the first group of this pattern finds.")
@click.option(
    "--unlabelled",
    type=click.Choice(["refuse", "drop"]),
    default="refuse",
    show_default=True,
    help="What happens to pictures without a label.",
)
@click.option(
    "--holdout", metavar="SHARE", help="Hold back this share, 5%, or number of pictures: a second dataset DEST-holdout."
)
@click.option("--drop", type=Words(), default=(), help="Leave out what the check finds: duplicates,blurred,... (see --check).")
@click.option("--check", "only_check", is_flag=True, help="Only look: tell what is wrong with SOURCE. No dataset is written.")
@click.option("--report", type=click.Path(), help="With --check: a page with pictures of what was found, .html.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print JSON instead of a table.")
@click.option("--max-images", type=click.IntRange(min=1), help="Use only the first so many pictures.  [default: all]")
@click.option("--tile", type=RESOLUTION, help="SOURCE is a sprite sheet: cut it into tiles of this size, 24 or 24x32.")
@click.option(
    "--frames",
    type=click.Choice(["first", "all"]),
    default="first",
    show_default=True,
    help="Pictures to take of an animation or a TIFF of several pages.",
)
@click.option("--every", type=click.IntRange(min=1), help="Take every so many frames of videos.  [default: 1]")
@click.option("--strict", is_flag=True, help="Stop at the first picture that cannot be read, instead of skipping it.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: all cores]")
@click.option("--cluster", metavar="ADDRESS", help="Work on the machines of a dask scheduler, tcp://host:8786.")
@click.option("--force", is_flag=True, help="Replace a dataset that is already at DEST.")
def prepare(source, dest, source_option, dest_option, channels, only_check, report, as_json, **options):
    """Turn pictures into a dataset for training.

    SOURCE is a folder of pictures (with all folders below it), a zip or tar, a sprite sheet with --tile, a video, an LSUN,
    CIFAR, MNIST or TFRecord file, or demo:digits.
    DEST is a .zip or a folder; NVIDIA's StyleGAN2-ADA and StyleGAN3 read it too.

    A run that was stopped goes on when the same command is given again.

    \b
    sgtool prepare pictures/ data.zip --resolution 256 --transform square-crop
    sgtool prepare flowers/ flowers.zip --resolution 128 --transform center-crop --labels folders
    sgtool prepare photos/ faces.zip --align faces --resolution 256 --min-face 100
    sgtool prepare sprites.png sprites.zip --tile 24 --resolution 32 --transform pad --background "#638596"
    sgtool prepare demo:digits digits.zip --resolution 16 --holdout 10%
    sgtool prepare --check pictures/ --report findings.html
    """
    channels = channels if channels == "auto" else int(channels)
    source = _one("SOURCE", source, source_option)
    try:
        if only_check:
            _check(source, dest if dest is not None else dest_option, report, as_json, channels=channels, **options)
            return
        if report is not None or as_json:
            raise UserError(f"{'--report' if report is not None else '--json'} goes with --check. Add that, or leave it out.")
        _prepare(source, _one("DEST", dest, dest_option), channels=channels, **options)
    except UserError as error:
        error.message = _printable(error.message)
        raise


def _prepare(source, dest, **options):
    if sys.platform == "linux" and options["workers"] != 1 and options["cluster"] is None:
        _start_early()
    from sgtool.datasets.prepare import prepare_all, summary
    from sgtool.datasets.workplace import work_folder

    signal.signal(signal.SIGTERM, _leave)
    try:
        reports = prepare_all(source, dest, progress=True, say=_say, **options)
    except (KeyboardInterrupt, SystemExit):
        folder = work_folder(dest)
        if folder.exists():
            _say(f"Stopped. What is done is kept in {folder}: the same command goes on from there; delete it to give up.")
        raise
    warnings = {}
    for path, report in reports.items():
        click.echo(summary(report, path))
        warnings.update(dict.fromkeys(report["warnings"]))
    for warning in warnings:
        _say(f"Warning: {warning}")


def _start_early():
    """Start the process that workers are forked from (see `datasets.pool`): it imports beside this one what both need."""
    import multiprocessing
    from multiprocessing import forkserver

    multiprocessing.set_forkserver_preload(["sgtool.datasets.preload"])
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to it too, and in its imports it would print a trace
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, handler)


def _check(source, dest, page, as_json, cluster, force, **options):
    from sgtool.datasets.check_page import check_path, write_page
    from sgtool.datasets.prepare import look

    if dest is not None:
        raise UserError(f"--check writes no dataset. Leave {dest} out, or leave --check out and give --drop what it finds.")
    if cluster is not None:
        raise UserError("--check works on this machine. Leave --cluster out.")
    if page is not None:
        check_path(page, force)
    findings = look(source, thumbnails=page is not None, progress=True, **options)
    click.echo(findings.as_json() if as_json else findings.table())
    if page is not None:
        write_page(page, findings, source, force)
        _say(f"{page}: the findings with pictures")


def _say(text):
    click.echo(_printable(text), err=True)


def _printable(text):
    from sgtool.datasets.report import printable

    return printable(text)


def _leave(number, frame):
    """Stop as after Ctrl-C."""
    raise SystemExit(128 + number)


def _one(name, argument, option):
    """`SOURCE` and `--source` are the same: take the one that is given."""
    if argument is not None and option is not None:
        raise UserError(f"{name} is given twice: {argument} and {option}. Leave one of them.")
    if argument is None and option is None:
        raise click.UsageError(f"{name} is missing. Write: sgtool prepare SOURCE DEST")
    return argument if argument is not None else option

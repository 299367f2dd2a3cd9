"""sgtool prepare: pictures in, dataset out."""

import signal

import click

from sgtool.errors import UserError
from sgtool.options import RESOLUTION


@click.command()
@click.argument("source", required=False)
@click.argument("dest", required=False)
@click.option("--source", "source_option", metavar="PATH", help="The same as SOURCE.")
@click.option("--dest", "dest_option", metavar="PATH", help="The same as DEST.")
@click.option("--resolution", type=RESOLUTION, help="Size in pixels: 256, or width x height: 512x384.  [default: as it is]")
@click.option("--width", type=click.IntRange(1, 16384), help="Width to reach, in pixels.")
@click.option("--height", type=click.IntRange(1, 16384), help="Height to reach, in pixels.")
@click.option(
    "--transform",
    type=click.Choice(["none", "center-crop", "center-crop-wide", "square-crop", "pad"]),
    default="none",
    show_default=True,
    help="Before the resize: nothing; crop to the proportions asked for; the same with black bars to a square; "
    "crop to the largest square; or only shrink what is too large and pad.",
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
@click.option(
    "--labels",
    default="auto",
    show_default=True,
    metavar="auto|none|folders|FILE",
    help="Where labels come from; FILE is a CSV of file,label or a dataset.json; auto is the source's own dataset.json.",
)
@click.option("--max-images", type=click.IntRange(min=1), help="Use only the first so many pictures.  [default: all]")
@click.option("--tile", type=RESOLUTION, help="SOURCE is a sprite sheet: cut it into tiles of this size, 24 or 24x32.")
@click.option("--strict", is_flag=True, help="Stop at the first picture that cannot be read, instead of skipping it.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: all cores]")
@click.option("--force", is_flag=True, help="Replace a dataset that is already at DEST.")
def prepare(source, dest, source_option, dest_option, channels, **options):
    """Turn pictures into a dataset for training.

    SOURCE is a folder of pictures (with all folders below it), a zip, a sprite sheet with --tile, or demo:digits.
    DEST is a .zip or a folder; NVIDIA's StyleGAN2-ADA and StyleGAN3 read it too.

    \b
    sgtool prepare pictures/ data.zip --resolution 256 --transform square-crop
    sgtool prepare flowers/ flowers.zip --resolution 128 --transform center-crop --labels folders
    sgtool prepare sprites.png sprites.zip --tile 24 --resolution 32 --transform pad --background "#638596"
    sgtool prepare demo:digits digits.zip --resolution 16
    """
    paths = _one("SOURCE", source, source_option), _one("DEST", dest, dest_option)
    from sgtool.datasets.prepare import prepare as run
    from sgtool.datasets.prepare import summary

    signal.signal(signal.SIGTERM, _leave)
    report = run(*paths, channels=channels if channels == "auto" else int(channels), progress=True, **options)
    click.echo(summary(report, paths[1]))
    for warning in report["warnings"]:
        click.echo(f"Warning: {warning}", err=True)


def _leave(number, frame):
    """Stop as after Ctrl-C: what is half written goes."""
    raise SystemExit(128 + number)


def _one(name, argument, option):
    """`SOURCE` and `--source` are the same: take the one that is given."""
    if argument is not None and option is not None:
        raise UserError(f"{name} is given twice: {argument} and {option}. Leave one of them.")
    if argument is None and option is None:
        raise click.UsageError(f"{name} is missing. Write: sgtool prepare SOURCE DEST")
    return argument if argument is not None else option

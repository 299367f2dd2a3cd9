"""`sgtool blend`: one model from two."""

import math

import click

from sgtool.options import (
    LATENTS,
    batch_option,
    device_option,
    enlarging_options,
    noise_mode_option,
    offline_option,
    precision_option,
    truncation_options,
)


class Weights(click.ParamType):
    """Numbers separated by commas: `0,0,0.3,1`. Gives a list."""

    name = "LIST"

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        try:
            weights = [float(part) for part in value.split(",")]
        except ValueError:
            weights = [math.nan]
        if not all(map(math.isfinite, weights)):
            self.fail(f"{value[:80]!r} is not a list of numbers. Write them like 0,0,0.3,1.", param, ctx)
        return weights


@click.command(short_help="Blend two models: coarse layers of one, fine layers of the other.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE",
              help="Snapshot to write, .pkl. Only another blend is replaced.")  # fmt: skip
@click.option("--at", type=int, metavar="RES", help="Layers below this resolution are A's; from it on they are B's.")
@click.option("--width", type=float, default=0.0, show_default=True, metavar="OCTAVES",
              help="Let the weight of B rise over so many octaves around the cut; up to 1 the cut is hard.")  # fmt: skip
@click.option("--weights", type=Weights(),
              help="Instead of --at: a number from 0 (A) to 1 (B) for each block or each layer, like 0,0,0.3,1.")  # fmt: skip
@click.option("--mapping", type=click.Choice(["a", "b"], case_sensitive=False), default="a", show_default=True,
              help="Whose mapping network (seeds, classes, average) the blend has.")  # fmt: skip
@click.option("--preview", type=click.Path(dir_okay=False), metavar="FILE",
              help="Sheet A | blend | B to write, .png.  [default: beside --out, with its name]")  # fmt: skip
@click.option("--no-preview", is_flag=True, help="Write no sheet A | blend | B.")
@click.option("--sweep", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write a sheet of the cuts at all resolutions, .png.")  # fmt: skip
@click.option("--seeds", type=LATENTS, default="0-7", show_default=True,
              help="Rows of the sheets: seeds like 0-3,7, files of latents, pictures, mixtures.")  # fmt: skip
@truncation_options
@click.option("--class", "label", type=click.IntRange(min=0), metavar="N",
              help="Class of the seeds on the sheets.  [default: 0, 1, 2 ... in turn]")  # fmt: skip
@noise_mode_option
@batch_option()
@enlarging_options("the sheets")
@device_option
@precision_option()
@offline_option
def blend(a, b, seeds, trunc, trunc_cutoff, device, out, preview, no_preview, sweep, **options):
    """Blend two models: coarse layers of one, fine layers of the other.

    A and B are files of any program that sgtool reads, run folders, URLs or known names; the one should have been trained from
    the other. Coarse layers make pose and shape, fine ones colour and texture. --sweep shows all cuts on one sheet.

    \b
    sgtool blend faces.pkl cartoons.pkl --sweep cuts.png
    sgtool blend faces.pkl cartoons.pkl --at 32 --out blend.pkl
    sgtool blend faces.pkl cartoons.pkl --at 32 --width 3 --out smooth.pkl
    sgtool blend punks.pkl recoloured.pkl --weights 0,0.25,0.5,1 --mapping b --out blend.pkl
    """
    from sgtool.latents.blending import blend_files
    from sgtool.options import torch_device

    done = blend_files(
        a,
        b,
        out=out,
        preview=False if no_preview else preview,
        sweep=sweep,
        seeds=seeds,
        truncation_psi=trunc,
        truncation_cutoff=trunc_cutoff,
        device=torch_device(device),
        progress=True,
        warn=lambda text: click.echo(f"Warning: {text}", err=True),
        say=lambda text: click.echo(text, err=True),
        **options,
    )
    if done.out:
        click.echo(f"{done.out}: {done.words}, mapping of {options['mapping'].upper()}")
    if done.preview:
        click.echo(f"A | blend | B: {done.preview}")
    if done.sweep:
        click.echo(f"all cuts: {done.sweep}")

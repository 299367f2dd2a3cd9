"""`sgtool generate`: pictures of seeds."""

import click

from sgtool.options import CLASSES, SEEDS, device_option, network_option, offline_option, precision_option


@click.command(short_help="Make pictures of seeds with a trained network.")
@network_option
@click.option("--seeds", type=SEEDS, required=True, help="Which pictures: numbers and ranges, like 0-3,7.")
@click.option("--outdir", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder for the pictures.")
@click.option("--trunc", type=float, default=1.0, show_default=True, metavar="PSI",
              help="1: full variety; less: more typical pictures.")  # fmt: skip
@click.option("--trunc-cutoff", type=click.IntRange(min=0), metavar="N", help="Truncate the first N layers only.  [default: all]")
@click.option("--class", "classes", type=CLASSES,
              help="Class of the pictures, like 3, or several, like 0-9. Needed if trained with --cond.")  # fmt: skip
@click.option("--noise-mode", type=click.Choice(["const", "random", "none"]), default="const", show_default=True,
              help="Noise inputs: as stored, drawn from each seed, or off.")  # fmt: skip
@click.option("--grid/--no-grid", default=True, show_default=True, help="Write grid.png with all pictures on one sheet.")
@click.option("--columns", type=click.IntRange(min=1), metavar="N",
              help="Pictures in a row of grid.png.  [default: a row per class, or square]")  # fmt: skip
@click.option("--enlarge", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help="Each pixel is N x N pixels on grid.png: for very small pictures.")  # fmt: skip
@click.option("--gap", type=click.IntRange(0, 64), default=0, show_default=True, metavar="N",
              help="Pixels between pictures on grid.png.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), metavar="N",
              help="Pictures computed at once.  [default: 2 million pixels, at most 32]")  # fmt: skip
@device_option
@precision_option()
@offline_option
def generate(
    network, seeds, outdir, trunc, trunc_cutoff, classes, noise_mode, grid, columns, enlarge, gap, batch, device, precision,
    offline,
):  # fmt: skip
    """Make pictures of seeds with a trained network.

    Writes seed0000.png ... and grid.png. A seed shows the same picture whatever the batch or the device; each file
    carries its recipe as text. Files made by sgtool are replaced, others never.

    \b
    sgtool generate --network runs/00000-data-auto1 --seeds 0-15 --outdir out
    sgtool generate --network metfaces --seeds 85,265,297 --trunc 0.7 --outdir out
    sgtool generate --network digits.pkl --seeds 0-9 --class 0-9 --outdir out
    """
    from sgtool.latents import generate_files
    from sgtool.options import torch_device

    number, sheet = generate_files(
        network,
        outdir,
        seeds,
        classes,
        truncation_psi=trunc,
        truncation_cutoff=trunc_cutoff,
        noise_mode=noise_mode,
        device=torch_device(device),
        precision=precision,
        batch=batch,
        grid=grid,
        columns=columns,
        enlarge=enlarge,
        gap=gap,
        offline=offline,
        progress=True,
        warn=lambda text: click.echo(f"Warning: {text}", err=True),
        say=lambda text: click.echo(text, err=True),
    )
    click.echo(f"{number} {'picture' if number == 1 else 'pictures'} in {outdir}" + (f", all on {sheet}" if sheet else ""))

"""`sgtool generate`: pictures of seeds and saved latents."""

import click

from sgtool.options import (
    CLASSES,
    LATENTS,
    batch_option,
    device_option,
    enlarging_options,
    network_option,
    noise_mode_option,
    offline_option,
    precision_option,
    truncation_options,
)


def _needed(ctx, param, value):
    """Demand --seeds unless there is --projected-w; what is given is read before what is not."""
    if value is None and ctx.params.get("projected_w") is None:
        raise click.MissingParameter(ctx=ctx, param=param)
    return value


@click.command(short_help="Make pictures of seeds with a trained network.")
@network_option
@click.option("--seeds", type=LATENTS, callback=_needed,
              help="Which pictures: seeds, numbers and ranges like 0-3,7, and latents of other kinds like w.npz. Needed unless "
                   "there is --projected-w.")  # fmt: skip
@click.option("--projected-w", type=click.Path(dir_okay=False), metavar="NPZ",
              help="Pictures of the latents in a file, as proj00.png, ...")  # fmt: skip
@click.option("--outdir", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder for the pictures.")
@truncation_options
@click.option("--class", "classes", type=CLASSES,
              help="Class of the pictures, like 3, or several, like 0-9. Needed if trained with --cond.")  # fmt: skip
@noise_mode_option
@click.option("--grid/--no-grid", default=True, show_default=True, help="Write grid.png with all pictures on one sheet.")
@click.option("--columns", type=click.IntRange(min=1), metavar="N",
              help="Pictures in a row of grid.png.  [default: a row per class, or square]")  # fmt: skip
@enlarging_options("grid.png")
@batch_option()
@device_option
@precision_option()
@offline_option
def generate(
    network, seeds, projected_w, outdir, trunc, trunc_cutoff, classes, noise_mode, grid, columns, enlarge, gap, batch, device,
    precision, offline,
):  # fmt: skip
    """Make pictures of seeds with a trained network.

    Writes seed0000.png ... and grid.png. A seed shows the same picture whatever the batch or the device; each file
    carries its recipe as text. Files made by sgtool are replaced, others never.

    \b
    sgtool generate --network runs/00000-data-auto1 --seeds 0-15 --outdir out
    sgtool generate --network metfaces --seeds 85,265,297 --trunc 0.7 --outdir out
    sgtool generate --network digits.pkl --seeds 0-9 --class 0-9 --outdir out
    sgtool generate --network model.pkl --seeds 85,out/projected_w.npz,0.5*85+0.5*265 --outdir out
    """
    from sgtool.latents import generate_files
    from sgtool.options import torch_device

    number, sheet = generate_files(
        network,
        outdir,
        seeds,
        classes,
        projected_w=projected_w,
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

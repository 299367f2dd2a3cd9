"""`sgtool mix`: style mixing."""

import click

from sgtool.options import (
    LATENTS,
    LAYERS,
    batch_option,
    device_option,
    enlarging_options,
    network_option,
    noise_mode_option,
    offline_option,
    precision_option,
    truncation_options,
)


@click.command(short_help="Mix styles: coarse structure from one latent, fine from another.")
@network_option
@click.option("--rows", type=LATENTS, required=True, help="What the rows show: seeds like 85,100, latents, pictures.")
@click.option("--cols", "columns", type=LATENTS, required=True, help="Where each column takes its layers from, likewise.")
@click.option("--outdir", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder for the pictures.")
@click.option("--styles", type=LAYERS, multiple=True, metavar="LAYERS",
              help="Layers that come from the column: numbers, or coarse, middle or fine. Several times: a sheet of each, "
                   "one below the other.  [default: 0-6, or the first half if the network has fewer than 14]")  # fmt: skip
@truncation_options
@click.option("--class", "label", type=click.IntRange(min=0), metavar="N",
              help="Class of the seeds. Needed if trained with --cond, unless each seed has its own, as 85@3.")  # fmt: skip
@noise_mode_option
@click.option("--grid/--no-grid", default=True, show_default=True, help="Write grid.png with all pictures on one sheet.")
@click.option("--singles/--no-singles", default=True, show_default=True, help="Write each picture to a file of its own too.")
@click.option("--labels/--no-labels", default=None,
              help="Write names along the edges of grid.png.  [default: with several --styles]")  # fmt: skip
@enlarging_options("grid.png")
@batch_option()
@device_option
@precision_option()
@offline_option
def mix(
    network, rows, columns, outdir, styles, trunc, trunc_cutoff, label, noise_mode, grid, singles, labels, enlarge, gap, batch,
    device, precision, offline,
):  # fmt: skip
    """Mix styles: each picture is that of its row, with some layers from its column.

    Writes 85-100.png ... and grid.png, with the sources along its edges.

    \b
    sgtool mix --network model.pkl --rows 85,100,75 --cols 55,821,1789 --outdir out
    sgtool mix --network model.pkl --rows 0-4 --cols 5-9 --styles coarse --styles middle --styles fine --outdir out
    sgtool mix --network model.pkl --rows face.png,w.npz --cols 0-5 --styles 8-17 --trunc 0.7 --outdir out
    """
    from sgtool.latents.mix import mix_files
    from sgtool.options import torch_device

    number, sheet = mix_files(
        network,
        outdir,
        rows,
        columns,
        styles,
        label=label,
        truncation_psi=trunc,
        truncation_cutoff=trunc_cutoff,
        noise_mode=noise_mode,
        device=torch_device(device),
        precision=precision,
        batch=batch,
        grid=grid,
        singles=singles,
        labels=labels,
        enlarge=enlarge,
        gap=gap,
        offline=offline,
        progress=True,
        warn=lambda text: click.echo(f"Warning: {text}", err=True),
        say=lambda text: click.echo(text, err=True),
    )
    pictures = f"{number} {'picture' if number == 1 else 'pictures'} in {outdir}"
    click.echo(", ".join([pictures] * singles + [f"all on {sheet}"] * grid))

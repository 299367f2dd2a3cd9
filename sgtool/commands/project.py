"""`sgtool project`: from a picture to the latents that show it."""

import click

from sgtool.options import boolean_option, device_option, network_option, offline_option, precision_option


class OneClass(click.ParamType):
    """A class number, or `auto`."""

    name = "N|auto"

    def convert(self, value, param, ctx):
        if value == "auto" or isinstance(value, int):
            return value
        if not value.isdigit() or not value.isascii() or len(value) > 9:
            self.fail(f"{value[:80]!r} is no class. Give its number, like 3, or auto.", param, ctx)
        return int(value)


@click.command(short_help="Find the latents that show a given picture.")
@network_option
@click.option("--target", required=True, metavar="PICTURE|FOLDER|ZIP", help="Picture to project, or a collection of them.")
@click.option("--outdir", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder for the results.")
@click.option("--space", type=click.Choice(["w", "w+", "pti"], case_sensitive=False), default="w", show_default=True,
              help="w: one row of latents; w+: a row for each layer; pti: w, then the network is tuned around it.")  # fmt: skip
@click.option("--num-steps", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, metavar="N",
              help="Steps of the search.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=303, show_default=True, help="Of the noise in the search.")
@click.option("--patience", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Finish a picture early that has not improved for N steps; 0: never.")  # fmt: skip
@click.option("--tuning-steps", type=click.IntRange(1, 1_000_000), metavar="N", help="Steps of pti's tuning.  [default: 350]")
@click.option("--tuning-rate", type=click.FloatRange(0, 1, min_open=True), metavar="RATE",
              help="Learning rate of pti's tuning.  [default: 0.0003]")  # fmt: skip
@click.option("--tune", type=click.Choice(["each", "together"]), default="each", show_default=True,
              help="With pti, tune a network for each picture, or one for all.")  # fmt: skip
@click.option("--perceptual", type=click.Choice(["auto", "lpips", "discriminator", "pixels"]), default="auto", show_default=True,
              help="What distance means; auto is the first of the three that can be had.")  # fmt: skip
@click.option("--weights", type=click.Path(), metavar="FILE", help="VGG16's weights for lpips.  [default: from the cache]")
@click.option("--class", "label", type=OneClass(),
              help="Class of the pictures, or auto: the nearest one for each.  [default: auto]")  # fmt: skip
@click.option("--align", type=click.Choice(["faces"]), help="Cut out the largest face first, upright, as in FFHQ.")
@click.option("--landmarks", type=click.Path(), metavar="FILE", help="Another landmark model: a .dat file of 68 points.")
@click.option("--background", metavar="COLOUR", help="Colour under transparency, for models without it.  [default: white]")
@click.option("--batch", type=click.IntRange(min=1), metavar="N",
              help="Pictures projected together.  [default: half a million pixels, at most 16]")  # fmt: skip
@boolean_option("--save-video", default=None, show_default=False,
                help="Write proj.mp4, how it went.  [default: for one picture, where ffmpeg is there]")  # fmt: skip
@click.option("--no-save-video", is_flag=True, help="The same as --save-video=false.")
@click.option("--fps", type=click.FloatRange(0.1, 240), default=10, show_default=True, help="Frames a second of the video.")
@click.option("--preview", type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Write preview.png every so many seconds: the pictures in work.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Stop at a target that cannot be used, instead of leaving it out.")
@device_option
@precision_option()
@offline_option
def project(save_video, no_save_video, device, **options):
    """Find the latents whose picture is a given one.

    Writes proj.png, projected_w.npz and proj.mp4, for several pictures NAME-proj.png ... and all latents as projected_w.npz,
    and a sheet of targets, projections and differences. Whatever stops it, the same command goes on from there.

    \b
    sgtool project --network runs/00000-data-auto1 --target face.png --outdir out
    sgtool project --network model.pkl --target photos/ --align faces --space w+ --outdir out
    sgtool project --network model.pkl --target face.png --space pti --outdir out
    """
    from sgtool.latents.projection import Request, project_files
    from sgtool.options import torch_device

    if save_video and no_save_video:
        raise click.UsageError("--save-video and --no-save-video contradict each other. Leave one out.")
    video = False if no_save_video else save_video
    report = project_files(
        Request(video=video, device=torch_device(device), **options),
        progress=True,
        warn=lambda text: click.echo(f"Warning: {text}", err=True),
        say=lambda text: click.echo(text, err=True),
    )
    click.echo("\n".join(report.table))
    number = f"{report.number} {'picture' if report.number == 1 else 'pictures'}"
    click.echo(f"{number} projected, results in {options['outdir']}, all compared on {report.sheet}")

"""`sgtool video`: walks through latent space as videos."""

import re

import click
from PIL import ImageColor

from sgtool.options import (
    LATENTS,
    LAYERS,
    batch_option,
    device_option,
    network_option,
    noise_mode_option,
    offline_option,
    precision_option,
    truncation_options,
)  # fmt: skip

MOST_CELLS = 64  # a side


class Grid(click.ParamType):
    """Columns and rows: `4x2`. Gives (4, 2)."""

    name = "WxH"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*([0-9]{1,5})\s*[xX×,]\s*([0-9]{1,5})\s*", value)
        if not match:
            self.fail(f"{value[:80]!r} is no grid. Write columns x rows, like 4x2.", param, ctx)
        grid = int(match[1]), int(match[2])
        if not all(1 <= side <= MOST_CELLS for side in grid):
            self.fail(f"{value} is out of range: columns and rows go from 1 to {MOST_CELLS}.", param, ctx)
        return grid


class Colour(click.ParamType):
    """A colour: `white`, `#ff8800`. Gives (red, green, blue)."""

    name = "COLOUR"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            return ImageColor.getrgb(value)[:3]
        except ValueError:
            self.fail(f"{value[:80]!r} is no colour. Write a name, like white, or #rrggbb.", param, ctx)


@click.command(short_help="Make videos of walks through latent space.")
@network_option
@click.option("--seeds", type=LATENTS, required=True,
              help="Latents to walk through: seeds, files of latents, pictures, mixtures.")  # fmt: skip
@click.option("--output", "--out", "output", type=click.Path(), required=True, metavar="FILE",
              help="File: .mp4, .webm, .mov, .gif, .webp, .apng or .png; without an ending, a folder of frames.")  # fmt: skip
@click.option("--walk", "kind", type=click.Choice(["latents", "mix", "noise", "trunc", "edit"]), default="latents",
              show_default=True,
              help="latents: from one to the next; mix: so, with some styles fixed; noise: a loop of noise in Z; trunc: "
                   "less and more truncation; edit: along a direction.")  # fmt: skip
@click.option("--interp", type=click.Choice(["cubic", "linear", "slerp"]), help="How, between latents.  [default: cubic]")
@click.option("--space", type=click.Choice(["w", "z"]), help="Where, between seeds.  [default: w]")
@click.option("--grid", type=Grid(), default="1x1", show_default=True, help="Walks side by side: columns x rows.")
@click.option("--num-keyframes", type=click.IntRange(1, 10_000), metavar="N",
              help="Latents of each walk.  [default: those of --seeds, shared out]")  # fmt: skip
@click.option("--shuffle-seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Shuffle the latents.  [default: in order]")
@click.option("--w-frames", type=click.IntRange(1, 1_000_000), metavar="N",
              help="Frames from one latent to the next.  [default: 120]")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0, 86400, min_open=True), metavar="S",
              help="Length of the whole, instead of --w-frames.")  # fmt: skip
@click.option("--fps", type=float, metavar="N", help="Frames a second.  [default: 60; GIF 50]")
@click.option("--loop/--no-loop", default=True, show_default=True, help="Come back to the start.")
@click.option("--sweep", type=float, nargs=2, metavar="PSI PSI", help="trunc: from and to.  [default: 0 1]")
@click.option("--styles-from", type=LATENTS, help="mix: the latent whose styles stay.")
@click.option("--styles", type=LAYERS, help="mix: its layers, like 0-3, coarse, middle or fine.")
@click.option("--smooth", type=click.FloatRange(0, min_open=True), metavar="S",
              help="noise: seconds over which it is smoothed.  [default: 1]")  # fmt: skip
@click.option("--directions", type=click.Path(), metavar="FILE", help="edit: file of directions, from sgtool edit.")
@click.option("--direction", metavar="NAME", help="edit: which of them, by name or number.  [default: 0]")
@click.option("--strength", type=click.FloatRange(-1000, 1000), metavar="A",
              help="edit: go from -A to A, in standard deviations of W.  [default: 3]")  # fmt: skip
@truncation_options
@click.option("--class", "label", type=click.IntRange(min=0), metavar="N", help="Class of seeds that name none.")
@noise_mode_option
@click.option("--enlarge", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help="Each pixel is N x N pixels: for very small pictures.")  # fmt: skip
@click.option("--gap", type=click.IntRange(0, 64), default=0, show_default=True, metavar="N", help="Pixels between walks.")
@click.option("--codec", metavar="NAME", help="h264, h265, vp9, av1, prores, png, or an encoder of ffmpeg.  [default: by ending]")
@click.option("--quality", type=int, metavar="N", help="mp4, webm, mov: CRF, less is better. webp: 0 to 100, 100 is exact.")
@click.option("--background", type=Colour(), default="white", show_default=True, help="Behind transparent pixels in .mp4.")
@batch_option("131,072 pixels, on a GPU 2 million; at most 32")
@device_option
@precision_option()
@offline_option
def video(
    network, seeds, output, kind, interp, space, grid, num_keyframes, shuffle_seed, w_frames, seconds, loop, sweep, styles_from,
    styles, smooth, directions, direction, strength, trunc, trunc_cutoff, device, **options,
):  # fmt: skip
    """Make a video of a walk through latent space.

    The walk goes through the latents of --seeds and back to its start. Frames are computed and encoded one by one, so that a
    long video needs no more memory than a short one. A file made by sgtool is replaced, any other never.

    \b
    sgtool video --network model.pkl --seeds 0-5 --output walk.mp4
    sgtool video --network model.pkl --seeds 0-31 --grid 4x2 --output walks.mp4
    sgtool video --network punks.pkl --seeds 0-3 --seconds 6 --fps 20 --enlarge 4 --output walk.webp
    sgtool video --network model.pkl --seeds 7 --walk noise --seconds 10 --output loop.mp4
    """
    from sgtool.latents.route import Route
    from sgtool.latents.video import write_video
    from sgtool.options import torch_device

    route = Route(kind, interp, space, grid, num_keyframes, shuffle_seed, w_frames, seconds, loop, smooth, sweep, styles_from,
                  styles, directions, direction, strength)  # fmt: skip
    options |= {"truncation_psi": trunc, "truncation_cutoff": trunc_cutoff, "device": torch_device(device), "progress": True}
    options |= {"warn": lambda text: click.echo(f"Warning: {text}", err=True), "say": lambda text: click.echo(text, err=True)}
    frames, length = write_video(network, output, seeds, route, **options)
    click.echo(f"{frames} frames, {length:.4g} seconds, in {output}")

"""`sgtool edit`: directions in W, and latents moved along them."""

import math
import os
import re

import click

from sgtool.errors import UserError
from sgtool.grammar import Picture
from sgtool.options import (
    LATENTS,
    LAYERS,
    LatentList,
    batch_option,
    device_option,
    enlarging_options,
    network_option,
    noise_mode_option,
    offline_option,
    precision_option,
    truncation_options,
)  # fmt: skip

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
MOST = 1000  # columns of a sheet, and the largest strength


class Strengths(click.ParamType):
    """Strengths: numbers and ranges `-3..3` or `-1..1:0.25`, separated by commas. Gives a list of numbers."""

    name = "STRENGTHS"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        numbers = []
        for part in value.split(","):
            match = re.fullmatch(rf"\s*({NUMBER})(?:\.\.({NUMBER})(?::({NUMBER}))?)?\s*", part, re.ASCII)
            if not match:
                self.fail(f"{part[:80]!r} is no strength. Write them like -2,0,2 or -3..3 or -1..1:0.5.", param, ctx)
            first, last, step = float(match[1]), float(match[2] or match[1]), float(match[3] or 1)
            if max(abs(first), abs(last)) > MOST or last < first or step < 1e-6:
                shown = part.strip()[:80]
                self.fail(f"{shown} leads nowhere. Write it like -3..3; strengths go from -{MOST} to {MOST}.", param, ctx)
            steps = math.floor((last - first) / step + 1e-9)
            if len(numbers) + steps >= MOST:
                self.fail(f"{value[:80]} holds more than {MOST} strengths. Ask for fewer.", param, ctx)
            numbers += [round(first + i * step, 9) for i in range(steps + 1)]
        return numbers


class Use(click.ParamType):
    """Directions by name or number, with strengths or without: `smile=2,age=-1`, `0=1.5`, `smile,age`. Gives a dict."""

    name = "DIRECTIONS"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        chosen = {}
        for part in value.split(","):
            name, sign, text = part.strip().rpartition("=") if "=" in part else (part.strip(), "", "")
            name = name.strip()
            strength = float(text) if sign and re.fullmatch(NUMBER, text.strip(), re.ASCII) else None
            if not name or (sign and (strength is None or abs(strength) > MOST)):
                self.fail(f"{part[:80]!r} is no direction with a strength. Write them like smile=2,age=-1.", param, ctx)
            if name in chosen:
                self.fail(f"{name} is there twice. Leave one.", param, ctx)
            chosen[name] = strength
        return chosen


class Examples(LatentList):
    """Latents, or one folder of pictures."""

    name = "LATENTS|DIR"

    def convert(self, value, param, ctx):
        if isinstance(value, str) and os.path.isdir(value):
            return [Picture(value)]
        return super().convert(value, param, ctx)


@click.command(short_help="Find directions that change pictures in one way, and use them.")
@network_option
@click.option("--outdir", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Folder for what is made.")
@click.option("--method", type=click.Choice(["sefa", "pca", "learned"]),
              help="Find directions: by the weights, by samples of W, or from labelled examples.")  # fmt: skip
@click.option("--directions", type=click.Path(), metavar="FILE", help="Use directions that were found before.")
@click.option("--use", type=Use(), help="Which of --directions: smile=2,age=-1 moves; smile,age makes sheets.  [default: all]")
@click.option("--seeds", type=LATENTS, default="0-3", show_default=True,
              help="Latents to move: seeds, files of latents, pictures, mixtures.")  # fmt: skip
@click.option("--strengths", type=Strengths(), help="Columns of sheets, in standard deviations of W.  [default: -3..3]")
@click.option("--layers", type=LAYERS, help="Layers to move, like 0-3, coarse, middle or fine.  [default: all, or the file's]")
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="Directions to find: sefa, pca.  [default: 10]")
@click.option("--samples", type=click.IntRange(2, 10_000_000), metavar="N", help="Samples of W.  [default: 10000]")
@click.option("--examples", type=Examples(), help="For learned: latents, or a folder of pictures of sgtool generate.")
@click.option("--labels", type=click.Path(), metavar="CSV", help="For learned: lines name,label.  [default: the subfolders]")
@click.option("--orthogonal-to", type=click.Path(), metavar="FILE", help="For learned: leave what these directions do alone.")
@truncation_options
@click.option("--class", "label", type=click.IntRange(min=0), metavar="N", help="Class of seeds, and whose W is sampled.")
@noise_mode_option
@enlarging_options("sheets")
@batch_option()
@device_option
@precision_option()
@offline_option
def edit(network, outdir, method, directions, use, seeds, trunc, trunc_cutoff, device, number, samples, examples, labels,
         orthogonal_to, **options):  # fmt: skip
    """Find directions in W that change pictures in one way, and move latents along them.

    With --method, writes directions.npz and sheets of what each direction does. With --directions, makes sheets of them, or,
    with strengths, edited pictures. Strength 1 is one standard deviation of W along the direction.

    \b
    sgtool edit --network model.pkl --outdir out --method pca --number 8
    sgtool edit --network model.pkl --outdir out --method learned --examples sorted
    sgtool edit --network model.pkl --outdir out --directions out/directions.npz --use 0=2,3=-1.5 --seeds 0-9,w.npz
    """
    if (method is None) == (directions is None):
        raise UserError("Give either --method, to find directions, or --directions FILE, to use those that were found.")
    from sgtool.latents.editing import find_files, use_files
    from sgtool.options import torch_device

    options |= {"truncation_psi": trunc, "truncation_cutoff": trunc_cutoff, "device": torch_device(device), "progress": True}
    options |= {"warn": lambda text: click.echo(f"Warning: {text}", err=True), "say": lambda text: click.echo(text, err=True)}
    of_method = {
        "number": number, "samples": samples, "examples": examples, "labels": labels, "orthogonal_to": orthogonal_to,
    }  # fmt: skip
    if directions is not None:
        _refuse("--directions", of_method)
        paths = use_files(network, outdir, seeds, directions, use=use, **options)
    else:
        _refuse("--method", {"use": use})
        path, found, paths = find_files(network, outdir, seeds, method, **of_method, **options)
        click.echo(f"{len(found)} {'direction' if len(found) == 1 else 'directions'} in {path}")
    click.echo(f"Look at {paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""))


def _refuse(option, others):
    """Raise UserError if another option is given that does not go with `option`."""
    for name, value in others.items():
        if value is not None:
            raise UserError(f"--{name.replace('_', '-')} does not go with {option}. Leave one of them out.")

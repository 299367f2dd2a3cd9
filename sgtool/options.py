"""Parameter types and options that several commands share."""

import re

import click

from sgtool.errors import UserError
from sgtool.grammar import parse_latents


class Numbers(click.ParamType):
    """Whole numbers and ranges, separated by commas, in the order given: `0-3,7` is [0, 1, 2, 3, 7]."""

    MOST = 1_000_000  # in one range

    def __init__(self, name, noun, example, largest):
        self.name = name
        self.noun = noun  # singular
        self.example = example
        self.largest = largest

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        numbers = []
        for part in value.split(","):
            match = re.fullmatch(r"\s*([0-9]{1,20})(?:-([0-9]{1,20}))?\s*", part)
            if not match:
                self.fail(f"{value[:80]!r} is not a list of {self.noun} numbers. Write them like {self.example}.", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if max(first, last) > self.largest:
                self.fail(f"{self.noun} {max(first, last)} is too large; it goes from 0 to {self.largest}.", param, ctx)
            if last < first:
                self.fail(f"the range {part.strip()} runs backwards. Write {last}-{first}.", param, ctx)
            if last - first >= self.MOST:
                self.fail(f"the range {part.strip()} holds more than a million numbers. Ask for fewer at a time.", param, ctx)
            numbers.extend(range(first, last + 1))
        return numbers


def numbers_text(numbers):
    """Write a list of whole numbers as `Numbers` reads it, with runs as ranges: [0, 1, 2, 3, 7] is "0-3,7"."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1 and number - runs[-1][0] < Numbers.MOST:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


class Resolution(click.ParamType):
    """A picture size: `256` or `512x384` (width x height). Gives (width, height)."""

    name = "WxH"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*[xX×]\s*([0-9]{1,9}))?\s*", str(value))
        if not match:
            self.fail(f"{value!r} is not a size. Write one number, like 256, or width x height, like 512x384.", param, ctx)
        size = int(match[1]), int(match[2] or match[1])
        if not all(1 <= n <= 16384 for n in size):
            self.fail(f"{value} is out of range: each side goes from 1 to 16384 pixels.", param, ctx)
        return size


class LatentList(click.ParamType):
    """Latents in the order given: seeds `0-3,7`, files `w.npz`, pictures, mixtures. Gives what `grammar.parse_latents` does."""

    name = "LATENTS"

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        try:
            return parse_latents(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Layers(Numbers):
    """Rows of `ws`: numbers and ranges, or one of the words coarse, middle and fine. Gives a list or the word."""

    def convert(self, value, param, ctx):
        if isinstance(value, str) and value.strip() in ("coarse", "middle", "fine"):
            return value.strip()
        return super().convert(value, param, ctx)


LATENTS = LatentList()
LAYERS = Layers("LAYERS", "layer", "0-6, or coarse, middle or fine", 2**31 - 1)
SEEDS = Numbers("SEEDS", "seed", "0-3,7", 2**32 - 1)
CLASSES = Numbers("CLASSES", "class", "3 or 0-9", 2**31 - 1)
RESOLUTION = Resolution()


def boolean_option(*names, default=False, **kwargs):
    """An option that is a flag and takes a value too: `--mirror`, `--mirror=1` and `--mirror false` all work."""
    kwargs = {"show_default": True, "metavar": "BOOL", **kwargs}
    return click.option(*names, type=bool, is_flag=False, flag_value=True, default=default, **kwargs)


def network_option(command):
    """`--network`: the model to use."""
    return click.option(
        "--network",
        required=True,
        metavar="MODEL",
        help="Model to use: a file, a run folder (its newest snapshot), a URL, or a known name like ffhq256.",
    )(command)


def offline_option(command):
    """`--offline`: what is not on this machine is not fetched."""
    return click.option(
        "--offline", is_flag=True, help="Download nothing: models come from files or the cache.  [also: SGTOOL_OFFLINE=1]"
    )(command)


def device_option(command):
    """`--device`: where to compute."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "mps"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes a GPU where there is one.",
    )(command)


def precision_option(default="auto"):
    """`--precision`: the type in which the largest resolutions are computed."""
    return click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        default=default,
        help="Type of the four highest resolutions.  [default: auto: fp16 on CUDA, else fp32]",
    )


def truncation_options(command):
    """`--trunc` and `--trunc-cutoff`."""
    command = click.option(
        "--trunc-cutoff", type=click.IntRange(min=0), metavar="N", help="Truncate the first N layers only.  [default: all]"
    )(command)
    return click.option(
        "--trunc", type=float, default=1.0, show_default=True, metavar="PSI",
        help="Of seeds. 1: full variety; less: more typical pictures.",
    )(command)  # fmt: skip


def noise_mode_option(command):
    """`--noise-mode`: which noise inputs."""
    return click.option(
        "--noise-mode", type=click.Choice(["const", "random", "none"]), default="const", show_default=True,
        help="Noise inputs: as stored, drawn from each seed, or off.",
    )(command)  # fmt: skip


def enlarging_options(where):
    """`--enlarge` and `--gap`, of the pictures on `where`, such as "grid.png"."""

    def add(command):
        command = click.option(
            "--gap",
            type=click.IntRange(0, 64),
            default=0,
            show_default=True,
            metavar="N",
            help=f"Pixels between pictures on {where}.",
        )(command)
        return click.option(
            "--enlarge", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
            help=f"Each pixel is N x N pixels on {where}: for very small pictures.",
        )(command)  # fmt: skip

    return add


def batch_option(default="2 million pixels, at most 32"):
    """`--batch`: how many pictures are computed at once."""
    text = f"Pictures computed at once.  [default: {default}]"
    return click.option("--batch", type=click.IntRange(min=1), metavar="N", help=text)


def torch_device(name):
    """Return the device that `--device` means: "auto" is cuda, else mps, else cpu.

    Raises:
        UserError: PyTorch cannot use the device that was asked for.
    """
    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in usable if usable[device])
    if not usable[name]:
        raise UserError(f"--device {name}: this PyTorch finds no such device. Use --device cpu, or install PyTorch for your GPU.")
    return torch.device(name)

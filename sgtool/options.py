"""Parameter types and options that several commands share."""

import re

import click


class Seeds(click.ParamType):
    """Seeds: numbers and ranges, separated by commas, in the order given: `0-3,7` is [0, 1, 2, 3, 7]."""

    name = "SEEDS"

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        seeds = []
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
            if not match:
                self.fail(f"{value!r} is not a list of seeds. Write numbers and ranges, like 0-3,7.", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                self.fail(f"the range {part.strip()} runs backwards. Write {last}-{first}.", param, ctx)
            if last >= 2**32:
                self.fail(f"seed {last} is too large; seeds go from 0 to {2**32 - 1}.", param, ctx)
            if last - first >= 1_000_000:
                self.fail(f"the range {part.strip()} holds more than a million seeds. Ask for fewer at a time.", param, ctx)
            seeds.extend(range(first, last + 1))
        return seeds


class Resolution(click.ParamType):
    """A picture size: `256` or `512x384` (width x height). Gives (width, height)."""

    name = "WxH"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", str(value))
        if not match:
            self.fail(f"{value!r} is not a size. Write one number, like 256, or width x height, like 512x384.", param, ctx)
        size = int(match[1]), int(match[2] or match[1])
        if not all(1 <= n <= 16384 for n in size):
            self.fail(f"{value} is out of range: each side goes from 1 to 16384 pixels.", param, ctx)
        return size


SEEDS = Seeds()
RESOLUTION = Resolution()


def boolean_option(*names, default=False, **kwargs):
    """An option that is a flag and takes a value too: `--mirror`, `--mirror=1` and `--mirror false` all work."""
    return click.option(*names, type=bool, is_flag=False, flag_value=True, default=default, show_default=True, metavar="BOOL", **kwargs)


def network_option(command):
    """`--network`: the model to use."""
    return click.option("--network", required=True, metavar="PATH", help="Snapshot (.pkl) to use, or a run folder: its newest snapshot.")(command)


def device_option(command):
    """`--device`: where to compute."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "mps"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes a GPU where there is one.",
    )(command)

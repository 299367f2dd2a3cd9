"""`sgtool tune`."""

import functools
import math

import click

OWN = ("outdir", "data", "kimg", "glr", "dry_run")  # options of `sgtool train` that have a meaning of their own here


class Numbers(click.ParamType):
    """Numbers separated by commas, 0.1,0.5,2: a list of them, each once."""

    name = "LIST"

    def __init__(self, least):
        self.least = least

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            numbers = [math.nan]
        if not all(self.least <= number < math.inf for number in numbers):
            self.fail(f"{value[:80]!r} is not a list of numbers from {self.least:g} up. Write them like 0.1,0.5,2.", param, ctx)
        return list(dict.fromkeys(numbers))


class Middle(click.ParamType):
    """A number, or `auto`: None."""

    name = "F"

    def convert(self, value, param, ctx):
        if value == "auto":
            return value
        numbers = Numbers(1e-9).convert(value, param, ctx)
        if len(numbers) != 1:
            self.fail(f"{value[:80]!r} is more than one number. List them by --gammas.", param, ctx)
        return numbers[0]


class PassingOn(click.Command):
    """A command that takes the options of `sgtool train` beside its own, and checks them alike."""

    def parse_args(self, ctx, args):
        rest = super().parse_args(ctx, args)
        words = [*ctx.args]
        train = ctx.parent.command.get_command(ctx.parent, "train")
        params = train.make_context(ctx.info_name, [*words], parent=ctx.parent).params
        ctx.params["passed"] = {name: value for name, value in params.items() if name not in OWN}
        ctx.params["words"] = words
        defaults = train.make_context(ctx.info_name, [], parent=ctx.parent).params
        ctx.params["train"] = functools.partial(train.callback, **defaults)
        ctx.args = []
        return rest


@click.command(cls=PassingOn, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--data", required=True, metavar="PATH", help="Dataset, as for sgtool train.")
@click.option("--outdir", required=True, metavar="DIR", help="Folder of the ladder; the same line again goes on with it.")
@click.option("--gammas", type=Numbers(0), help="R1 weights to try, like 0.1,0.5,2. [default: see --gamma-around]")
@click.option(
    "--gamma-around",
    "around",
    type=Middle(),
    help="Try three: a quarter, once and four times F. [default: auto, the gamma that sgtool train takes]",
)
@click.option(
    "--glr",
    "rates",
    type=Numbers(1e-9),
    help="Learning rates of G to try with each gamma; D's is --dlr, else the same. [default: the preset's]",
)
@click.option(
    "--kimg",
    type=click.IntRange(min=1),
    metavar="N",
    help="Length of a rung in thousands of pictures. [default: a hundredth of the preset's, at least 20]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Print the rungs and the first one's configuration, and stop.")
def tune(data, outdir, passed, words, train, gammas, around, rates, kimg, dry_run):
    """Find gamma and learning rate by a ladder of short trainings, then print the line to train with.

    All other options are those of sgtool train and hold for every rung.

    \b
    sgtool tune --data faces.zip --outdir ladder
    sgtool tune --data punks.zip --outdir ladder --cfg tiny --gammas 0.1,0.5,2 --glr 0.001,0.0025
    sgtool tune --data cats.zip --outdir ladder --resume ffhq256 --gamma-around 1 --kimg 50 --mirror 1
    """
    from sgtool.tuning import tune as run

    if gammas is not None and around is not None:
        raise click.UsageError("--gammas and --gamma-around contradict each other. Leave one of them out.")
    around = None if around == "auto" else around
    run(data, outdir, train, passed, words, gammas, around, rates, kimg, dry_run)

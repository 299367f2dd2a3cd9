"""`sgtool train`."""

import click

from sgtool.options import boolean_option, device_option, offline_option, precision_option

PRESETS = ("auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar", "tiny")


class Pipe(click.ParamType):
    """Names of augmentations and of sets of them, joined by commas or plus signs; gives the shortest way to write them."""

    name = "NAMES"

    def convert(self, value, param, ctx):
        from sgtool.training.pipes import written

        return written(value)


class Metrics(click.ParamType):
    """Names separated by commas, or `none`."""

    name = "LIST"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        return () if value.lower() == "none" else tuple(name.strip() for name in value.split(","))


class BatchGpu(click.ParamType):
    """A whole number, or `auto`."""

    name = "integer or auto"

    def convert(self, value, param, ctx):
        return value if value == "auto" else click.INT.convert(value, param, ctx)


@click.command()
# What and where
@click.option("--outdir", metavar="DIR", help="Folder in which the run's numbered folder is made.")
@click.option("--data", metavar="PATH", help="Dataset: zip or folder made by sgtool prepare (or NVIDIA's dataset_tool).")
@click.option(
    "--resume",
    metavar="PATH",
    help="Run folder or checkpoint to go on with exactly; auto = the newest run in "
    "--outdir with this data and configuration, or a new one; a snapshot (file, URL or known name) = transfer learning.",
)
@boolean_option("--cond", default=None, help="Train with the dataset's labels. [default: false]")
@click.option("--subset", type=int, metavar="N", help="Train with N random pictures only. [default: all]")
@boolean_option("--mirror", default=None, help="Double the data with left-right flipped copies. [default: false]")
@click.option("--seed", type=int, metavar="N", help="Seed of all random numbers. [default: 0]")
@click.option("--desc", metavar="TEXT", help="Text for the end of the run folder's name.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
# Base configuration
@click.option("--cfg", type=click.Choice(PRESETS), help="Preset: tiny for CPUs and first tries. [default: auto]")
@click.option("--kimg", type=int, metavar="N", help="Length in thousands of real pictures. [default: preset's]")
@click.option("--batch", type=int, metavar="N", help="Batch size. [default: preset's]")
@click.option(
    "--batch-gpu",
    type=BatchGpu(),
    metavar="N|auto",
    help="Pictures computed at a time; gradients are accumulated. auto: half as many where memory does not suffice. "
    "[default: batch / gpus]",
)
@click.option("--gamma", type=float, metavar="F", help="R1 weight. [default: preset's]")
@click.option("--glr", type=float, metavar="F", help="Learning rate of G. [default: preset's]")
@click.option("--dlr", type=float, metavar="F", help="Learning rate of D. [default: preset's]")
@click.option("--cbase", type=int, metavar="N", help="Channels: at most cbase / resolution. [default: preset's]")
@click.option("--cmax", type=int, metavar="N", help="Channels: at most cmax. [default: preset's]")
@click.option("--map-depth", type=int, metavar="N", help="Layers of the mapping network. [default: preset's]")
@click.option("--z-dim", type=int, metavar="N", help="Width of the input latent. [default: preset's]")
@click.option("--w-dim", type=int, metavar="N", help="Width of the style input. [default: preset's]")
@click.option("--pl-weight", type=float, metavar="F", help="Weight of path length regularization, 0 = none. [default: preset's]")
@click.option("--style-mixing-prob", type=float, metavar="F", help="Probability of style mixing. [default: preset's]")
@click.option("--mbstd-group", type=int, metavar="N", help="Group size of minibatch standard deviation. [default: preset's]")
# Augmentation and transfer
@click.option(
    "--aug",
    type=click.Choice(["noaug", "ada", "fixed"]),
    help="Augmentation: none, adaptive, or of fixed probability. [default: ada]",
)
@click.option("--p", type=float, metavar="F", help="Probability for --aug fixed. [default: 0.2]")
@click.option(
    "--p-max", type=float, metavar="F", help="Limit of the adaptive probability; beyond 0.8 augmentations leak. [default: 0.8]"
)
@click.option("--target", type=float, metavar="F", help="Target r_t of --aug ada. [default: 0.6]")
@click.option(
    "--augpipe", type=Pipe(), help="Which augmentations: sets and single ones, like bgc, or xflip,rotate90,color. [default: bgc]"
)
@click.option(
    "--freezed", type=int, metavar="N", help="Layers of D, counted from the picture, that are not trained. [default: 0]"
)
@click.option(
    "--freeze-mapping",
    is_flag=True,
    default=None,
    help="--resume of a snapshot: G's mapping network is not trained, so that its latents keep their meaning.",
)
@click.option(
    "--grow",
    is_flag=True,
    default=None,
    help="--resume of a snapshot of another size, channels or architecture: copy the layers that fit; the rest begins anew.",
)
# Reports
@click.option("--tick", type=float, metavar="KIMG", help="How often the status is told. [default: 4]")
@click.option("--snap", type=int, metavar="TICKS", help="How often snapshots are written. [default: 50; tiny: 10]")
@click.option(
    "--metrics",
    type=Metrics(),
    help="Measured with snapshots: swd, msssim, names of sgtool metrics, or none. [default: swd,msssim]",
)
@click.option(
    "--metrics-share", type=float, metavar="PERCENT", help="Time that those of sgtool metrics take at most. [default: 10]"
)
@click.option("--keep", type=int, metavar="K", help="Keep the K newest snapshots, and the best by each metric. [default: all]")
@click.option("--keep-every", type=float, metavar="KIMG", help="Keep the first snapshot of every so many thousand pictures, too.")
@click.option(
    "--disk-budget", type=float, metavar="GB", help="What the run folder may take; the oldest snapshots go. [default: no limit]"
)
# When something goes wrong
@click.option(
    "--on-nan",
    type=click.Choice(["rollback", "stop"]),
    help="When numbers are no longer finite: go back to the last healthy checkpoint and on with a remedy, or stop. "
    "[default: rollback]",
)
@click.option(
    "--on-collapse",
    type=click.Choice(["warn", "rollback"]),
    help="When pictures become all alike or gradients grow without end: warn, or go back too. [default: warn]",
)
@click.option("--held-out", metavar="PATH", help="Dataset that is not trained on, to tell whether D knows its pictures by heart.")
# Machine
@click.option("--gpus", type=int, metavar="N", help="Processes on this machine, one for each GPU. [default: 1]")
@click.option(
    "--timeout",
    type=click.IntRange(10, 86400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long one process waits for another before the run ends.",
)
@device_option
@precision_option(default=None)
@offline_option
@click.option("--workers", type=int, metavar="N", help="Threads that read pictures. [default: 3]")
@boolean_option("--fp32", default=None, help="No half precision, no clamp of activations. [default: false]")
@boolean_option("--nhwc", default=None, help="Accepted for NVIDIA's sake: the layout is always channels-last.")
@boolean_option("--nobench", default=None, help="Switch cuDNN's search for the fastest convolution off. [default: false]")
@boolean_option("--allow-tf32", default=None, help="Allow TF32 on GPUs. [default: false]")
def train(nhwc, **options):
    """Train a StyleGAN2-ADA model, or go on training.

    \b
    sgtool train --outdir runs --data faces.zip --mirror 1
    sgtool train --outdir runs --data punks.zip --cfg tiny --kimg 200
    sgtool train --resume runs/00000-punks-tiny1-kimg200
    sgtool train --outdir runs --data cats.zip --resume network-snapshot-001000.pkl --freezed 10
    sgtool train --outdir runs --data cats512.zip --resume network-snapshot-001000.pkl --grow
    """
    from sgtool.training.run import train as run

    run(**options)

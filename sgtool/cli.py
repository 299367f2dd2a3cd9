"""The `sgtool` command: a group whose commands are imported only when they are called."""

import importlib

import click

from sgtool import __version__
from sgtool.errors import UserError

COMMANDS = (
    "prepare",
    "train",
    "tune",
    "report",
    "generate",
    "project",
    "mix",
    "blend",
    "edit",
    "video",
    "metrics",
    "inspect",
    "convert",
    "weights",
    "doctor",
)


def _dashes(name):
    """`--max_images` is `--max-images`: NVIDIA's documentation has both."""
    return name.replace("_", "-")


class LazyGroup(click.Group):
    """Imports `sgtool.commands.<name>` when the command is asked for, and gives every bad value exit code 1."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"sgtool.commands.{name}"), name)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except click.MissingParameter:
            raise
        except click.BadParameter as error:
            raise UserError(error.format_message()) from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _dashes, "max_content_width": 110},
)
@click.version_option(__version__, prog_name="sgtool")
def main():
    """Turn a folder of pictures into a StyleGAN2-ADA generator that can be explored.

    \b
    sgtool prepare pictures/ data.zip --resolution 256 --transform square-crop
    sgtool train --data data.zip --outdir runs
    sgtool generate --network runs/00000-data-auto1/network-snapshot-001000.pkl --seeds 0-15 --outdir out

    \b
    sgtool project --network MODEL --target face.png --outdir out      a real picture into W
    sgtool mix --network MODEL --rows 0-4 --cols 5-9 --outdir out      styles of two pictures in one
    sgtool blend A.pkl B.pkl --sweep cuts.png                          two models in one
    sgtool edit --network MODEL --method pca --outdir out              directions that change one thing
    sgtool video --network MODEL --seeds 0-5 --output walk.mp4         walks

    \b
    sgtool tune --data data.zip --outdir ladder                        which gamma: short runs side by side
    sgtool report runs/00000-data-auto1                                a run as a page to look at
    sgtool metrics --network MODEL --data data.zip --metrics fid50k_full,swd16k

    \b
    sgtool inspect says what a model file holds, whoever wrote it; sgtool convert writes it as another kind of file;
    sgtool weights keeps the published networks behind LPIPS and FID.

    Before that, sgtool doctor says whether this machine is ready.
    """

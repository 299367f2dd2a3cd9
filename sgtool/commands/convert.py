"""`sgtool convert`: a model from one kind of file to another."""

import click

from sgtool.options import offline_option

KINDS = ("sgtool", "safetensors", "rosinality", "state-dict", "onnx", "torchscript")


@click.command(short_help="Write a model as another kind of file, and check that it shows the same.")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST", type=click.Path())
@click.option("--to", type=click.Choice(KINDS),
              help="Kind of file.  [default: by DST's ending: .pkl .safetensors .pt .pth .onnx .ts, in this order]")  # fmt: skip
@click.option("--networks", type=click.Choice(["all", "G_ema"]), default="all", show_default=True,
              help="All that DST can hold, or the generator to make pictures with.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace DST if it is there.")
@offline_option
def convert(source, target, to, networks, force, offline):
    """Write a model as another kind of file, and check that it shows the same.

    SRC is a file of any program that sgtool reads, a run folder, a URL or a known name. Seeds 0 to 3 are rendered before and
    after, and D judges both; DST appears only if they agree.

    \b
    sgtool convert network-snapshot-000200.pkl model.safetensors
    sgtool convert stylegan2-ffhq.pkl ffhq.pkl --networks G_ema
    sgtool convert model.pkl model.onnx
    sgtool convert model.pkl model.pt --to rosinality
    """
    from sgtool.models import convert as write
    from sgtool.snapshots.inspect_text import amount

    def say(text):
        click.echo(text, err=True)

    done = write(source, target, to, networks, force, offline=offline, say=say)
    for note in done.notes:
        say(f"Note: {note}")
    click.echo(f"{done.path}: {done.kind}, {amount(done.path.stat().st_size)}, with {', '.join(done.travelled)}")
    if done.left_behind:
        click.echo(f"left behind: {', '.join(done.left_behind)}")
    for item in done.differences:
        click.echo(f"largest difference of {item.name}: {item.largest:.2g} (rounding makes {item.limit:.2g} at most)")

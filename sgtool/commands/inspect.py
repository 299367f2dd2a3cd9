"""`sgtool inspect`: what a model file holds."""

import click

from sgtool.options import offline_option


@click.command(short_help="Say what a model file holds, without running it.")
@click.argument("model")
@click.option("--layers", is_flag=True, help="List every tensor of every network, not a row per layer.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--preview", type=click.Path(dir_okay=False), metavar="PNG", help="Write a sheet with the pictures of seeds 0 to 7."
)
@click.option("--trunc", type=float, default=1.0, show_default=True, metavar="PSI",
              help="Truncation of the preview; 1: none.")  # fmt: skip
@offline_option
def inspect(model, layers, as_json, preview, trunc, offline):
    """Say what a model file holds: which program wrote it, pictures, labels, layers, training.

    MODEL is a file of any program that sgtool reads, a run folder (its newest snapshot), a URL or a known name. It is
    read as data; nothing in it is run.

    \b
    sgtool inspect runs/00000-data-auto1
    sgtool inspect model.pkl --layers
    sgtool inspect model.pkl --preview model.png
    sgtool inspect model.pkl --json
    """
    import json

    from sgtool import snapshots
    from sgtool.snapshots.inspect import inspect as facts_of
    from sgtool.snapshots.inspect_text import lines

    path = snapshots.find(model, offline=offline, say=lambda text: click.echo(text, err=True))
    facts = facts_of(path)
    click.echo(json.dumps(facts, indent=1, allow_nan=False) if as_json else "\n".join(lines(facts, every_tensor=layers)))
    if preview:
        from sgtool.models import write_preview

        write_preview(path, preview, trunc, progress=True)
        click.echo(f"Preview: {preview}", err=True)

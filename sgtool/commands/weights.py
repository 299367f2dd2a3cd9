"""`sgtool weights`: the networks that metrics and perceptual distances look with."""

import click

from sgtool.options import offline_option

NAMES = ("inception", "inception-nvidia", "vgg16", "vgg16-nvidia", "lpips")


@click.command(short_help="List, fetch, check or import the weights that FID and LPIPS need.")
@click.option("--fetch", type=click.Choice(NAMES), multiple=True, metavar="NAME",
              help="Download this file, unless it is there; can be repeated. Names: see the list.")  # fmt: skip
@click.option("--import", "file", type=click.Path(), metavar="FILE",
              help="Copy a file of weights from this machine into the cache.")  # fmt: skip
@click.option("--verify", is_flag=True, help="Read every file that is there and compare its SHA-256.")
@offline_option
def weights(fetch, file, verify, offline):
    """List, fetch, check or import the weights of the networks that FID, its kin and LPIPS look with.

    Without options it lists them and says which are there. Nothing else downloads them. Files are read as data; a program
    in them is not run.

    \b
    sgtool weights
    sgtool weights --fetch inception
    sgtool weights --import Downloads/inception-2015-12-05.pt
    sgtool weights --verify
    """
    if sum([bool(fetch), bool(file), verify]) > 1:
        raise click.UsageError("Give one of --fetch, --import and --verify at a time.")
    from sgtool.detectors import store
    from sgtool.detectors.known import known_as, weights_folder

    def say(text):
        click.echo(text, err=True)

    for name in fetch:
        click.echo(known_as(store.fetch(name, offline=offline, say=say)))
    if file:
        click.echo(store.take_in(file)[1])
    if verify:
        _verify(store.verify())
    if not (fetch or file or verify):
        rows, others = store.table()
        for row in rows:
            click.echo("{:<17} {:>6}  {:<8} {:<23} {}".format(*row))
        click.echo(f"\nFolder: {weights_folder()}")
        for path in others:
            click.echo(f"Under a name of its own: {path.name}")


def _verify(verdicts):
    """Print what was found; exit code 1 if a file is not good."""
    for verdict in verdicts:
        click.echo(f"{'ok' if verdict.good else 'BAD':<4} {verdict.text}")
    if not all(verdict.good for verdict in verdicts):
        raise SystemExit(1)

"""`sgtool report`: a run, or several side by side, as a page."""

import click


@click.command(short_help="Show a run as a page, or compare several.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@click.option("--output", type=click.Path(), metavar="FILE",
              help="The page.  [default: report.html in the run's folder; of several, in the folder around them]")  # fmt: skip
def report(runs, output):
    """Show a run as a page for a browser: pictures over time, curves, events, configuration.

    RUN is a run folder of sgtool train, or of NVIDIA's train.py. Several are compared: their curves over one another, the
    options in which they differ, their pictures of the same moment. The page is one file that loads nothing.

    \b
    sgtool report runs/00000-data-auto1
    sgtool report runs/00000-data-auto1 --output report.html
    sgtool report runs/00000-data-auto1 runs/00001-data-auto1-gamma1 --output gammas.html
    """
    from sgtool.reporting import write_comparison, write_report

    path = write_report(runs[0], output) if len(runs) == 1 else write_comparison(runs, output)
    click.echo(f"Report: {path}")

"""`sgtool doctor`: what this machine can do, and what is missing."""

import click

from sgtool.errors import UserError


@click.command(short_help="Say what is slow or missing on this machine, and what mends it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--distributed", is_flag=True, help="Test the links between processes instead; under torchrun, of all.")
@click.option("--gpus", type=click.IntRange(2, 64), metavar="N",
              help="With --distributed: how many processes.  [default: one for each GPU, or 2]")  # fmt: skip
def doctor(as_json, distributed, gpus):
    """Say whether this machine is ready, what is slow or missing, and what mends it.

    Looks at Python, PyTorch, GPU and driver, caches and disk, compares the CUDA kernels and the CPU's ops with their
    definitions, and measures them. The last lines name each problem and the command that mends it, the worst first. Exit
    code 1 means that something is broken: results would be wrong, or nothing can be computed.

    \b
    sgtool doctor
    sgtool doctor --json
    sgtool doctor --distributed
    """
    from sgtool import doctor as room

    if gpus is not None and not distributed:
        raise UserError("--gpus: it belongs to --distributed, which tests the links between processes.")
    rows = []
    for row in room.examine_links(gpus) if distributed else room.examine():
        rows.append(row)
        if not as_json:
            click.echo(room.line(row))
    if rows:  # none in the other processes of a job
        click.echo(room.as_json(rows) if as_json else "\n".join(["", *room.verdict(rows)]))
    raise SystemExit(room.exit_code(rows))

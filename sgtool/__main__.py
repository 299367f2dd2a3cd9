"""`python -m sgtool` is `sgtool`."""

from sgtool.cli import main

main(prog_name="sgtool")

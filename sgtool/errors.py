"""Errors that a user reads: one or two sentences, exit code 1, no trace."""

import click


class UserError(click.ClickException):
    """A mistake that the user can mend.

    The message names the file or the option and says what to do next. The command line prints it after
    `Error: ` and ends with exit code 1; as a library, catch it like any exception.
    """

    exit_code = 1

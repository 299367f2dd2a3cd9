"""The group of commands: help without waiting, dashes and underscores, exit codes."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from sgtool import __version__, cli
from sgtool.errors import UserError
from sgtool.options import SEEDS, boolean_option


def invoke(*arguments):
    return CliRunner().invoke(cli.main, arguments)


HELP = """
import sys
from sgtool.cli import main
main(sys.argv[1:], standalone_mode=False)
slow = sorted({"torch", "scipy", "sklearn"} & set(sys.modules))
sys.exit(f"imported {slow}" if slow else 0)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_nothing_slow(arguments):
    done = subprocess.run([sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    assert ("Usage: " in done.stdout) == ("--help" in arguments)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"sgtool {name} " in result.output.split("Options:")[0].split("\n", 1)[1]


def test_group_lists_every_command_and_the_first_steps():
    output = invoke("-h").output
    for name in cli.COMMANDS:
        assert f"\n  {name} " in output
        assert f"sgtool {name} " in output


def test_version_is_the_packages():
    assert invoke("--version").output == f"sgtool, version {__version__}\n"


def test_unknown_commands_and_options_are_usage_errors():
    assert invoke("fly").exit_code == 2
    result = invoke("generate", "--nose-mode", "const")
    assert result.exit_code == 2
    assert "--noise-mode" in result.output


def test_a_missing_option_is_a_usage_error_that_names_it():
    result = invoke("generate", "--network", "x.pkl")
    assert result.exit_code == 2
    assert "Missing option '--seeds'" in result.output


@pytest.fixture
def group():
    """A group as `sgtool`, with one command."""
    group = cli.LazyGroup(context_settings=cli.main.context_settings)

    @click.command("try")
    @click.option("--seeds", type=SEEDS)
    @click.option("--max-images", type=click.IntRange(min=1))
    @boolean_option("--mirror")
    def command(seeds, max_images, mirror):
        if mirror:
            raise UserError("x.png is no picture. Remove it.")
        click.echo([seeds, max_images])

    group.get_command = lambda ctx, name: command
    return group


def test_underscores_are_dashes(group):
    assert CliRunner().invoke(group, ["try", "--max_images", "3"]).output == "[None, 3]\n"
    assert CliRunner().invoke(group, ["try", "--max-images=3"]).output == "[None, 3]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "7-3"], "Error: Invalid value for '--seeds': the range 7-3 runs backwards. Write 3-7.\n"),
        (["--max-images", "0"], "Error: Invalid value for '--max-images': 0 is not in the range x>=1.\n"),
        (["--mirror"], "Error: x.png is no picture. Remove it.\n"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_one(group, arguments, words):
    result = CliRunner().invoke(group, ["try", *arguments])
    assert (result.exit_code, result.output) == (1, words)


def test_running_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "sgtool", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == f"sgtool, version {__version__}\n"

"""Words that cannot drift: every command and option is documented, every command line in the docs is one that exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from sgtool import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read(path):
    return path.read_text(encoding="utf-8")


def command(name):
    return cli.main.get_command(None, name)


def blocks(page):
    """The text of a page's code blocks, indented or fenced."""
    parts = read(page).split("```")
    lines = [line for text in parts[::2] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(lines + parts[1::2])


def command_lines(text):
    """The `sgtool ...` lines of a code block or help text: joined where a backslash continues them, without comments."""
    joined = re.sub(r"\\\n\s*", "", text)
    return re.findall(r"^ *(?:\$ )?(sgtool .*?)(?: +# .*)?$", joined, re.MULTILINE)


def is_pattern(line):
    """Usage lines (`SOURCE DEST [options]`) show the form, not a command to run."""
    return re.search(r"\[options\]|\.\.\.|…| [A-Z]{3,}\b", line) is not None


def parse(line):
    """Parse a command line as the program does, without running it; values are converted and checked."""
    _, name, *arguments = shlex.split(line)
    if name.startswith("-"):  # sgtool --help
        return
    if name not in cli.COMMANDS:
        raise click.UsageError(f"No such command {name!r}.")
    parent = click.Context(cli.main, **cli.main.context_settings)
    command(name).make_context(name, arguments, parent=parent)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_the_readme_and_has_a_page(name):
    assert f"## sgtool {name}\n" in read(ROOT / "README.md")
    assert f"(docs/{name}.md)" in read(ROOT / "README.md")
    assert read(ROOT / f"docs/{name}.md").startswith(f"# sgtool {name}\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_is_in_its_commands_page(name):
    words = set(re.findall(r"(?<![\w-])--[a-z0-9-]+", read(ROOT / f"docs/{name}.md")))
    options = {option for param in command(name).params for option in param.opts if option.startswith("--")}
    assert options - words == set()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_in_the_page_exists(name):
    known = {option for other in cli.COMMANDS for param in command(other).params for option in param.opts + param.secondary_opts}
    text = read(ROOT / f"docs/{name}.md")
    lines = "\n".join(line for line in text.splitlines() if "NVIDIA" not in line)
    assert set(re.findall(r"`(--[a-z0-9-]+)", lines)) - known == set()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_has_help_and_every_help_an_example_that_parses(name):
    for param in command(name).params:
        if isinstance(param, click.Option):
            assert param.help, param.name
    lines = command_lines(command(name).help)
    assert lines
    for line in lines:
        assert line.split()[1] == name
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_line_in_the_docs_parses(page):
    for line in command_lines(blocks(page)):
        if not is_pattern(line):
            try:
                parse(line)
            except click.ClickException as error:
                pytest.fail(f"{page.name}: {line}\n{error.format_message()}")


def test_a_command_line_that_does_not_exist_is_found(tmp_path):
    page = tmp_path / "page.md"
    indented = "    $ sgtool train --data x.zip \\\n        --mirror 1  # twice\n"
    page.write_text(f"sgtool is a program\n\n{indented}\n```\nsgtool train --dada x\n```\n")
    lines = command_lines(blocks(page))
    assert lines == ["sgtool train --data x.zip --mirror 1", "sgtool train --dada x"]
    parse(lines[0])
    with pytest.raises(click.ClickException, match="No such option"):
        parse(lines[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", read(page)):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme_or_the_index():
    text = read(ROOT / "README.md") + read(ROOT / "docs/index.md").replace("](", "](docs/")
    for page in PAGES[1:]:
        assert page.name == "index.md" or f"({page.relative_to(ROOT)})" in text, page.name


def test_make_commands_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", read(ROOT / "README.md")))
    assert {"demo", "test", "setup", "check", "bench"} <= named
    assert named <= targets


def test_the_changelog_keeps_command_line_and_python_apart():
    text = read(ROOT / "CHANGELOG.md")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert re.match(r"\[(Unreleased|\d+\.\d+\.\d+)\]", section)
        assert "### Command line" in section
        assert "### Python" in section

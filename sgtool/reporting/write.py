"""Pages as files."""

import os
from pathlib import Path

from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.reporting.comparison import comparison_page
from sgtool.reporting.folder import found_run
from sgtool.reporting.page import run_page
from sgtool.reporting.pictures import Allowance
from sgtool.reporting.restore import restore

NAME = "report.html"
MARK = b'<meta name="generator" content="sgtool report">'
MOST_RUNS = 50


def write_report(folder, output=None):
    """Write the page of a run.

    Args:
        folder: the run folder, of sgtool or of NVIDIA's PyTorch code.
        output: the file; None = report.html in the folder.
    Returns:
        The file (`Path`).
    Raises:
        UserError: it is no run folder, or the file cannot be written.
    """
    path = checked(Path(folder) / NAME if output is None else Path(output))
    run = found_run(folder)
    for before in {Path(folder) / NAME, path}:
        restore(run.gallery, before.parent, before.name)
    return write(path, run_page(run.refresh()))


def write_comparison(folders, output=None):
    """Write a page that compares runs.

    Args:
        folders: run folders, two or more.
        output: the file; None = report.html in the folder that all of them lie in.
    Returns:
        The file (`Path`).
    Raises:
        UserError: one is no run folder, one is named twice, or the file cannot be written.
    """
    paths = [Path(folder).resolve() for folder in folders]
    twice = [str(folder) for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]
    if twice:
        raise UserError(f"{twice[0]} is named twice. Name each run once.")
    if len(paths) > MOST_RUNS:
        raise UserError(f"{len(paths)} runs are too many for a page. Compare at most {MOST_RUNS}.")
    path = checked(around(paths) / NAME if output is None else Path(output))
    room = Allowance.shared(len(paths))
    return write(path, comparison_page([found_run(folder, room).refresh() for folder in folders]))


def around(paths):
    """The folder that all of several paths lie in.

    Raises:
        UserError: there is none, on Windows.
    """
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError as error:
        raise UserError("The runs lie on different drives. Name the page with --output.") from error


def checked(path):
    """Return `path` if a page may be written there.

    Raises:
        UserError: another file is there, or no folder for it.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {path}: the report is a page. Give a name that ends in .html.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--output {path}: there is no such folder. Make it, or choose another one.")
    if path.is_dir() or (path.exists() and not is_report(path)):
        raise UserError(f"{path} is there and is no report of sgtool's. Move it away, or choose another name with --output.")
    return path


def is_report(path):
    """Whether a file is a page that was written here before. One that cannot be read is none."""
    try:
        with open(path, "rb") as file:
            return MARK in file.read(4096)
    except OSError:
        return False


def write(path, page):
    """Write the page and return its path."""
    with atomic_write(path) as file:
        file.write(page.encode("utf-8", "replace"))
    return path

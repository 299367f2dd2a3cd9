"""`sgtool report` as it is typed."""

import json

import pytest
from click.testing import CliRunner

from sgtool.commands.report import report


@pytest.fixture
def runs(tmp_path):
    """Two run folders with three ticks each."""
    folders = [tmp_path / "runs" / f"0000{i}-a" for i in range(2)]
    for folder in folders:
        folder.mkdir(parents=True)
        rows = [{"nimg": 1000 * k, "Loss/G/loss": {"num": 1, "mean": 1.0 / k, "std": 0}} for k in (1, 2, 3)]
        (folder / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folders


def run(*arguments):
    return CliRunner().invoke(report, list(map(str, arguments)))


def test_one_run_gets_its_page_in_its_folder(runs):
    result = run(runs[0])
    assert (result.exit_code, result.stdout) == (0, f"Report: {runs[0] / 'report.html'}\n")
    assert (runs[0] / "report.html").is_file()


def test_several_runs_get_one_page_beside_them(runs):
    assert run(*runs).exit_code == 0
    assert "2 training runs" in (runs[0].parent / "report.html").read_text(encoding="utf-8")


def test_output_names_the_file(runs, tmp_path):
    assert run(*runs, "--output", tmp_path / "x.html").exit_code == 0
    assert (tmp_path / "x.html").is_file()
    assert not (runs[0] / "report.html").exists()


def test_a_mistake_is_one_sentence(tmp_path):
    result = run(tmp_path / "nothing")
    assert result.exit_code == 1
    assert "there is no such folder" in result.output
    assert "Traceback" not in result.output

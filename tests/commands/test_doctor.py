"""`sgtool doctor` as it is typed: the table, JSON, exit codes."""

import json

import pytest
from click.testing import CliRunner

from sgtool import doctor
from sgtool.cli import main
from sgtool.doctor import Row, checks

ROWS = {
    "ok": Row("Python", "3.11"),
    "missing": Row("dlib", "not installed", "missing", "run: pip install dlib-bin"),
    "slow": Row("GPU", "not used", "slow", "run: unset CUDA_VISIBLE_DEVICES"),
    "broken": Row("bias_act float32", "error 1.0", "broken", "run: export SGTOOL_KERNELS=off"),
}


def run(*arguments):
    return CliRunner().invoke(main, ["doctor", *arguments])


@pytest.fixture
def found(monkeypatch):
    """A function that sets the states of what is found."""

    def set_states(*states):
        monkeypatch.setattr(doctor, "examine", lambda: iter([ROWS[state] for state in states]))

    return set_states


def test_this_machine_is_examined_and_json_is_all_that_is_on_stdout():
    result = run("--json")
    report = json.loads(result.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    assert {"Python", "sgtool", "PyTorch", "CUDA kernels", "NVRTC", "CPU ops", "CPU convolution", "disk"} <= set(rows)
    assert [row["found"] for row in report["rows"] if row["state"] == "broken"] == []
    assert (result.exit_code, report["ok"]) == (0, True)
    assert rows["CPU convolution"]["details"]["gflop_per_s"]["float32"] > 1
    assert rows["kernel cache"]["details"]["free_gb"] > 0
    assert len(report["problems"]) == sum(row["state"] != "ok" for row in report["rows"])


def test_the_table_ends_with_the_problems_and_the_worst_is_first(found):
    found("ok", "missing", "slow", "broken")
    result = run()
    assert result.stdout.splitlines() == [
        "ok       Python                       3.11",
        "missing  dlib                         not installed",
        "slow     GPU                          not used",
        "broken   bias_act float32             error 1.0",
        "",
        "broken: bias_act float32: run: export SGTOOL_KERNELS=off",
        "slow: GPU: run: unset CUDA_VISIBLE_DEVICES",
        "missing: dlib: run: pip install dlib-bin",
    ]
    assert result.exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_only_what_is_broken_is_a_failure(found, arguments):
    found("ok", "missing", "slow")
    assert run(*arguments).exit_code == 0
    found("ok", "broken")
    assert run(*arguments).exit_code == 1


def test_a_machine_without_problems_is_in_order(found):
    found("ok")
    assert run().stdout.splitlines()[-1] == "Everything is in order."


def test_a_check_that_fails_leaves_json_whole(monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", (checks.Check("disk", "no_such_module", "disk", needs_torch=False),))
    result = run("--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"]) == (1, False)
    assert "No module named 'sgtool.doctor.no_such_module'" in report["rows"][0]["found"]

"""Running the checks: none of them ends the examination."""

import pytest

from sgtool.doctor import checks, cpu, software, storage
from sgtool.doctor.rows import Row

CHECKS = (checks.TORCH, checks.Check("CPU ops", "cpu", "ops"), checks.Check("disk", "storage", "disk", needs_torch=False))


@pytest.fixture
def rows(monkeypatch):
    """A function that runs three checks of which the first is the one of PyTorch, with a given result."""
    monkeypatch.setattr(checks, "CHECKS", CHECKS)
    monkeypatch.setattr(cpu, "ops", lambda: Row("CPU ops", "fast"))
    monkeypatch.setattr(storage, "disk", lambda: [Row("disk", "large"), Row("disk 2", "small")])

    def run(pytorch):
        monkeypatch.setattr(software, "pytorch", pytorch)
        return list(checks.examine())

    return run


def test_every_check_gives_its_rows_in_order(rows):
    assert [row.name for row in rows(lambda: Row("PyTorch", "2.6"))] == ["PyTorch", "CPU ops", "disk", "disk 2"]


def test_without_pytorch_the_checks_that_need_it_are_left_out(rows):
    broken = Row("PyTorch", "no", "broken", "run: pip install torch")
    assert [row.name for row in rows(lambda: broken)] == ["PyTorch", "disk", "disk 2"]


def test_a_check_that_fails_is_a_broken_row_and_the_others_go_on(rows, monkeypatch):
    def fails():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(storage, "disk", fails)
    *others, last = rows(lambda: Row("PyTorch", "2.6"))
    assert [row.state for row in others] == ["ok", "ok"]
    assert (last.name, last.state, last.found) == ("disk", "broken", "ZeroDivisionError: division by zero")
    assert "sgtool doctor --json" in last.remedy


def test_every_check_in_the_list_is_a_function_that_is_there():
    names = [check.name for check in checks.CHECKS]
    assert len(names) == len(set(names))
    for check in checks.CHECKS:
        module = getattr(__import__(f"sgtool.doctor.{check.module}").doctor, check.module)
        assert callable(getattr(module, check.function))

"""Processes on this machine: what they exchange, and how one ends that fails."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import workers

from sgtool.distributed import ALONE, joined, launched
from sgtool.errors import UserError


def test_processes_exchange_sums_values_and_flags():
    found = launched(3, workers.exchange, 2.0)
    assert found == {
        "size": 3,
        "sum": [3.0, 6.0],
        "started": 3.0,
        "gathered": [("rank", 0), ("rank", 1), ("rank", 2)],
        "broadcast": "of 0",
        "any": (False, True),
        "first": True,
    }


def test_one_process_needs_no_exchange(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world is ALONE
        assert world.is_first
        tensor = torch.tensor([2.0])
        assert world.sum_(tensor) is tensor
        assert tensor.item() == 2
        assert world.gather(5) == [5]
        assert world.broadcast("a") == "a"
        assert world.any(True)
        assert not world.any(False)


def test_one_processs_own_error_is_told_and_not_that_of_those_that_lost_it():
    with pytest.raises(UserError, match=r"pictures\.zip is damaged\. Copy it again\."):
        launched(2, workers.fail, "user")
    with pytest.raises(RuntimeError, match=r"(?s)Process 1 failed.*ZeroDivisionError: of process 1"):
        launched(2, workers.fail, "bug")


def test_a_killed_process_ends_the_job_by_name():
    with pytest.raises(UserError, match="Process 1 was ended by SIGKILL"):
        launched(2, workers.fail, "killed")


def test_a_process_that_hangs_ends_the_job_within_the_set_time():
    start = time.monotonic()
    with pytest.raises(UserError, match="Process 0 waited in vain for another one"):
        launched(2, workers.fail, "hangs")
    assert time.monotonic() - start < 30


def test_an_exit_code_is_handed_on():
    with pytest.raises(SystemExit) as caught:
        launched(2, workers.leave, 143)
    assert caught.value.code == 143


@pytest.mark.parametrize("device", ["mps"])
def test_devices_that_know_no_processes_are_refused(device, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="--device mps: one process only"), joined(device):
        pass

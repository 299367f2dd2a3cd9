"""Processes on this machine: what they exchange, and how one ends that fails."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import workers

from sgtool.distributed import ALONE, is_joined_from_outside, joined, launched, place_in_job
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


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc' in the environment, not a number"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2'"),
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is 4 in the environment, but RANK is not set"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "RANK is 0 in the environment, and WORLD_SIZE 0"),
        ({"WORLD_SIZE": "4", "RANK": "4"}, "RANK is 4 in the environment, and WORLD_SIZE 4"),
        ({"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": ""}, "LOCAL_RANK is ''"),
        (
            {"WORLD_SIZE": "2", "RANK": "0"},
            "cannot find one another: .*MASTER_ADDR expected, but not set. Start them with torchrun",
        ),
    ],
)
def test_an_environment_that_makes_no_sense_is_told_in_a_sentence(monkeypatch, variables, words):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words), joined("cpu"):
        pass


def test_one_process_of_torchrun_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert place_in_job() == (0, 1, 0)
    assert not is_joined_from_outside()


def test_a_script_whose_calls_are_not_guarded_is_told_so(monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UserError, match='put its calls under if __name__ == "__main__"'):
        launched(2, workers.exchange, 2.0)


def started(*lines):
    """Start a script that launches processes, in a group of its own."""
    code = "\n".join([f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})", "import workers", *lines])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


LAUNCH = "from sgtool.distributed import launched"


def wait_until(happened, process, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.05)


def children(pid):
    return [int(text) for path in Path(f"/proc/{pid}/task").glob("*/children") for text in path.read_text().split()]


def begun(pid):
    """The processes that were launched; not the one that counts semaphores."""
    return [child for child in children(pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes")


@linux
def test_ctrl_c_while_processes_begin_prints_nothing():
    process = started(LAUNCH, "launched(2, workers.dawdle, '/nowhere/at/all')")
    try:
        wait_until(lambda: len(begun(process.pid)) == 2, process)
        time.sleep(0.5)  # they have been told what to do, and import it
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        for pid in [*children(process.pid), process.pid] if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
    assert (process.returncode, errors) == (130, "")


@linux
def test_a_second_ctrl_c_ends_processes_that_go_on(tmp_path):
    process = started(LAUNCH,
                      f"launched(2, workers.dawdle, {str(tmp_path / 'begun')!r})")  # fmt: skip
    try:
        wait_until((tmp_path / "begun").exists, process)
        own = begun(process.pid)
        for _ in range(2):
            time.sleep(1.0)
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        for pid in [*children(process.pid), process.pid] if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
    assert (process.returncode, errors) == (130, "")
    assert not [pid for pid in own if Path(f"/proc/{pid}").exists()]

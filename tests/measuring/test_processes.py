"""A measurement split over processes: the numbers are those of one, to the bit, and all end together."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import measuring_workers

from sgtool.distributed import launched
from sgtool.errors import UserError
from sgtool.measuring import Request, measure, processes
from sgtool.measuring.processes import measure_on

METRICS = "fid100_full,kid70_full,pr16_3,swd20,msssim30,memorization20"


@pytest.fixture
def request_of(write_model, write_pictures, monkeypatch, tmp_path):
    """A model, data, and where results go."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    network, data, unseen = write_model(), write_pictures("data", 40), write_pictures("unseen", 20, seed=1)
    return Request(
        network=str(network), data=str(data), held_out=str(unseen), detector=f"discriminator:{network}", metrics=METRICS,
        outdir=str(tmp_path / "out"),
    )  # fmt: skip


def test_three_processes_find_to_the_bit_what_one_finds_and_end_together(request_of, monkeypatch, tmp_path):
    found, _ = measure(request_of)
    alone = [(result.protocol.name, result.measured.values, result.measured.intervals) for result in found]
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "another"))
    (first, *others), (took, ends) = launched(3, measuring_workers.measured, dataclasses.asdict(request_of))
    assert first[0] == alone
    assert "metric-fid100_full-discriminator.jsonl" in first[1]
    assert others == [([], []), ([], [])]
    assert took == [(task, task % 3) for task in range(7)]
    failed, full = "task 4 cannot be done.", "the first process has no room."
    assert ends == [[failed, full, "Interrupted", failed, last] for last in ("done", None, None)]


def test_more_processes_than_there_are_gpus_are_refused_before_they_start(request_of, monkeypatch):
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="--gpus 3: this machine has 2. Give at most as many"):
        measure_on(dataclasses.replace(request_of, device="cuda"), 3)
    with pytest.raises(UserError, match="--gpus 2: an Apple GPU works for one process"):
        measure_on(dataclasses.replace(request_of, device="mps"), 2)


def test_another_number_than_torchrun_has_started_is_refused(request_of, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="--gpus 2: torchrun has started 4 processes. Leave --gpus out"):
        measure_on(request_of, 2)


def test_results_that_cannot_be_written_are_not_lost(request_of, monkeypatch):
    def full(*args):
        raise UserError("out: no space left.")

    monkeypatch.setattr("sgtool.measuring.results.append", full)
    found, paths, error = measure_on(dataclasses.replace(request_of, metrics="swd20", held_out=None), 1, False)
    assert [result.protocol.name for result in found] == ["swd20"]
    assert (paths, error) == ([], "out: no space left.")

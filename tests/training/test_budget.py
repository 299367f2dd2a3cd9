"""What is told of memory and time before and in the first steps."""

import dataclasses
import json
import re
from types import SimpleNamespace

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.training import budget
from sgtool.training.budget import Budget, expected, fit_memory, fitting, foretell, last_pace, tell_budget
from sgtool.training.memory_plan import MemoryPlan
from sgtool.training.plan import Plan
from sgtool.training.resolve import Options, resolve
from sgtool.training.run import train
from sgtool.training.shortage import WHY


@pytest.fixture
def plan(data, tiny):
    dataset = open_dataset(data)
    config, reasons = resolve(Options(**tiny), dataset)
    return Plan(config, reasons, tiny, data, dataset, torch.device("cpu"))


class Recorder:
    def __init__(self):
        self.said, self.events = [], []

    def event(self, kind, text, nimg, **facts):
        self.events.append((kind, facts))


@pytest.fixture
def steps(config):
    """Function that lets a run of some steps pass by a `Budget`: (steps, seconds of a step, change at) -> Recorder."""

    def go(number, seconds, shrink_at=None):
        told = Recorder()
        watch = Budget(MemoryPlan(10**9, 0, 0, 0), told.said.append, told.event)
        state = SimpleNamespace(config=dataclasses.replace(config, kimg=10), changes=[], step=0, nimg=0, elapsed=0.0)
        state.device = torch.device("cpu")
        for step in range(number):
            state.step, state.nimg, state.elapsed = step + 1, state.nimg + 8, state.elapsed + seconds(step)
            if step == shrink_at:
                state.config = dataclasses.replace(state.config, batch_gpu=4)
                state.changes.append({"nimg": state.nimg - 8, "field": "batch_gpu", "from": 8, "to": 4, "why": WHY})
            watch(state)
        return told

    return go


def test_memory_and_pace_are_told_once_without_the_first_step(steps):
    told = steps(60, lambda step: 100 if step == 0 else 0.8)
    assert len(told.said) == 1
    assert told.said[0].startswith("Measured: memory ")
    assert "(foretold 1.00), 100.00 s/kimg: 9.86 kimg take about 16m 26s" in told.said[0]
    (kind, facts) = told.events[0]
    assert (kind, facts["foretold_gb"], facts["sec_per_kimg"]) == ("memory", 1.0, pytest.approx(100))
    assert facts["gb"] > 0.05


def test_measuring_begins_anew_when_fewer_pictures_are_computed_at_a_time(steps):
    told = steps(60, lambda step: 8 if step <= 10 else 0.8, shrink_at=10)
    assert told.said[0] == "Fewer pictures at a time: batch_gpu 8 -> 4 from kimg 0.08 on (memory did not suffice)"
    assert "100.00 s/kimg" in told.said[1]
    assert told.events[0] == ("memory", {"batch_gpu": 4})
    assert len(told.said) == 2


def test_how_long_it_takes_reads_as_people_say():
    assert expected(0, 25000, 14.2) == "25,000 kimg take about 4d 02h"
    assert expected(500, 1, 10) == "0.5 kimg take about 5s"


def test_a_run_of_which_more_is_foretold_than_is_free_is_warned_of(plan, monkeypatch):
    said = []
    monkeypatch.setattr(budget, "available_memory", lambda device: 1000)
    monkeypatch.setattr(budget, "resident_memory", lambda: 0)
    assert tell_budget(plan, said.append).total > 1000
    assert said[0].startswith("Memory, foretold: 0.")
    assert said[1] == "Warning: that is more than is free: say --batch-gpu auto, or a smaller --batch-gpu."
    plan.config = dataclasses.replace(plan.config, batch_gpu_auto=True)
    tell_budget(plan, said.append)
    assert said[3] == "Warning: that is more than is free: fewer pictures are computed at a time."


def test_several_processes_share_the_memory_of_a_machine(plan, monkeypatch):
    said = []
    monkeypatch.setattr(budget, "resident_memory", lambda: 0)
    need = foretell(plan).total
    monkeypatch.setattr(budget, "available_memory", lambda device: need * 1.5)
    tell_budget(plan, said.append)
    plan.given = plan.given | {"gpus": 2}
    tell_budget(plan, said.append)
    assert [text.startswith("Warning") for text in said] == [False, False, True]
    assert "in each of 2 processes" in said[1]


def test_nothing_is_said_where_the_system_tells_nothing(plan, monkeypatch):
    said = []
    monkeypatch.setattr(budget, "available_memory", lambda device: None)
    tell_budget(plan, said.append)
    assert len(said) == 1
    assert "free" not in said[0]


def test_as_many_pictures_as_fit_are_computed_at_a_time(config):
    config = dataclasses.replace(config, batch=32, batch_gpu=32, mbstd_group=4)
    planned = MemoryPlan(1000, 0, 0, 3200, other=int(0.45 * 3200))  # 145 bytes for each picture
    assert fitting(config, planned, 10_000) == 32
    assert fitting(config, planned, 1000 + 145 * 16) == 16
    assert fitting(config, planned, 1000 + 145 * 15) == 8
    assert fitting(config, planned, 0) == 4


def test_auto_begins_with_what_is_likely_to_fit_and_notes_it(plan, config, monkeypatch):
    from sgtool.distributed import ALONE

    state = SimpleNamespace(config=dataclasses.replace(plan.config, batch_gpu=32, mbstd_group=4), world=ALONE, changes=[], nimg=0)
    state.opt_G = state.opt_D = None
    plan.memory = MemoryPlan(10, 0, 0, 3200, other=int(0.45 * 3200))
    monkeypatch.setattr(budget, "available_memory", lambda device: 0)
    monkeypatch.setattr(budget, "resident_memory", lambda: 0)
    fit_memory(plan, state)
    assert state.changes == []
    state.config = dataclasses.replace(state.config, batch_gpu_auto=True)
    fit_memory(plan, state)
    assert state.config.batch_gpu == 4
    assert state.changes[0]["why"] == "more memory was foretold than is free"


@pytest.mark.parametrize("text", ["", "{}\n{}\n", "[1]\n[2]\n", '{"Timing/sec_per_kimg": 3}\n' * 2, '{"a": 1}\n{"Timing/se'])
def test_a_pace_that_is_not_known_is_none(tmp_path, text):
    assert last_pace(None) is None
    assert last_pace(tmp_path) is None
    (tmp_path / "stats.jsonl").write_text(text)
    assert last_pace(tmp_path) is None


def test_a_dry_run_foretells_memory_and_with_a_run_to_go_on_with_the_time(data, tiny, tmp_path, capsys):
    options = tiny | {"data": str(data), "device": "cpu"}
    assert train(**options, outdir=str(tmp_path / "runs"), dry_run=True) is None
    out = capsys.readouterr().out
    assert re.search(r"Memory, foretold: \d+\.\d\d GB", out)
    assert "take about" not in out
    assert not (tmp_path / "runs").exists()
    folder = train(**options | {"metrics": (), "batch": 128, "batch_gpu": 128}, outdir=str(tmp_path / "runs"))
    capsys.readouterr()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train(resume=str(folder), kimg=3, device="cpu", dry_run=True) is None
    assert "1.98 kimg take about" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads((folder / "training_options.json").read_text())["config"]["kimg"] == 1

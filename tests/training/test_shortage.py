"""Memory that does not suffice: fewer pictures at a time, and the same training."""

import dataclasses
import gc
import itertools
import json
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import shortage_workers

from sgtool.datasets import open_dataset
from sgtool.distributed import ALONE, launched
from sgtool.errors import UserError
from sgtool.snapshots.container import read_container
from sgtool.training import reports, shortage
from sgtool.training import step as step_module
from sgtool.training.beginning import make_augment
from sgtool.training.data import Loader
from sgtool.training.run import train
from sgtool.training.shortage import WHY, is_shortage, smaller
from sgtool.training.state import TrainState
from sgtool.training.step import train_step

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError(CPU),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.84 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_the_words_of_allocators_are_known(error):
    assert is_shortage(error)


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("out of memory"), KeyError("can't allocate memory")])
def test_other_errors_are_not_taken_for_them(error):
    assert not is_shortage(error)


@pytest.mark.parametrize(
    ("batch_gpu", "group", "pl_weight", "expected"),
    [(32, 4, 2.0, 16), (8, 4, 2.0, 4), (4, 4, 2.0, None), (12, 4, 2.0, 4), (12, 3, 2.0, 6), (6, 3, 2.0, None), (6, 3, 0.0, 3)]
    + [(8, None, 2.0, None), (2, 1, 2.0, None), (2, 1, 0.0, 1), (1, 1, 0.0, None), (30, 5, 2.0, 10)],
)
def test_fewer_are_at_most_half_keep_groups_whole_and_the_number_for_path_lengths(config, batch_gpu, group, pl_weight, expected):
    config = dataclasses.replace(config, batch=batch_gpu, batch_gpu=batch_gpu, mbstd_group=group, pl_weight=pl_weight)
    assert smaller(config) == expected


PER_PART = ("Loss/G/loss", "Loss/G/reg", "Loss/D/loss", "Loss/D/reg")  # one value a part, so their means weigh by parts


@pytest.fixture
def trained(data, config, monkeypatch):
    """Function that trains 5 steps with as many pictures at a time, where `limit(phase, config)` says what memory takes."""
    loaders = []

    def run(limit=lambda phase, config: 10**9, **changes):
        changed = dataclasses.replace(
            config, **{"batch": 16, "batch_gpu": 16, "mbstd_group": 4, "aug": "fixed", "p": 0.5} | changes
        )
        backward = step_module.backward

        def limited(phase, state, config, part, *rest):
            found = backward(phase, state, config, part, *rest)  # what fails has done its work, as far as it could
            if config.batch_gpu > limit(phase.name, config):
                raise RuntimeError(CPU)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(step_module, "backward", limited)
            loaders.append(Loader(open_dataset(data), changed, 0, "cpu"))
            state, augment = TrainState.fresh(changed, "cpu"), make_augment(changed, "cpu")
            for batch in itertools.islice(loaders[-1], 5):
                train_step(state, state.config, batch, augment)
        return state

    yield run
    for loader in loaders:
        loader.close()


def values_of(state):
    """Weights by name; means of what was seen, with the running means; and how many values of losses' terms were seen."""
    networks = {name: getattr(state, name).state_dict() for name in ("G", "D", "G_ema")}
    weights = {f"{name}.{key}": tensor for name, tensors in networks.items() for key, tensor in tensors.items()}
    rows = state.meter.flush()
    means = {name: row["mean"] for name, row in rows.items() if name not in PER_PART}
    counts = {name: rows[name]["num"] for name in means}
    return weights, means | {"pl_mean": float(state.pl_mean), "signs": state.ada.state_dict()["signs"]}, counts


@pytest.mark.parametrize("phase", ["Gmain", "Greg", "Dmain", "Dreg"])
def test_a_phase_computed_again_with_fewer_pictures_gives_the_same(trained, phase):
    """Learning rates are small, so that Adam does not make much of the last bits of small gradients."""
    rates = {"glr": 1e-4, "dlr": 1e-4}
    expected = trained(**rates)
    found = trained(lambda name, config: 4 if name == phase else 16, batch_gpu_auto=True, **rates)
    assert found.config.batch_gpu == 4
    assert [(note["field"], note["from"], note["to"], note["why"]) for note in found.changes] == [
        ("batch_gpu", 16, 8, WHY),
        ("batch_gpu", 8, 4, WHY),
    ]
    (one, means, counts), (two, others, again) = values_of(expected), values_of(found)
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=3e-5, msg=name)
    assert others == pytest.approx(means, rel=1e-4, abs=1e-5)
    assert again == counts


def test_networks_can_be_trained_after_a_shortage(trained):
    state = trained(lambda name, config: 8, batch_gpu_auto=True)
    assert all(p.requires_grad for network in (state.G, state.D) for p in network.parameters())
    assert (state.step, state.nonfinite) == (5, 0)


def test_without_auto_a_shortage_is_one_sentence_that_names_it(trained):
    with pytest.raises(
        UserError, match="Not enough memory with 16 pictures at a time .*--batch-gpu auto.* such as --batch-gpu 8"
    ):
        trained(lambda name, config: 8)


def test_a_shortage_with_the_fewest_pictures_says_what_is_left_to_do(trained):
    with pytest.raises(UserError, match="even with 4 pictures at a time.*--cbase"):
        trained(lambda name, config: 0, batch_gpu_auto=True)


def test_other_errors_are_not_hidden(trained, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(step_module, "backward", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        trained(batch_gpu_auto=True)


def simple_state(config):
    """What `computed` needs of a state."""
    module = torch.nn.Linear(1, 1)
    config = dataclasses.replace(config, batch_gpu_auto=True, mbstd_group=4, batch_gpu=8)
    names = {"G": module, "D": module, "opt_G": None, "opt_D": None, "device": torch.device("cpu"), "changes": [], "nimg": 0}
    return SimpleNamespace(config=config, world=ALONE, **names)


def test_nothing_of_the_failed_attempt_is_kept_in_memory(config):
    """The exception's trace holds the frames of what failed: it must be gone before the next attempt."""

    class Large:
        pass

    seen = []

    def compute(config):
        gc.disable()
        large = Large()
        if not seen:
            seen.append(weakref.ref(large))
            raise MemoryError
        return seen[0]() is None

    try:
        assert shortage.computed(simple_state(config), compute)
    finally:
        gc.enable()


class FailsLate(torch.autograd.Function):
    """The identity, whose backward pass runs short of memory after other nodes were put into the engine's queue."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError(CPU)


def test_the_graph_of_a_backward_pass_that_failed_is_freed(config):
    """PyTorch leaves the tasks of such a pass in a queue, and with them all tensors of the graph."""
    alive = []

    def compute(config):
        if alive:
            return [reference() is None for reference in alive]
        weight = torch.ones(1000, requires_grad=True)
        kept = weight * 2  # the square's node keeps it
        alive.append(weakref.ref(kept))
        square = kept.square()
        (FailsLate.apply(weight * 3) + square).sum().backward()
        raise AssertionError("the backward pass did not fail")

    assert shortage.computed(simple_state(config), compute) == [True]


def options_for(data, outdir):
    options = {"cfg": "tiny", "cbase": 32, "cmax": 4, "batch": 128, "mbstd_group": 2, "aug": "noaug", "device": "cpu", "kimg": 1}
    options |= {"metrics": (), "workers": 1, "tick": 1, "snap": 100, "glr": 1e-4, "dlr": 1e-4}
    return options | {"data": str(data), "outdir": str(outdir)}


def test_processes_agree_on_fewer_pictures_when_one_of_them_runs_short(data, tmp_path):
    """Process 1 cannot do Greg with 64 at a time, nor Dmain with 32: all go down to 16, and what is trained is the same."""
    options = options_for(data, tmp_path / "short") | {"batch_gpu": "auto", "gpus": 2}
    launch = {"resume": None, "timeout": 60, "dry_run": False}
    folder = launched(2, shortage_workers.train_short_of_memory, options | launch, 1, 64)
    other = train(**options_for(data, tmp_path / "enough"))
    found, expected = (read_container(path / "checkpoint.pkl", "checkpoint")["state"] for path in (folder, other))
    assert [(note["nimg"], note["from"], note["to"]) for note in found["changes"]] == [(0, 64, 32), (0, 32, 16)]
    for name, tensor in expected["networks"]["G_ema"].items():
        torch.testing.assert_close(found["networks"]["G_ema"][name], tensor, rtol=1e-2, atol=1e-3)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["batch_gpu"] for event in events if event["kind"] == "memory" and "batch_gpu" in event] == [32, 16]


def test_a_run_that_goes_on_begins_with_the_number_that_was_found(data, tmp_path, monkeypatch, capsys):
    backward = step_module.backward

    def limited(phase, state, config, *rest):
        if config.batch_gpu > 64:
            raise RuntimeError(CPU)
        return backward(phase, state, config, *rest)

    monkeypatch.setattr(step_module, "backward", limited)
    folder = train(**options_for(data, tmp_path) | {"batch_gpu": "auto"})
    assert "Fewer pictures at a time: batch_gpu 128 -> 64 from kimg 0 on (memory did not suffice)" in capsys.readouterr().out
    train(resume=str(folder), kimg=2, device="cpu")
    out = capsys.readouterr().out
    assert "Changed since: batch_gpu 128 -> 64" in out
    assert "Fewer pictures at a time" not in out
    state = read_container(folder / "checkpoint.pkl", "checkpoint")
    assert len(state["state"]["changes"]) == 1
    assert state["config"]["batch_gpu_auto"] is True


def test_a_run_that_failed_for_want_of_memory_goes_on_with_auto(data, tmp_path, monkeypatch):
    folder = train(**options_for(data, tmp_path) | {"batch_gpu": 128})
    backward = step_module.backward

    def limited(phase, state, config, *rest):
        if config.batch_gpu > 64:
            raise RuntimeError(CPU)
        return backward(phase, state, config, *rest)

    monkeypatch.setattr(step_module, "backward", limited)
    with pytest.raises(UserError, match="--batch-gpu auto"):
        train(resume=str(folder), kimg=2, device="cpu")
    train(resume=str(folder), kimg=2, device="cpu", batch_gpu="auto")
    assert read_container(folder / "checkpoint.pkl", "checkpoint")["state"]["changes"][-1]["to"] == 64


def test_a_shortage_in_the_middle_of_a_step_leaves_the_checkpoint_of_before(data, tmp_path, monkeypatch):
    """Gmain was done when Dmain ran short: a checkpoint of this moment would be one of half a step."""
    folder = train(**options_for(data, tmp_path))
    before = (folder / "checkpoint.pkl").read_bytes()
    backward = step_module.backward

    def limited(phase, state, config, *rest):
        if phase.name == "Dmain":
            raise MemoryError
        return backward(phase, state, config, *rest)

    monkeypatch.setattr(step_module, "backward", limited)
    with pytest.raises(UserError, match="--batch-gpu auto"):
        train(resume=str(folder), kimg=2, device="cpu")
    assert (folder / "checkpoint.pkl").read_bytes() == before


def test_a_shortage_beside_the_steps_is_one_sentence_too(data, tmp_path, monkeypatch):
    def short(self, state, tick):
        raise MemoryError

    monkeypatch.setattr(reports.StatusLine, "__call__", short)
    with pytest.raises(UserError, match="beside the training steps .*The last checkpoint is whole"):
        train(**options_for(data, tmp_path))

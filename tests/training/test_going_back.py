"""Whole runs into which numbers are put that are not finite, and what becomes of them."""

import json
import math
import shutil

import pytest
import torch

from sgtool.errors import UserError
from sgtool.snapshots.container import read_container, tensors_of
from sgtool.training.rollback import HEALTHY, MOST_ROLLBACKS
from sgtool.training.run import train
from sgtool.training.state import TrainState
from sgtool.training.vitals import Sample

LAYER = "b8.conv1.weight"


@pytest.fixture(scope="module")
def small(write_dataset, tmp_path_factory):
    """Grey pictures of 8x8."""
    return write_dataset(tmp_path_factory.mktemp("data") / "noise.zip", size=(8, 8), classes=None)


@pytest.fixture(scope="module")
def start(small, tiny, tmp_path_factory):
    """Function that trains for 16 steps of 64 pictures, a tick and a checkpoint every fourth one; returns the run folder."""

    def run(folder=None, **options):
        given = {**tiny, "data": str(small), "outdir": str(folder or tmp_path_factory.mktemp("runs")), "device": "cpu"}
        given |= {"batch": 64, "batch_gpu": 64, "cond": False, "snap": 1, "metrics": (), "aug": "noaug", "z_dim": 8, "w_dim": 8}
        return train(**given | options)

    return run


def put_in(patch, when, factor=math.inf, once=None):
    """Put a factor on D's gradients of one layer while `when(state)`, or call `once(state)` there."""
    fresh = TrainState.fresh.__func__

    def harmed(cls, *given, **more):
        state = fresh(cls, *given, **more)

        def act(gradient):
            if when(state):
                return gradient * factor if once is None else once(state)
            return None

        state.D.get_parameter(LAYER).register_hook(act)
        return state

    patch.setattr(TrainState, "fresh", classmethod(harmed))


@pytest.fixture
def harm(monkeypatch):
    """`put_in` for one test."""
    return lambda *given, **more: put_in(monkeypatch, *given, **more)


def early(state):
    """From step 6 on, until the run has gone back."""
    return state.attempt == 0 and state.step >= 6


@pytest.fixture(scope="module")
def went_back(start):
    """A run of 1 kimg that went back from step 14 to step 5."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tests, so that sums are rounded alike
    with pytest.MonkeyPatch.context() as patch:
        put_in(patch, early)
        folder = start()
    torch.set_num_threads(threads)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(folder, kind):
    return [event for event in lines(folder / "events.jsonl") if event["kind"] == kind]


def state_of(folder, name="checkpoint.pkl"):
    return read_container(folder / name, "checkpoint")["state"]


def not_finite_in(state):
    return [name for name, tensor in tensors_of(state) if tensor.is_floating_point() and not bool(tensor.isfinite().all())]


def test_a_streak_goes_back_halves_the_learning_rates_and_the_run_is_completed(went_back):
    (event,) = events(went_back, "rollback")
    assert event["text"].startswith(
        "Kimg 0.896: 8 of the last 10 steps of the discriminator had gradients that are no finite numbers"
    )
    assert event["layers"] == [f"D.{LAYER}"]
    assert event["to"] == 320
    state = state_of(went_back)
    assert (state["counters"]["attempt"], state["counters"]["nimg"]) == (1, 1024)
    reason = "8 of the last 10 steps of the discriminator had gradients that are no finite numbers"
    assert state["rollbacks"] == [{"nimg": 896, "to": 320, "reason": reason}]
    assert [(note["field"], note["from"], note["to"], note["nimg"]) for note in state["changes"]] == [
        ("glr", 0.01, 0.005, 320),
        ("dlr", 0.01, 0.005, 320),
    ]
    assert state["optimizers"]["opt_D"]["param_groups"][0]["lr"] == pytest.approx(0.005 * 16 / 17)
    assert not_finite_in(state) == []
    rows = lines(went_back / "stats.jsonl")
    assert [row["nimg"] for row in rows] == [64, 320, 576, 832, 1024]
    assert all(row[f"Gradients/{name}/norm"]["mean"] > 0 for row in rows for name in ("G", "D"))
    log = (went_back / "log.txt").read_text()
    assert f"Steps by layer: D.{LAYER}: 1" in log
    assert "Going back to kimg 0.32 and on with other random numbers and glr 0.01 -> 0.005" in log


def test_a_run_that_went_back_is_resumed_as_if_it_had_never_stopped(went_back, start, harm, differences, tmp_path):
    folder = shutil.copytree(went_back, tmp_path / "run")
    train(resume=str(folder), kimg=2, device="cpu")
    parts = state_of(folder)
    harm(early)
    whole = state_of(start(kimg=2))
    assert parts["optimizers"]["opt_G"]["param_groups"][0]["lr"] == pytest.approx(0.005 * 4 / 5)
    assert parts["counters"]["attempt"] == 1
    assert differences(parts["networks"], whole["networks"]) == []
    assert differences(parts["optimizers"], whole["optimizers"], ignored=["betas.0", "betas.1", "betas"]) == []


def test_a_block_in_half_precision_gets_single_precision_first(start, harm):
    harm(early)
    folder = start(precision="bf16")
    assert [(note["field"], note["to"]) for note in state_of(folder)["changes"]] == [("fp32_blocks", "D.b8")]


def test_numbers_in_the_average_alone_are_found_at_the_tick_and_left_behind(start, harm):
    def poison(state):
        with torch.no_grad():
            state.G_ema.synthesis.b4.const[0, 0, 0] = math.nan

    harm(lambda state: state.attempt == 0 and state.step == 6, once=poison)
    folder = start()
    (event,) = events(folder, "rollback")
    assert "holds numbers that are not finite (G_ema.synthesis.b4.const)" in event["text"]
    assert (event["nimg"], event["to"]) == (576, 320)
    assert not_finite_in(state_of(folder)) == []
    assert not_finite_in(state_of(folder, "checkpoint-previous.pkl")) == []


def test_under_stop_the_run_ends_and_its_checkpoint_is_a_healthy_one(start, harm, tmp_path):
    harm(early)
    with pytest.raises(UserError, match=r"Stopped at kimg 0\.896: 8 of the last 10 steps of the discriminator"):
        start(tmp_path, on_nan="stop")
    (folder,) = tmp_path.glob("00000-*")
    assert state_of(folder)["counters"]["nimg"] == 320  # at the tick of kimg 0.576 three steps had been left out already
    assert len(events(folder, "fault")) == 1
    assert events(folder, "rollback") == []


def test_a_run_that_no_remedy_helps_ends_in_a_sentence(start, harm, tmp_path):
    harm(lambda state: state.step >= 2)
    with pytest.raises(UserError, match="5 times going back has not helped"):
        start(tmp_path, tick=0.06)
    (folder,) = tmp_path.glob("00000-*")
    tried = events(folder, "rollback")
    assert len(tried) == MOST_ROLLBACKS
    assert tried[-1]["to"] < tried[0]["to"]  # to the checkpoint before, when the last one did not help
    assert not_finite_in(state_of(folder)) == []


def test_a_collapse_goes_back_where_that_was_asked_for(start, monkeypatch):
    calls = []

    def measure(self, state, vitals, stats):
        calls.append(state.attempt)
        vitals.variety = 0.9 if state.attempt or state.step < 6 else 0.1

    monkeypatch.setattr(Sample, "measure", measure)
    monkeypatch.setattr("sgtool.training.collapse.SHARE", 1e9)
    folder = start(on_collapse="rollback", tick=0.12)
    (event,) = events(folder, "rollback")
    assert "nearly all alike (10% of the variety of the real ones)" in event["text"]
    assert event["to"] == 320  # the last checkpoint of when they were varied
    assert {note["field"] for note in state_of(folder)["changes"]} == {"glr", "gamma"}
    assert (folder / HEALTHY).exists()
    assert set(calls) == {0, 1}


def test_held_out_pictures_are_measured_and_an_unfit_dataset_is_refused(start, write_dataset, tmp_path):
    other = write_dataset(tmp_path / "other.zip", number=9, size=(8, 8), seed=4)
    rows = lines(start(held_out=str(other)) / "stats.jsonl")
    measured = [row["Health/real_minus_heldout"]["mean"] for row in rows if "Health/diversity" in row]
    assert measured
    assert all(map(math.isfinite, measured))
    assert "Health/diversity" not in rows[0]
    with pytest.raises(UserError, match="--held-out large: its pictures are 16x16"):
        start(held_out=str(write_dataset(tmp_path / "large.zip")))
    with pytest.raises(UserError, match=r"nowhere\.zip"):
        start(held_out=str(tmp_path / "nowhere.zip"))

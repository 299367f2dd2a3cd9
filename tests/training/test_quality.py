"""The metrics of a run."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.training import quality
from sgtool.training.quality import Metrics, check_metrics
from sgtool.training.state import TrainState


@pytest.fixture
def measure(data, config, tmp_path):
    """Function that measures a new state and gives (state, lines of the log)."""

    def run(number=1, **changes):
        state, lines = TrainState.fresh(config, "cpu"), []
        metrics = Metrics(tmp_path, open_dataset(data), dataclasses.replace(config, **changes), "cpu", lines.append)
        for i in range(number):
            state.nimg = 1000 * (i + 1)
            metrics(state, SimpleNamespace(is_snapshot=True))
        return state, lines

    return run


def test_values_are_written_with_each_snapshot(measure, tmp_path):
    state, lines = measure()
    values = json.loads((tmp_path / "metric-swd.jsonl").read_text())
    assert values["metric"] == "swd"
    assert values["nimg"] == 1000
    assert values["num"] == 50
    assert values["snapshot_pkl"] == "network-snapshot-000001.pkl"
    assert values["results"]["swd"] > 0
    assert json.loads((tmp_path / "metric-msssim.jsonl").read_text())["results"].keys() == {"msssim", "msssim_reals"}
    assert state.best == {"swd": {"value": values["results"]["swd"], "nimg": 1000, "snapshot_pkl": "network-snapshot-000001.pkl"}}
    assert "(best so far)" in lines[0]


def test_the_best_value_is_kept(measure, monkeypatch):
    values = iter([30.0, 20.0, 25.0])
    monkeypatch.setitem(quality.METRICS, "swd", lambda fakes, reals: {"swd": next(values)})
    state, lines = measure(3, metrics=("swd",))
    assert state.best == {"swd": {"value": 20.0, "nimg": 2000, "snapshot_pkl": "network-snapshot-000002.pkl"}}
    assert lines[2] == "metrics on 50 pictures: swd 25 (best 20 at kimg 2)"


def test_measuring_draws_no_random_number_of_the_training(measure):
    before = torch.get_rng_state()
    torch.manual_seed(0)
    state, _ = measure()
    torch.manual_seed(0)
    TrainState.fresh(state.config, "cpu")
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    measure()
    assert torch.equal(torch.get_rng_state(), expected)
    torch.set_rng_state(before)


def test_nothing_is_measured_between_snapshots_or_without_names(data, config, tmp_path):
    Metrics(tmp_path, open_dataset(data), dataclasses.replace(config, metrics=()), "cpu", print)(
        None, SimpleNamespace(is_snapshot=True)
    )
    Metrics(tmp_path, open_dataset(data), config, "cpu", print)(None, SimpleNamespace(is_snapshot=False))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_metric_is_named_with_the_nearest():
    assert check_metrics(("swd", "msssim", "fid50k_full", "swd")) == ("swd", "msssim", "fid50k_full")
    with pytest.raises(
        UserError, match="--metrics fid50k_ful: there is no such metric; the nearest is fid50k_full.* swd, msssim"
    ):
        check_metrics(("swd", "fid50k_ful"))

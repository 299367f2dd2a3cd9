"""Published metrics in a run: the numbers of `sgtool metrics`, in a share of the time, and no harm to the training."""

import copy
import dataclasses
import json
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.measuring import Request, measure
from sgtool.training import protocols
from sgtool.training.protocols import Protocols, check_protocols
from sgtool.training.resolve import Options, check_options
from sgtool.training.saving import Snapshots, snapshot_name
from sgtool.training.state import TrainState


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(data, config, tmp_path):
    """Function that makes a run's state and its protocols: (state, report, lines of the log)."""

    def make(*names, share=10.0, **options):
        asked = dataclasses.replace(config, metrics=("swd", *names), metrics_share=share)
        state, lines = TrainState.fresh(asked, "cpu"), []
        return state, Protocols(tmp_path, asked, str(data), "cpu", lines.append, **options), lines

    return make


def at(state, report, kimg, elapsed, done=False):
    state.nimg, state.elapsed = kimg * 1000, elapsed
    report(state, SimpleNamespace(is_snapshot=True, done=done))


def values_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_number_is_that_of_sgtool_metrics_for_the_snapshot(run, data, tmp_path):
    state, report, lines = run("swd32", "msssim40")
    state.nimg = 1000
    Snapshots(tmp_path, open_dataset(data))(state, SimpleNamespace(is_snapshot=True))
    at(state, report, 1, 5.0)
    (value,) = values_in(tmp_path / "metric-swd32.jsonl")
    network, out = str(tmp_path / snapshot_name(state)), str(tmp_path / "out")
    (alone,), paths = measure(Request(network=network, data=str(data), metrics="swd32", outdir=out))
    (line,) = values_in(paths[0])
    assert value["results"] == alone.measured.values
    assert (value["nimg"], value["num"], value["snapshot_pkl"]) == (1000, 32, "network-snapshot-000001.pkl")
    assert value["protocol"] == line["protocol"]
    assert state.best.keys() == {"swd32"}
    assert state.best["swd32"] == {"value": value["results"]["swd32"], "nimg": 1000, "snapshot_pkl": value["snapshot_pkl"]}
    assert lines[0] == "Measuring swd32, msssim40 at kimg 1"
    assert "(best so far)   (took " in lines[1]


def test_measuring_changes_no_random_number_and_nothing_of_the_state(run, differences):
    state, report, _ = run("swd32")
    before, drawn = state.state_dict(), torch.get_rng_state()
    before = copy.deepcopy({**before, "best": {}})
    report(state, SimpleNamespace(is_snapshot=True, done=False))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert differences({**state.state_dict(), "best": {}}, before) == []
    assert (state.G.training, state.G_ema.training) == (True, False)


def taking(monkeypatch, seconds):
    """Have each measurement take so many seconds of the clock, whatever it is."""
    keep = protocols.measure_network

    def measured(*args, **options):
        found, plan = keep(*args, **options)
        return [dataclasses.replace(result, seconds=seconds) for result in found], plan

    monkeypatch.setattr(protocols, "measure_network", measured)


def test_a_metric_waits_until_training_has_had_its_share_and_says_so(run, monkeypatch, tmp_path):
    taking(monkeypatch, 60.0)
    state, report, lines = run("swd32", share=10.0)
    for kimg, elapsed in ((1, 1.0), (2, 540.0), (3, 541.0), (4, 1000.0), (5, 1081.0)):
        at(state, report, kimg, elapsed)
    assert [value["nimg"] for value in values_in(tmp_path / "metric-swd32.jsonl")] == [1000, 3000, 5000]
    skipped = [line for line in lines if "is not measured" in line]
    assert skipped[0] == (
        "swd32 is not measured at kimg 2: it took 1m 00s, and with --metrics-share 10 it waits for 9m 00s of training; "
        "so far 8m 59s"
    )
    assert len(skipped) == 2


def test_of_two_metrics_each_has_half_of_the_share(run, monkeypatch, tmp_path):
    taking(monkeypatch, 60.0)
    state, report, _ = run("swd32", "swd16", share=10.0)
    for kimg, elapsed in ((1, 0.0), (2, 1139.0), (3, 1140.0)):
        at(state, report, kimg, elapsed)
    assert [value["nimg"] for value in values_in(tmp_path / "metric-swd32.jsonl")] == [1000, 3000]


def test_the_last_snapshot_is_always_measured_and_others_than_snapshots_never(run, monkeypatch, tmp_path):
    taking(monkeypatch, 1e6)
    state, report, _ = run("swd32")
    report(state, SimpleNamespace(is_snapshot=False, done=False))
    for kimg, done in ((1, False), (2, False), (3, True)):
        at(state, report, kimg, kimg, done)
    assert [value["nimg"] for value in values_in(tmp_path / "metric-swd32.jsonl")] == [1000, 3000]


def test_a_resumed_run_knows_the_best_and_what_it_has_spent(run, monkeypatch, tmp_path):
    taking(monkeypatch, 60.0)
    state, report, _ = run("swd32")
    at(state, report, 1, 1.0)
    at(state, report, 2, 900.0)
    resumed, again, lines = run("swd32", nimg=1000)
    at(resumed, again, 2, 500.0)
    assert [value["nimg"] for value in values_in(tmp_path / "metric-swd32.jsonl")] == [1000]
    assert "is not measured at kimg 2" in lines[0]
    assert resumed.best["swd32"]["nimg"] == 1000


def test_what_goes_wrong_while_measuring_costs_a_warning_and_not_the_run(run, tmp_path):
    state, report, lines = run("swd32")
    for parameter in state.G_ema.parameters():
        parameter.fill_(float("nan"))
    at(state, report, 1, 5.0)
    assert lines[-1].startswith(
        "Warning: swd32 could not be measured at kimg 1: network-snapshot-000001.pkl: the network's pictures"
    )
    assert not (tmp_path / "metric-swd32.jsonl").exists()
    assert state.best == {}


def test_a_signal_stops_a_measurement_at_once(run, tmp_path):
    stop = SimpleNamespace(signal=None)
    state, report, lines = run("msssim1000k", stop=stop)
    before, start = signal.signal(signal.SIGTERM, lambda number, frame: setattr(stop, "signal", number)), time.monotonic()
    try:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        at(state, report, 1, 5.0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - start < 10
    assert lines[-1].startswith("Measuring was stopped after ")
    assert not (tmp_path / "metric-msssim1000k.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fid50k_full", r"The weights of Inception-v3 are not in .* Run: sgtool weights --fetch inception"),
        ("ppl2_wend", r"The weights of VGG16 are not in .* sgtool weights --fetch vgg16"),
        ("swd16k", r"swd16k takes 16,384 pictures, and there are 50\. Ask for --metrics swd50"),
    ],
)
def test_a_metric_that_cannot_be_measured_refuses_the_run_before_it_starts(config, data, name, text):
    with pytest.raises(UserError, match=text):
        check_protocols(dataclasses.replace(config, metrics=("swd", name)), str(data), print)
    check_protocols(dataclasses.replace(config, metrics=("swd", "swd50")), str(data), print)


def test_pictures_that_a_detector_does_not_know_refuse_the_run(config, write_dataset, monkeypatch, tmp_path):
    monkeypatch.setattr("sgtool.measuring.detector.find", lambda kind: "weights")
    path = write_dataset(tmp_path / "clear.zip", channels=4)
    clear = dataclasses.replace(config, metrics=("fid50k_full",), channels=4)
    with pytest.raises(UserError, match="The pictures have 4 channels, and Inception-v3 looks at grey and RGB ones only"):
        check_protocols(clear, str(path), print)


@pytest.mark.parametrize("share", [0, -5, 101, float("nan")])
def test_a_share_is_a_part_of_the_time(share):
    with pytest.raises(UserError, match="--metrics-share .*: it must be more than 0, and at most 100 percent"):
        check_options(Options(metrics_share=share))

"""How the doctor compares and measures: errors are found, bytes are counted, pictures are those of the networks."""

import math

import pytest
import torch

from sgtool.doctor import trials
from sgtool.doctor.trials import TRIALS, bytes_moved, error_of, seconds_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float16, 1e-3)])
def test_the_plain_path_differs_from_the_definition_by_rounding(trial, dtype, limit):
    x, dy = trial.pictures(3, 8, 16, dtype, CPU)
    result = trial.make("auto", x, dy)()
    assert result.dtype == dtype
    assert 0 < error_of(trial, result, x, dy) < limit


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
@pytest.mark.parametrize("picture", [0, -1])
def test_one_wrong_number_in_the_first_or_last_picture_is_found(trial, picture):
    x, dy = trial.pictures(3, 4, 8, torch.float32, CPU)
    result = trial.make("auto", x, dy)().clone()
    largest = result[picture].abs().max().item()
    result[picture, 2, 1, 3] += 0.5 * largest
    assert error_of(trial, result, x, dy) == pytest.approx(0.5, rel=1e-3)
    result[picture, 2, 1, 3] = float("nan")
    assert math.isnan(error_of(trial, result, x, dy))


def test_pictures_are_channels_last_and_the_same_each_time():
    for trial in TRIALS:
        x, dy = trial.pictures(2, 4, 8, torch.float16, CPU)
        assert x.shape == dy.shape == ((2, 4, 4, 4) if trial.small else (2, 4, 8, 8))
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert not torch.equal(x, dy)
        assert torch.equal(x, trial.pictures(2, 4, 8, torch.float16, CPU)[0])


def test_every_byte_is_counted_once():
    counted = {}
    for trial in TRIALS:
        x, dy = trial.pictures(1, 2, 4, torch.float16, CPU)
        counted[trial.name] = bytes_moved(trial, x, trial.make("auto", x, dy)())
    large, small = 2 * 1 * 2 * 4 * 4, 2 * 1 * 2 * 2 * 2
    assert counted == {
        "bias_act": 2 * large,
        "bias_act backward": 3 * large,  # what comes in, the result that was kept, what goes out
        "upfirdn2d up 2": small + large,
        "upfirdn2d down 2": large + small,
    }


def test_a_short_call_is_repeated_and_the_best_round_counts(monkeypatch):
    clock, counted = [0.0], []
    monkeypatch.setattr(trials.time, "perf_counter", lambda: clock[0])

    def call():
        counted.append(1)
        clock[0] += 0.001 if len(counted) > 20 else 0.002  # the machine was busy at first

    assert seconds_of(call, CPU) == pytest.approx(0.001)
    assert len(counted) > 5 * 5


def test_a_copy_has_a_rate():
    assert trials.copy_rate(1 << 16, CPU) > 0.01

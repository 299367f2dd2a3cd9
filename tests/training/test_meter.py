import json

import pytest
import torch

from sgtool.training.meter import Meter


def test_number_mean_and_deviation_are_those_of_all_values():
    meter, values = Meter(), torch.tensor([1.0, 2.0, 4.0, 9.0])
    meter.add("a", values[:3])
    meter.add("a", values[3:].reshape(1, 1, 1))
    meter.add("b", 5)
    stats = meter.flush()
    assert stats["a"] == {"num": 4, "mean": 4.0, "std": pytest.approx(float(values.std(unbiased=False)))}
    assert stats["b"] == {"num": 1, "mean": 5.0, "std": 0.0}
    assert list(stats) == ["a", "b"]


def test_flushing_starts_anew():
    meter = Meter()
    meter.add("a", 1.0)
    meter.flush()
    assert meter.flush() == {}
    meter.add("a", 3.0)
    assert meter.flush()["a"] == {"num": 1, "mean": 3.0, "std": 0.0}


def test_many_small_values_are_added_without_loss():
    meter = Meter()
    for _ in range(100):
        meter.add("a", torch.full([10_000], 0.1))
    mean = meter.flush()["a"]["mean"]
    assert mean == pytest.approx(float(torch.tensor(0.1)), abs=1e-12)


def test_values_keep_no_graph_alive():
    meter, x = Meter(), torch.ones(3, requires_grad=True)
    meter.add("a", x * 2)
    assert not meter.state_dict()["a"].requires_grad


def test_half_filled_sums_go_on_exactly():
    torch.manual_seed(0)
    values, whole, first = torch.randn(7, 5), Meter(), Meter()
    for row in values:
        whole.add("a", row)
    for row in values[:3]:
        first.add("a", row)
    second = Meter()
    second.load_state_dict(first.state_dict())
    for row in values[3:]:
        second.add("a", row)
    assert second.flush() == whole.flush()


def test_what_is_no_number_shows_in_the_statistics():
    meter = Meter()
    meter.add("a", torch.tensor([1.0, float("nan")]))
    assert "NaN" in json.dumps(meter.flush())

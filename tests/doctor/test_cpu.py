"""Rows about the CPU's ops and convolutions."""

import pytest

from sgtool.doctor import cpu


def test_ops_of_this_cpu_are_right():
    row = cpu.ops(shape=(2, 8, 16))
    assert row.state in ("ok", "slow")
    assert [0 < value["error"] < 1e-6 for value in row.details.values()] == [True] * 4


@pytest.mark.parametrize(
    ("error", "faster", "state", "words"),
    [
        (1e-7, 0.6, "ok", None),
        (1e-7, 0.4, "slow", "up 2: slower than the plain definition"),
        (1e-3, 9.0, "broken", "wrong numbers on this CPU (up 2)"),
        (float("nan"), 9.0, "broken", "pip install --force-reinstall torch"),
    ],
)
def test_ops_are_judged_by_error_and_speed(error, faster, state, words):
    row = cpu.judged({"blur": {"error": 2e-7, "faster": 1.0}, "up 2": {"error": error, "faster": faster}})
    assert row.state == state
    assert words is None or words in row.remedy
    assert row.found.startswith(f"error {max(error, 2e-7) if error == error else error:.1e}, ")


def test_convolutions_have_a_rate_for_each_type():
    row = cpu.convolution(shape=(1, 8, 8))
    assert row.state == "ok"
    assert set(row.details["gflop_per_s"]) == {"float32", "bfloat16"}
    assert min(row.details["gflop_per_s"].values()) > 0


def test_the_rate_of_a_convolution_counts_multiplications_and_additions(monkeypatch):
    monkeypatch.setattr(cpu, "_seconds", lambda x, w: 1e-3)
    rates = cpu.convolution(shape=(2, 16, 32)).details["gflop_per_s"]
    assert rates["float32"] == pytest.approx(2 * 9 * 2 * 16 * 16 * 32 * 32 / 1e-3 / 1e9)

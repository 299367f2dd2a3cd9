"""The links between processes, as the doctor sees them."""

import pytest

from sgtool.distributed import PeerLost
from sgtool.doctor import links
from sgtool.doctor.rows import Row

FOUND = {"size": 2, "machines": 1, "right": True, "seconds": {4096: 1e-4, 4 << 20: 0.004, 128 << 20: 0.2}, "start": 0.3}


def test_two_processes_add_up_right(monkeypatch):
    monkeypatch.setattr(links, "SLOW", {"gloo": 0.0, "NCCL": 0.0})
    (row,) = links.links(2)
    assert row.state == "ok"
    assert row.found.startswith("2 processes on 1 machine, gloo: started in ")
    assert row.details["processes"] == 2
    assert row.details["gb_per_s"] > 0


@pytest.mark.parametrize(
    ("change", "state", "text"),
    [
        ({}, "ok", "128 MB at 0.67 GB/s"),
        ({"seconds": {4096: 1e-4, 128 << 20: 10.0}}, "slow", "128 MB at 0.01 GB/s"),
        ({"right": False}, "broken", "sums are wrong over gloo"),
        ({"machines": 3, "size": 6}, "ok", "6 processes on 3 machines"),
    ],
)
def test_what_was_measured_decides_the_state(change, state, text):
    (row,) = links.rows_of(FOUND | change, "cpu")
    assert row.state == state
    assert text in row.found


def test_a_process_that_does_not_answer_is_broken(monkeypatch):
    def fail(*given):
        raise PeerLost("Another process did not answer.")

    monkeypatch.setattr(links, "launched", fail)
    (row,) = links.links(2)
    assert isinstance(row, Row)
    assert row.state == "broken"
    assert "GLOO_SOCKET_IFNAME" in row.remedy


def test_in_the_other_processes_of_a_job_nothing_is_said(monkeypatch):
    monkeypatch.setattr(links, "is_joined_from_outside", lambda: True)
    monkeypatch.setattr(links, "measured", lambda *given: None)
    assert links.links() == []

"""Several processes at a tick, one of which waits for space: threads take the place of processes."""

import queue
import threading
from types import SimpleNamespace

import pytest

from sgtool.training import together
from sgtool.training.together import Together, kept_together


class Pair:
    """Two worlds that exchange what the first one gives."""

    def __init__(self):
        self.sent, self.said = queue.Queue(), []
        self.first = SimpleNamespace(rank=0, size=2, is_first=True, broadcast=self._send)
        self.second = SimpleNamespace(rank=1, size=2, is_first=False, broadcast=lambda value: self.sent.get(timeout=5))

    def _send(self, value):
        self.said.append(value)
        self.sent.put(value)
        return value


def everywhere(name, calls):
    report = lambda state, tick: calls.append(name)  # noqa: E731 (it gets an attribute)
    report.everywhere = True
    return report


def test_one_process_has_nobody_to_wait_for():
    reports = [object(), object()]
    assert kept_together(reports, SimpleNamespace(size=1), SimpleNamespace()) == reports


def test_processes_meet_before_what_they_do_together_and_at_the_end(monkeypatch):
    pair, calls, others = Pair(), [], []
    monkeypatch.setattr(together, "BEAT_SECONDS", -1.0)
    patience = SimpleNamespace(beat=None)

    def waits_for_space(state, tick):
        calls.append("waits")
        for _ in range(3):
            patience.beat()

    def finds_no_reason_to_wait(state, tick):
        calls.append("writes")

    numbers, collapse = everywhere("numbers", calls), everywhere("collapse", calls)
    first = kept_together([waits_for_space, numbers, finds_no_reason_to_wait, collapse, waits_for_space], pair.first, patience)
    second = kept_together([everywhere("numbers", others), everywhere("collapse", others)], pair.second)
    thread = threading.Thread(target=lambda: [report(None, None) for report in second])
    thread.start()
    for report in first:
        report(None, None)
    thread.join(5)
    assert not thread.is_alive()
    assert calls == ["waits", "numbers", "writes", "collapse", "waits"]
    assert others == ["numbers", "collapse"]
    assert pair.said == ["wait", "wait", "wait", "go", "go", "wait", "wait", "wait", "go"]
    assert pair.sent.empty()
    assert [report.name for report in first if hasattr(report, "name")] == ["function"] * 3


def test_no_sign_of_life_is_given_where_nobody_listens(monkeypatch):
    pair = Pair()
    monkeypatch.setattr(together, "BEAT_SECONDS", -1.0)
    meeting = Together(pair.first)
    meeting.beat()
    assert pair.said == []


def test_an_error_leaves_the_meeting():
    pair, patience = Pair(), SimpleNamespace()

    def fails(state, tick):
        raise ValueError("broken")

    report, meeting = kept_together([fails], pair.first, patience)
    with pytest.raises(ValueError, match="broken"):
        report(None, None)
    assert meeting.is_on is False

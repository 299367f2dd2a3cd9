"""The page of a run in training: seldom, at its end always, and never a reason to stop."""

import json
from types import SimpleNamespace

import pytest

from sgtool.reporting import Report, live


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def tick(done=False):
    return SimpleNamespace(done=done)


def test_it_waits_a_hundred_times_as_long_as_it_took(make_run, clock, monkeypatch):
    written = []

    def page(run):
        clock.now += 3
        written.append(clock.now)
        return ""

    monkeypatch.setattr(live, "run_page", page)
    monkeypatch.setattr(live, "checked", lambda path: path)
    report = Report(make_run(), every_seconds=10)
    while clock.now < 3000:  # seconds
        report(None, tick())
        clock.now += 1
    assert len(written) == 7
    assert all(later - earlier >= 300 for earlier, later in zip(written, written[1:], strict=False))


def test_the_last_tick_always_writes(make_run, clock):
    folder = make_run()
    report = Report(folder)
    report(None, tick())
    (folder / "report.html").unlink()
    report(None, tick())
    assert not (folder / "report.html").exists()
    report(None, tick(done=True))
    assert (folder / "report.html").exists()


def test_the_page_follows_the_run(make_run, clock):
    folder = make_run(ticks=3)
    report = Report(folder)
    report.write()
    with open(folder / "stats.jsonl", "a") as file:
        file.write(json.dumps({"nimg": 33000, "Loss/G/loss": {"mean": 5.0}}) + "\n")
    report.write()
    assert "<b>33</b> of 40 kimg" in (folder / "report.html").read_text(encoding="utf-8")
    assert list(report.run.history.kimg) == [0, 1, 2, 33]


def test_a_page_that_cannot_be_written_is_said_once_and_ends_nothing(make_run, clock):
    folder, said = make_run(), []
    (folder / "report.html").write_text("mine")
    report = Report(folder, say=said.append)
    for _ in range(3):
        report.write()
    assert len(said) == 1
    assert "no report of sgtool's" in said[0]
    (folder / "report.html").unlink()
    report.write()
    assert (folder / "report.html").exists()

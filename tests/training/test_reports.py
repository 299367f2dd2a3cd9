"""What is told of a run: the log, the status line, stats.jsonl."""

import errno
import io
import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from sgtool.errors import UserError
from sgtool.training import reports
from sgtool.training.ada import Ada
from sgtool.training.lines import append_line, keep_until
from sgtool.training.loop import Tick
from sgtool.training.reports import Log, StatsFile, StatusLine, duration


@pytest.fixture
def state(config):
    """What reports read of a state, in the middle of a run."""
    return SimpleNamespace(
        config=config, nimg=400, elapsed=75.0, nonfinite=0, device=torch.device("cpu"), ada=Ada(p=0.25), best={}
    )


def tick(number=3, **changes):
    stats = {"Loss/G/loss": {"num": 4, "mean": 0.9, "std": 0.1}, "Loss/D/loss": {"num": 4, "mean": 1.25, "std": 0.1}}
    values = {
        "stats": stats,
        "images": 200,
        "seconds": 4.0,
        "data_seconds": 0.2,
        "report_seconds": {"PictureGrid": 1.0, "Metrics": 0.5},
    }
    return Tick(number, **values | {"is_snapshot": True, "done": False} | changes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (60, "1m 00s"), (725, "12m 05s"), (3600, "1h 00m"), (11_220, "3h 07m"), (187_200, "2d 04h")],
)
def test_durations_are_written_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_the_log_keeps_what_was_said_before_its_file_was_known(tmp_path, capsys):
    log = Log()
    log("first")
    log.attach(tmp_path / "log.txt")
    log("second")
    Log().attach(tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text() == capsys.readouterr().out == "first\nsecond\n"


def test_the_status_line_has_every_number(state):
    lines = []
    StatusLine(lines.append)(state, tick())
    words = " ".join(lines[0].split())
    assert words.startswith("tick 3 kimg 0.4 time 1m 15s left 12s s/kimg 20.00 data 5% mem ")
    assert words.endswith("GB p 0.250 r_t - loss G 0.900 D 1.250")


def test_the_first_tick_promises_no_time(state):
    lines = []
    StatusLine(lines.append)(state, tick(number=0))
    assert "left - " in lines[0]


def test_skipped_steps_are_told(state):
    state.nonfinite, lines = 2, []
    StatusLine(lines.append)(state, tick())
    assert lines[0].endswith("skipped 2 steps with gradients that are no finite numbers")


def test_the_limit_of_the_augmentation_is_told_once(state):
    lines = []
    line = StatusLine(lines.append)
    line(state, tick())
    state.ada.p = 0.8
    line(state, tick())
    line(state, tick())
    assert len(lines) == 4
    assert "ADA p has reached --p-max 0.8" in lines[2]
    assert "leak" in lines[2]


def test_stats_have_one_line_a_tick(state, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
    file = StatsFile(tmp_path, 0)
    file(state, tick())
    state.ada.rt, state.nimg = 0.5, 600
    file(state, tick(number=4))
    first, second = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert (first["nimg"], second["nimg"]) == (400, 600)
    assert first["Loss/G/loss"] == {"num": 4, "mean": 0.9, "std": 0.1}
    assert first["Progress/kimg"] == {"num": 1, "mean": 0.4, "std": 0.0}
    assert first["Timing/sec_per_kimg"]["mean"] == 20
    assert [first[f"Timing/{name}"]["mean"] for name in ("maintenance_sec", "reports/Metrics")] == [1.5, 0.5]
    assert "Progress/rt" not in first
    assert second["Progress/rt"]["mean"] == 0.5


def test_events_are_written_where_tensorboard_is_installed(state, tmp_path, monkeypatch):
    written = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, global_step: written.append((name, value, global_step)), flush=lambda: None
    )
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: writer)
    state.nimg = 2000
    StatsFile(tmp_path, 0)(state, tick())
    assert ("Loss/G/loss", 0.9, 2) in written
    assert ("Progress/kimg", 2.0, 2) in written


def test_events_that_find_no_space_go_on_in_a_new_file_and_the_table_has_every_line(state, tmp_path, monkeypatch):
    written = []

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    def note(name, value, global_step):
        written.append(global_step)

    broken = SimpleNamespace(add_scalar=full, flush=lambda: None)
    whole = SimpleNamespace(add_scalar=note, flush=lambda: None)
    writers = iter([broken, whole])
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: next(writers))
    file = StatsFile(tmp_path, 0)
    for state.nimg in (1000, 2000, 3000):
        file(state, tick())
    assert set(written) == {2, 3}
    assert [json.loads(line)["nimg"] for line in (tmp_path / "stats.jsonl").read_text().splitlines()] == [1000, 2000, 3000]


def test_lines_after_the_checkpoint_and_half_lines_are_dropped(tmp_path):
    path = tmp_path / "stats.jsonl"
    keep_until(path, 5)
    assert not path.exists()
    for nimg in (8, 16, 24):
        append_line(path, {"nimg": nimg, "a": nimg / 2})
    with open(path, "a") as file:
        file.write('{"nimg": 12, "a":')
    keep_until(path, 16)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"nimg": 8, "a": 4.0}, {"nimg": 16, "a": 8.0}]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(
        UserError, match=r"stats.jsonl could not be written: No space left on device. Free some space, then go on"
    ):
        append_line(tmp_path / "stats.jsonl", {"nimg": 8})


def test_a_closed_output_does_not_end_the_run_and_the_log_goes_on(tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    log = Log()
    log.attach(tmp_path / "log.txt")
    log("one")
    log("two")
    sys.stdout.close()  # the null device that has taken its place
    monkeypatch.setattr(sys, "stdout", None)
    log("three")
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\nthree\n"


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    append_line(tmp_path / "a.jsonl", {"a": {"mean": float("nan"), "num": 2}, "b": float("inf"), "c": 1.5})
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {"a": {"mean": None, "num": 2}, "b": None, "c": 1.5}

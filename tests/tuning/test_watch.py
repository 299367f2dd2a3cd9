"""What is told of a whole ladder while a rung is trained."""

import json
import threading
import time

import pytest

from sgtool.tuning import watch as module
from sgtool.tuning.watch import Watch


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.01)


def tick(folder, kimg, rate):
    with open(folder / "stats.jsonl", "a") as file:
        file.write(json.dumps({"nimg": kimg * 1000, "Timing/sec_per_kimg": {"mean": rate}}) + "\n")


def until(told, count):
    end = time.monotonic() + 20
    while len(told) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_each_tick_is_told_with_the_time_that_all_rungs_will_take(tmp_path):
    told = []
    watch = Watch(3, 20, told.append)
    watch.done = 1
    assert watch.line() == "ladder: 1 of 3 rungs done, 33%"
    with watch.watching(lambda: tmp_path):
        tick(tmp_path, 0, 100.0)  # the first step, which takes longer, says nothing of the rest
        tick(tmp_path, 4, 6.0)
        until(told, 1)
        tick(tmp_path, 10, 3.0)
        until(told, 2)
    assert told == [
        "ladder: 1 of 3 rungs done, 40%, about 3m 36s left",  # 36 of 60 kimg, 6 seconds each
        "ladder: 1 of 3 rungs done, 50%, about 1m 30s left",
    ]
    assert watch.line() == "ladder: 1 of 3 rungs done, 33%, about 2m 00s left"


def test_ticks_from_before_a_stop_are_not_told_again(tmp_path):
    told = []
    tick(tmp_path, 4, 6.0)
    with Watch(1, 20, told.append).watching(lambda: tmp_path):
        time.sleep(0.1)
    assert told == []


def test_a_run_without_a_folder_or_with_half_a_line_is_waited_for(tmp_path):
    told, folders = [], [None]
    with Watch(1, 20, told.append).watching(lambda: folders[0]):
        time.sleep(0.03)
        (tmp_path / "stats.jsonl").write_text('{"nimg": 40')
        folders[0] = tmp_path
        time.sleep(0.03)
        (tmp_path / "stats.jsonl").write_text("")
        tick(tmp_path, 20, 1.0)
        until(told, 1)
    assert told == ["ladder: 0 of 1 rungs done, 100%, about 0s left"]


def test_nothing_goes_on_when_the_rung_has_ended(tmp_path):
    before = threading.active_count()
    with pytest.raises(SystemExit), Watch(1, 20).watching(lambda: tmp_path):
        raise SystemExit(143)
    assert threading.active_count() == before

"""Pages as files: small enough, nothing in them runs or is loaded, other files are not replaced."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from sgtool.errors import UserError
from sgtool.reporting import pictures, write_comparison, write_report
from sgtool.reporting.encode import encoded
from sgtool.reporting.pictures import Allowance

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\"'&\0"


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_has_the_run_in_words(make_run):
    text = write_report(make_run()).read_text(encoding="utf-8")
    for words in (
        "<b>19</b> of 40 kimg (48%)", "about 52 s left", "1,797 pictures", "Best: 9 at kimg 10.", "losses were no numbers",
        "Warning: little memory <small>(2 times)</small>", "<td>as asked</td>", 'alt="generated pictures of',
        '<th scope="row">G</th>',
    ):  # fmt: skip
        assert words in text


def test_curves_have_the_values_of_the_ticks(make_run):
    data = data_of(write_report(make_run()))
    plots = {plot["title"]: plot for plot in data["plots"]}
    loss = plots["Losses"]["curves"][0]
    assert data["x"][loss["x"]] == list(range(20))
    np.testing.assert_allclose(loss["y"], 1 + np.sin(np.arange(20) / 5), rtol=1e-4)
    assert plots["Overfitting: r_t"]["lines"] == [{"label": "target", "y": 0.6}]
    swd = plots["Metric swd16k"]["curves"][0]
    assert (swd["y"], swd["low"], swd["best"]) == ([12, 9, 10], [11, 8.5, 9], 1)
    assert [mark["kind"] for mark in data["marks"]] == ["start", "rollback"]
    assert [frame["kimg"] for frame in data["runs"][0]["frames"]] == [0, 0, 5, 10]


def test_what_is_measured_now_and_then_is_a_line_and_a_gap_in_a_steady_one_stays_a_gap(make_run):
    folder = make_run(ticks=0)
    with open(folder / "stats.jsonl", "w") as file:
        for i in range(20):
            sparse = {"Health/diversity": {"mean": i}} if i % 4 == 0 else {}
            file.write(json.dumps({"nimg": 1000 * i, "Loss/G/loss": {"mean": None if i == 7 else 1.0}} | sparse) + "\n")
    data = data_of(write_report(folder))
    plots = {plot["title"]: plot["curves"][0] for plot in data["plots"]}
    assert plots["Diversity"]["y"] == data["x"][plots["Diversity"]["x"]] == [0, 4, 8, 12, 16]
    assert [i for i, value in enumerate(plots["Losses"]["y"]) if value is None] == [7]


def test_a_quantity_that_nobody_knows_gets_a_plot(make_run):
    folder = make_run()
    with open(folder / "stats.jsonl", "a") as file:
        file.write(json.dumps({"nimg": 20000, "Other/thing": {"mean": 3.0}, "Timing/reports/page": {"mean": 0.5}}) + "\n")
    titles = [plot["title"] for plot in data_of(write_report(folder))["plots"]]
    assert "Other/thing" in titles
    assert "Time of reports" in titles


def test_all_pictures_together_leave_room_below_five_megabytes():
    for runs in range(1, 51):
        room = Allowance.shared(runs)
        assert 4 / 3 * runs * (room.frames * room.frame_bytes + 2 * room.large_bytes) < 4_000_000
        assert room.frame_bytes > 5_000


def test_the_page_of_a_long_run_with_large_sheets_stays_small(make_run):
    folder = make_run(ticks=0, height=128, width=128, kimg=25000)
    rng = np.random.RandomState(0)
    means = rng.randn(6250, 20)
    with open(folder / "stats.jsonl", "w") as file:
        for i, row in enumerate(means):
            values = {f"Loss/q{j}": {"num": 1, "mean": value, "std": 0.0} for j, value in enumerate(row)}
            file.write(json.dumps(values | {"nimg": 4000 * (i + 1)}) + "\n")
    for i in range(3):  # noise, the worst that there is
        noise = Image.fromarray(rng.randint(0, 256, [640, 896, 3]).astype(np.uint8))
        noise.save(folder / f"fakes{i * 200:06d}.png", compress_level=0)
    path = write_report(folder)
    data = data_of(path)
    assert all(len(frame["source"] or "") < Allowance().frame_bytes * 4 / 3 + 50 for frame in data["runs"][0]["frames"])
    assert path.stat().st_size < 2_500_000
    assert all(len(x) <= 600 for x in data["x"])
    curve = {plot["title"]: plot["curves"][0] for plot in data["plots"]}["Loss/q3"]
    np.testing.assert_allclose([min(curve["low"]), max(curve["high"])], [means[:, 3].min(), means[:, 3].max()], rtol=1e-4)


def test_hostile_text_stays_text(make_run):
    folder = make_run("run <b>&amp;", dataset=HOSTILE, cfg=HOSTILE, **{HOSTILE: HOSTILE})
    with open(folder / "stats.jsonl", "a") as file:
        file.write(json.dumps({"nimg": 30000, HOSTILE: {"mean": 1.0}, "Timing/reports/" + HOSTILE: {"mean": 1.0}}) + "\n")
    with open(folder / "events.jsonl", "a") as file:
        file.write(json.dumps({"kind": HOSTILE[:30], "text": HOSTILE, "nimg": 3}) + "\n")
    with open(folder / "log.txt", "a") as file:
        file.write(f"Warning: {HOSTILE}\n")
    with open(folder / "metric-a<b>.jsonl", "w") as file:
        file.write(json.dumps({"results": {HOSTILE: 1.0}, "nimg": 3}) + "\n")
    text = write_report(folder).read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "\0" not in text


@pytest.mark.parametrize("damage", ["empty", "random", "lists", "absent"])
def test_a_damaged_folder_still_gives_a_page(make_run, damage):
    folder = make_run()
    for path in list(folder.iterdir()):
        if damage == "absent" and path.name != "log.txt":
            path.unlink()
        elif damage != "absent":
            path.write_bytes({"empty": b"", "random": bytes(range(256)) * 20, "lists": b"[1]\n{}\n[]\n"}[damage])
    assert "<h1>" in write_report(folder).read_text(encoding="utf-8")


def test_half_a_line_is_no_tick_and_is_said(make_run):
    folder = make_run()
    with open(folder / "stats.jsonl", "a") as file:
        file.write('{"nimg": 30000, "Loss/G/l\n{"nimg": 20000, "Loss/G/loss": {"mean": NaN}}\n{"nimg": 210')
    path = write_report(folder)
    assert "stats.jsonl: 1 lines could not be read." in path.read_text(encoding="utf-8")
    curve = next(plot for plot in data_of(path)["plots"] if plot["title"] == "Losses")["curves"][0]
    assert curve["y"][-1] is None
    assert len(curve["y"]) == 21


def test_a_second_page_takes_its_pictures_from_the_first(make_run, monkeypatch):
    calls = []
    monkeypatch.setattr(pictures, "encoded", lambda path, *rest: calls.append(path.name) or encoded(path, *rest))
    folder = make_run()
    first = data_of(write_report(folder))["runs"]
    assert len(calls) == 5
    calls.clear()
    assert data_of(write_report(folder, folder.parent / "other.html"))["runs"] == first
    assert sorted(calls) == ["fakes000010.png", "reals.png"]  # the newest and the real ones are in the page itself


@pytest.mark.parametrize(
    "change", [("data:image/", "javascript:alert(1)//"), ('"key":[', '"key":[[],'), ('"size":[', '"size":["x",')]
)
def test_pictures_of_a_forged_page_are_not_taken(make_run, change, monkeypatch):
    calls = []
    folder = make_run()
    path = write_report(folder)
    right = data_of(path)["runs"]
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    monkeypatch.setattr(pictures, "encoded", lambda path, *rest: calls.append(path.name) or encoded(path, *rest))
    assert data_of(write_report(folder))["runs"] == right
    assert len(calls) == 5


def test_a_comparison_lies_beside_the_runs_and_stays_small(make_run):
    runs = [make_run(f"0000{i}-a", gamma=i) for i in range(12)]
    path = write_comparison(runs)
    assert path == runs[0].parent / "report.html"
    assert path.stat().st_size < 5_000_000
    data = data_of(path)
    loss = next(plot for plot in data["plots"] if plot["title"] == "Losses: G")
    assert [curve["run"] for curve in loss["curves"]] == list(range(12))
    assert "Options that differ" in path.read_text(encoding="utf-8")


def test_runs_of_one_name_are_told_apart_by_their_path(tmp_path, make_run):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path = write_comparison([make_run("a/run"), make_run("b/run")])
    assert [run["name"] for run in data_of(path)["runs"]] == ["a/run", "b/run"]


def test_another_file_is_not_replaced_and_a_wrong_name_is_said(make_run, tmp_path):
    folder = make_run()
    (folder / "report.html").write_text("<p>my own notes</p>")
    with pytest.raises(UserError, match="no report of sgtool's"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "<p>my own notes</p>"
    for output, words in (
        (tmp_path / "a.txt", r"ends in \.html"),
        (tmp_path / "no" / "a.html", "no such folder"),
        (tmp_path, "html"),
    ):
        with pytest.raises(UserError, match=words):
            write_report(folder, output)
    assert write_report(folder, tmp_path / "a.html") == write_report(folder, tmp_path / "a.html")


def test_a_link_in_the_place_of_the_page_is_replaced_and_not_followed(make_run, tmp_path):
    folder = make_run()
    other = write_report(folder, tmp_path / "other.html")
    before = other.read_bytes()
    (folder / "report.html").symlink_to(other)
    write_report(folder)
    assert not (folder / "report.html").is_symlink()
    assert other.read_bytes() == before


def test_a_run_named_twice_is_said(make_run):
    folder = make_run()
    with pytest.raises(UserError, match="named twice"):
        write_comparison([folder, folder])

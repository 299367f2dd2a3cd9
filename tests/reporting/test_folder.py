"""What a run folder tells: metrics, events, warnings, options, how it stands."""

import json

import pytest

from sgtool.errors import UserError
from sgtool.reporting.folder import RunFolder, found_run
from sgtool.reporting.happened import is_warning
from sgtool.reporting.measured import Metrics, best_of
from sgtool.reporting.settings import differing, read_settings


def append(path, *rows):
    with open(path, "a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("name", "best"),
    [("fid50k_full", 1), ("kid5k_full-discriminator", 1), ("swd", 1), ("ppl2_wend", 1), ("clean_fid", 1), ("memorization2k", 1),
     ("is50k_mean", 2), ("pr50k3_full_recall", 2), ("density", 2), ("coverage", 2), ("msssim10k", None), ("isolation", None)],
)  # fmt: skip
def test_the_name_of_a_metric_tells_which_value_is_best(name, best):
    assert best_of(name, [3.0, 1.0, 5.0, float("nan")]) == best


def test_metrics_have_values_intervals_and_the_last_one_counts(tmp_path):
    path = tmp_path / "metric-fid5k.jsonl"
    append(
        path, {"results": {"fid5k": 9.0}, "nimg": 1000}, {"results": {"fid5k": 7.0}, "nimg": 2000, "intervals": {"fid5k": [6, 8]}}
    )
    metrics = Metrics(tmp_path)
    metrics.refresh()
    append(path, {"results": {"fid5k": 8.0}, "nimg": 1000}, {"results": 3, "nimg": 1}, {"results": {"fid5k": "x"}, "nimg": 4000})
    metrics.refresh()
    (result,) = metrics.results()["fid5k"]
    assert (result.kimg, result.values[:2], result.best) == ([1, 2, 4], [8, 7], 1)
    assert (result.low[1], result.high[1]) == (6, 8)
    assert metrics.files["fid5k"].unreadable == 1


def test_nvidias_metrics_are_placed_by_their_snapshot(tmp_path):
    row = {
        "results": {"fid50k_full": 4.5},
        "metric": "fid50k_full",
        "snapshot_pkl": "network-snapshot-000400.pkl",
        "timestamp": 1.0,
    }
    append(tmp_path / "metric-fid50k_full.jsonl", row, row | {"snapshot_pkl": None})
    metrics = Metrics(tmp_path)
    metrics.refresh()
    assert metrics.results()["fid50k_full"][0].kimg == [400.0]


def test_events_and_warnings_are_read_and_wrong_ones_counted(tmp_path):
    append(
        tmp_path / "events.jsonl", {"kind": "resume", "text": "again", "nimg": 2000}, {"kind": 3, "nimg": 1}, {"kind": "x"}, [1]
    )
    (tmp_path / "log.txt").write_text("Warning: a\ntick 1\nWarning: a\n  Warning: b\n")
    run = RunFolder(tmp_path).refresh()
    assert [(event.kimg, event.kind, event.text) for event in run.events.events] == [(2.0, "resume", "again")]
    assert run.warnings.counts == {"Warning: a": 2, "Warning: b": 1}
    assert "events.jsonl: 3 lines could not be read." in run.notes()


def test_a_line_about_ada_at_its_limit_is_a_warning():
    assert is_warning("ADA p has reached --p-max 0.8 and is held there: the generator begins to imitate them (they leak).")
    assert not is_warning("tick 4  kimg 12.0  loss G 0.3")


def test_options_of_sgtool_come_with_reasons(make_run):
    settings = read_settings(make_run())
    assert ("gamma", "1", "as asked") in settings.rows()
    assert settings.cell() == (8, 8)
    assert "generator" not in [name for name, _, _ in settings.rows()]


def test_options_of_nvidia_have_our_names(tmp_path):
    stored = {
        "training_set_kwargs": {"path": "/d.zip", "resolution": 256, "xflip": True}, "total_kimg": 25000, "batch_size": 64,
        "loss_kwargs": {"class_name": "x", "r1_gamma": 1.0}, "G_opt_kwargs": {"lr": 0.0025, "betas": [0, 1]}, "ada_target": 0.6,
    }  # fmt: skip
    (tmp_path / "training_options.json").write_text(json.dumps(stored))
    settings = read_settings(tmp_path)
    assert {name: settings.values[name] for name in ("kimg", "batch", "gamma", "glr", "target", "mirror", "data")} == {
        "kimg": 25000, "batch": 64, "gamma": 1.0, "glr": 0.0025, "target": 0.6, "mirror": True, "data": "/d.zip"
    }  # fmt: skip
    assert settings.cell() == (256, 256)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"config": []}', '{"config": {"height": "x", "kimg": [1]}, "reasons": 3}'])
def test_options_of_any_type_are_no_error(tmp_path, text):
    (tmp_path / "training_options.json").write_text(text)
    settings = read_settings(tmp_path)
    settings.rows()
    assert settings.cell() is None


def test_only_what_differs_is_compared(make_run):
    settings = [
        read_settings(make_run(f"{i}", gamma=gamma, extra=extra)) for i, (gamma, extra) in enumerate([(1, None), (2, "x")])
    ]
    assert differing(settings) == [("gamma", ["1", "2"]), ("extra", ["–", "x"])]


def test_time_left_follows_the_speed_and_the_state_the_events(make_run):
    folder = make_run(ticks=20, kimg=40)
    run = RunFolder(folder).refresh()
    assert (run.kimg, run.seconds_left(), run.state()) == (19.0, 21 * 2.5, "in progress")
    append(folder / "events.jsonl", {"kind": "stop", "text": "", "nimg": 19000})
    assert run.refresh().state() == "stopped"
    assert RunFolder(make_run("short", ticks=20, kimg=19)).refresh().state() == "complete"


def test_what_is_no_run_folder_is_said(tmp_path, make_run):
    make_run("00000-inner")
    with pytest.raises(UserError, match=r"no run folder.*Did you mean .*00000-inner\?"):
        found_run(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="Name a folder that sgtool train"):
        found_run(tmp_path / "empty")
    for path in (tmp_path / "absent", tmp_path / "00000-inner" / "stats.jsonl"):
        with pytest.raises(UserError, match="there is no such folder"):
            found_run(path)

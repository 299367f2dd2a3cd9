"""control.json in a run: what is changed holds, survives a resume, and training goes on exactly."""

import json
import signal

import pytest

from sgtool.errors import UserError
from sgtool.snapshots.container import read_container
from sgtool.training import control as control_module
from sgtool.training import reports
from sgtool.training.control import Control
from sgtool.training.pictures import PictureGrid
from sgtool.training.run import train

TIMING = ("Timing/", "Resources/", "timestamp", "Health/")  # health is measured as time allows


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small sheets, no event files, and a look at control.json with every step."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (4, 3))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
    monkeypatch.setattr(control_module, "POLL_SECONDS", 0)


@pytest.fixture
def go(data, tiny, tmp_path, monkeypatch):
    """Function that trains 8 steps of 128: (edits {step: values}, stop after this step, name, **options) -> run folder."""

    def run(edits=None, stop_after=None, name="runs", **options):
        original = Control.__call__

        def edited(self, state):
            if edits and state.step in edits:
                self.path.write_text(json.dumps(edits[state.step]))
            original(self, state)
            if state.step == stop_after:
                signal.raise_signal(signal.SIGTERM)

        given = {} if "resume" in options else tiny | {"batch": 128, "batch_gpu": 128, "data": data, "outdir": tmp_path / name}
        given |= {} if "resume" in options else {"metrics": (), "tick": 0.25, "snap": 2}
        with monkeypatch.context() as patch:
            patch.setattr(Control, "__call__", edited)
            if stop_after is None:
                return train(**given | {"device": "cpu"} | options)
            with pytest.raises(SystemExit):
                train(**given | {"device": "cpu"} | options)
        return options.get("resume") or max((tmp_path / name).iterdir())

    return run


def checkpoint(folder):
    return read_container(folder / "checkpoint.pkl", "checkpoint")


def lines(folder, name):
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith(TIMING)} for row in rows]


CHANGES = {3: {"gamma": 2, "glr": 0.001, "target": 0.1, "tick": 0.3}, 6: {"dlr": 0.02}}


def test_a_changed_run_stopped_and_gone_on_with_equals_one_that_was_not_stopped(go, differences):
    """Stopped in the very step of the first change, then between the two, then after both."""
    changed = go(CHANGES, name="whole")
    folder = go(CHANGES, stop_after=3)
    for stop in (5, 7, None):
        go(CHANGES, stop_after=stop, resume=folder)
    found, expected = checkpoint(folder), checkpoint(changed)
    assert differences(found, expected, ignored=["counters.elapsed"]) == []
    assert lines(folder, "stats.jsonl") == lines(changed, "stats.jsonl")
    notes = [(note["nimg"], note["field"], note["to"]) for note in found["state"]["changes"]]
    assert notes == [(384, "gamma", 2.0), (384, "glr", 0.001), (384, "target", 0.1), (384, "tick", 0.3), (768, "dlr", 0.02)]
    events = [row for row in lines(changed, "events.jsonl") if row["kind"] == "change"]
    assert [(row["field"], row["nimg"]) for row in events][-1] == ("dlr", 768)
    assert "Changed: dlr 0.01 -> 0.02 from kimg 0.768 on (control.json)" in (changed / "log.txt").read_text()
    assert found["config"]["gamma"] == 0.0004
    assert found["state"]["optimizers"]["opt_G"]["param_groups"][0]["lr"] == pytest.approx(0.001 * 4 / 5)


def test_options_that_contradict_the_run_are_refused_as_ever_the_same_ones_keep_what_was_changed(go, capsys):
    changed = go(CHANGES, stop_after=4)
    with pytest.raises(UserError, match="the run has gamma 0.0004, not 0.5"):
        go(resume=changed, gamma=0.5)
    go(resume=changed, glr=0.01, kimg=2, stop_after=5)
    assert "Changed since: glr 0.01 -> 0.001 from kimg 0.384 on (control.json)" in capsys.readouterr().out
    values = json.loads((changed / "control.json").read_text())
    assert (values["glr"], values["kimg"], values["gamma"]) == (0.001, 2, 2.0)


def test_a_length_changed_in_the_file_holds_until_the_command_line_says_another(go, capsys):
    folder = go({2: {"kimg": 3}}, stop_after=4)
    go(resume=folder, stop_after=5)
    assert json.loads((folder / "control.json").read_text())["kimg"] == 3
    go(resume=folder, kimg=2, stop_after=6)
    assert json.loads((folder / "control.json").read_text())["kimg"] == 2
    go(resume=folder, stop_after=7)
    assert [note["to"] for note in checkpoint(folder)["state"]["changes"]] == [3, 2]
    assert json.loads((folder / "control.json").read_text())["kimg"] == 2


def test_what_was_edited_while_the_run_stood_still_holds_when_it_goes_on(go):
    folder = go(stop_after=2)
    (folder / "control.json").write_text('{"gamma": 5, "stop": true}')
    go(resume=folder, stop_after=3)
    assert [(note["nimg"], note["to"]) for note in checkpoint(folder)["state"]["changes"]] == [(256, 5.0)]


def test_stop_ends_the_run_with_a_checkpoint_and_without_an_error(go, capsys):
    folder = go({5: {"stop": True}})
    assert checkpoint(folder)["state"]["counters"]["step"] == 5
    assert "Stopped at kimg 0.64; checkpoint.pkl is written. Go on with: sgtool train --resume" in capsys.readouterr().out
    assert lines(folder, "events.jsonl")[-1]["kind"] == "stop"
    assert json.loads((folder / "control.json").read_text())["stop"] is False
    go(resume=folder)
    assert checkpoint(folder)["state"]["counters"]["step"] == 8


def test_a_snapshot_between_ticks_changes_nothing_of_the_training(go, differences):
    plain = go(name="plain", tick=0.5, snap=100)
    folder = go({2: {"snapshot-now": True}}, name="asked", tick=0.5, snap=100)
    assert differences(checkpoint(folder), checkpoint(plain), ignored=["counters.elapsed"]) == []
    assert lines(folder, "stats.jsonl") == lines(plain, "stats.jsonl")
    assert [row["nimg"] for row in lines(folder, "events.jsonl") if row["kind"] == "snapshot-now"] == [256]


def test_a_run_in_which_nothing_can_be_understood_goes_on(go):
    folder = go({1: [], 2: {"gamma": "x"}, 3: {"_help": 3, "": 1}})
    assert checkpoint(folder)["state"]["counters"]["step"] == 8
    assert checkpoint(folder)["state"]["changes"] == []

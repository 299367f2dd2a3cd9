"""control.json: read between steps, checked, never the end of a run."""

import dataclasses
import json
import os
from types import SimpleNamespace

import pytest
import torch

from sgtool.distributed import ALONE
from sgtool.training import control as control_module
from sgtool.training.ada import Ada
from sgtool.training.control import Control
from sgtool.training.wishes import FIELDS, LARGEST, WISHES


class Run:
    """A run in which only control.json happens: what was said, noted as an event, and done."""

    def __init__(self, folder, config, world=ALONE):
        optimizers = [torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5) for _ in range(2)]
        self.state = SimpleNamespace(config=config, changes=[], nimg=2000, step=0, done=False)
        self.state.opt_G, self.state.opt_D, self.state.ada = *optimizers, Ada(target=config.target)
        self.said, self.events, self.done = [], [], []
        self.path = folder / "control.json"
        self.control = Control(
            folder,
            self.said.append,
            lambda kind, text, nimg, **facts: self.events.append((kind, nimg, facts)),
            world,
            save=lambda state: self.done.append("save"),
            snapshot=lambda state: self.done.append("snapshot"),
            stop=lambda: self.done.append("stop"),
        )

    def write(self, **values):
        self.path.write_text(json.dumps(values))

    def look(self, times=1):
        for _ in range(times):
            self.state.step += 1
            self.control(self.state)


@pytest.fixture
def run(tmp_path, config, monkeypatch):
    """A run that looks at the file with every step."""
    monkeypatch.setattr(control_module, "POLL_SECONDS", 0)
    run = Run(tmp_path, config)
    run.control.begin(run.state)
    return run


def test_the_file_holds_all_that_may_be_changed_and_what_it_means(run):
    values = json.loads(run.path.read_text())
    assert values.keys() == {"_help", *FIELDS, *WISHES}
    assert all(values[name] == getattr(run.state.config, name) for name in FIELDS)
    assert not any(values[name] for name in WISHES)
    words = " ".join(values["_help"])
    assert all(name in words for name in (*FIELDS, *WISHES))


def test_a_file_that_nobody_touched_changes_nothing(run):
    run.look(5)
    assert (run.said, run.events, run.done) == ([], [], [])


def test_saving_the_file_as_it_was_changes_nothing(run):
    run.path.write_text(run.path.read_text())
    run.look(3)
    assert (run.said, run.events, run.done) == ([], [], [])


def test_a_changed_number_is_applied_told_and_saved(run):
    run.write(gamma=3, kimg=70)
    run.look()
    assert (run.state.config.gamma, run.state.config.kimg) == (3.0, 70)
    assert isinstance(run.state.config.gamma, float)
    assert run.done == ["save"]
    assert run.said == [
        "Changed: gamma 0.0064 -> 3 from kimg 2 on (control.json)",
        "Changed: kimg 1 -> 70 from kimg 2 on (control.json)",
    ]
    assert run.events[0] == ("change", 2000, {"field": "gamma", "before": 0.0064, "after": 3.0})
    run.look(3)
    assert len(run.said) == 2


def test_the_last_of_several_edits_between_two_looks_counts(run):
    for value in (1, 2, 5):
        run.write(gamma=value)
    run.look(3)
    assert [note["to"] for note in run.state.changes] == [5.0]


def test_an_edit_of_the_same_length_at_the_same_time_is_seen(run):
    run.write(gamma=1)
    run.look()
    status = os.stat(run.path)
    run.path.write_text(json.dumps({"gamma": 2}))
    os.utime(run.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    run.look()
    assert run.state.config.gamma == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gamma": -1}, "--gamma -1.0: it must be 0.0 or more."),
        ({"gamma": "1"}, '"gamma" must be a number, not "1".'),
        ({"gamma": True}, '"gamma" must be a number, not true.'),
        ({"gamma": None}, '"gamma" must be a number, not null.'),
        ({"gamma": float("nan")}, '"gamma" must be a number, not NaN.'),
        ({"gamma": float("inf")}, '"gamma" must be a number, not Infinity.'),
        ({"kimg": 2.5}, '"kimg" must be a whole number, not 2.5.'),
        ({"kimg": 10**30}, '"kimg" must be a whole number, not 1000000000000000000000000000000.'),
        ({"kimg": 2}, 'kimg 2 has passed, the run is at 2; to end it, set "stop" to true.'),
        ({"snap": 0}, "--snap 0: it must be 1 or more."),
        ({"tick": 0}, "--tick 0: a tick needs"),
        ({"target": 2}, "--target 2.0: it must be from -1 to 1."),
        ({"stop": 1}, '"stop" must be true or false.'),
        ({"gama": 1}, '"gama" cannot be changed in a run. Is "gamma" meant?'),
        ({"batch": 64}, '"batch" cannot be changed in a run.'),
    ],
)
def test_a_wrong_entry_is_told_once_and_ignored_while_the_others_hold(run, values, said):
    before = run.state.config
    run.write(**values, dlr=0.5)
    run.look(3)
    assert len(run.said) == 2
    assert run.said[0].startswith(f"control.json: {said}")
    assert run.said[0].endswith("This entry is ignored.")
    assert run.state.config.dlr == 0.5
    assert all(getattr(run.state.config, name) == getattr(before, name) for name in FIELDS if name != "dlr")
    assert run.done == ["save"]


def test_a_target_without_adaptive_augmentation_is_refused(tmp_path, config, monkeypatch):
    monkeypatch.setattr(control_module, "POLL_SECONDS", 0)
    run = Run(tmp_path, dataclasses.replace(config, aug="noaug"))
    run.write(target=0.9)
    run.look()
    assert run.said == ["control.json: target 0.9 is not used with --aug noaug. This entry is ignored."]


def test_half_a_file_is_waited_for(run):
    whole = json.dumps({"gamma": 4})
    run.path.write_text(whole[:6])
    run.look()
    run.path.write_text(whole)
    run.look()
    assert run.state.config.gamma == 4
    assert len(run.said) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not valid JSON"),
        (b"{'gamma': 1}", "is not valid JSON"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        (b"[1, 2]", "must hold an object"),
        (b"[" * 50000, "is nested too deeply"),
        (b'{"gamma": ' + b"1" * 5000 + b"}", "is not valid JSON"),
        (b" " * (LARGEST + 1), "is larger than 64 KB"),
    ],
)
def test_a_file_that_cannot_be_understood_is_told_of_once(run, content, said):
    run.path.write_bytes(content)
    run.look(4)
    assert len(run.said) == 1
    assert said in run.said[0]
    assert run.done == []
    run.write(gamma=4)
    run.look()
    assert run.state.config.gamma == 4


def test_a_link_and_a_folder_are_not_read(run, tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"gamma": 4}')
    run.path.unlink()
    run.path.symlink_to(other)
    run.look(3)
    assert run.said == ["control.json is no plain file, and is not read."]
    run.path.unlink()
    run.path.mkdir()
    run.look(3)
    assert len(run.said) == 1
    run.path.rmdir()
    run.write(gamma=5)
    run.look()
    assert run.state.config.gamma == 5


def test_a_pipe_does_not_hold_the_run(run):
    run.path.unlink()
    os.mkfifo(run.path)
    run.look(2)
    assert run.said == ["control.json is no plain file, and is not read."]


def test_a_file_that_is_gone_asks_for_nothing(run):
    run.path.unlink()
    run.look(3)
    assert (run.said, run.done) == ([], [])


def test_a_snapshot_is_made_once_and_the_wish_taken_back(run):
    run.write(**{"snapshot-now": True, "gamma": 2})
    run.look(3)
    assert run.done == ["save", "snapshot", "save"]
    values = json.loads(run.path.read_text())
    assert values["snapshot-now"] is False
    assert values["gamma"] == 2
    assert [kind for kind, _, _ in run.events] == ["change", "snapshot-now"]


def test_the_run_is_asked_to_stop_once_and_the_wish_taken_back(run):
    run.write(stop=True)
    run.look(3)
    assert run.done == ["stop"]
    assert json.loads(run.path.read_text())["stop"] is False


def test_what_was_edited_while_the_wish_was_granted_is_not_lost(run):
    def edit(state):
        run.write(gamma=9)

    run.control._snapshot = edit
    run.write(**{"snapshot-now": True})
    run.look(2)
    assert run.state.config.gamma == 9


def test_a_run_that_goes_on_does_first_what_was_asked_for_while_it_stood_still(tmp_path, config):
    run = Run(tmp_path, config)
    run.write(gamma=2, kimg=500, stop=True)
    run.control.begin(run.state, decided=("kimg",))
    assert run.state.config.gamma == 2
    assert run.state.config.kimg == config.kimg
    assert run.done == ["save"]
    values = json.loads(run.path.read_text())
    assert (values["gamma"], values["kimg"], values["stop"]) == (2, config.kimg, False)


def test_a_disk_that_takes_no_file_is_told_of_and_the_run_goes_on(run, monkeypatch):
    def full(path, text):
        raise control_module.UserError(f"{path} could not be written: No space left on device.")

    monkeypatch.setattr(control_module, "write_text", full)
    run.write(**{"snapshot-now": True})
    run.look()
    assert "snapshot" in run.done
    assert "No space left" in run.said[0] or "No space left" in run.said[1]


def test_the_file_is_looked_at_every_few_seconds_however_fast_the_steps(run, monkeypatch):
    clock, looks = [0.0], []
    monkeypatch.setattr(control_module, "POLL_SECONDS", 3.0)
    monkeypatch.setattr(control_module.time, "monotonic", lambda: clock[0])
    read = run.control._read
    monkeypatch.setattr(run.control, "_read", lambda state, final=False: looks.append(clock[0]) or read(state, final))
    for _ in range(100):
        clock[0] += 0.25
        run.look()
    gaps = [b - a for a, b in zip(looks, looks[1:], strict=False)]
    assert max(gaps) <= 3.25
    assert len(looks) <= 11


class Second:
    """The second of two processes: what the first one broadcasts comes from a list."""

    is_first = False

    def __init__(self, messages):
        self.messages = messages

    def broadcast(self, value):
        return self.messages.pop(0)


def test_other_processes_do_the_same_without_reading_or_telling(tmp_path, config):
    run = Run(tmp_path, config, Second([{}, ({"gamma": 7.0}, set(), 1), ({}, {"stop"}, 1)]))
    run.control.begin(run.state)
    assert not run.path.exists()
    run.look(2)
    assert run.state.config.gamma == 7
    assert run.done == ["save", "stop"]
    assert (run.said, run.events) == ([], [])

"""Snapshots and checkpoints: what is in them, and that a whole one is there at every instant."""

import errno
import os
import pathlib
import time
from types import SimpleNamespace

import pytest

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.snapshots.container import read_container
from sgtool.training import saving
from sgtool.training.saving import Checkpoints, Snapshots, keep_as
from sgtool.training.state import TrainState

DUE, NOT_DUE = SimpleNamespace(is_snapshot=True), SimpleNamespace(is_snapshot=False)


@pytest.fixture
def state(config):
    return TrainState.fresh(config, "cpu")


def nimg_of(path):
    return read_container(path, "checkpoint")["state"]["counters"]["nimg"]


def test_a_snapshot_holds_the_networks_and_where_they_come_from(data, state, tmp_path, differences):
    state.nimg, state.ada.p = 12_345, 0.25
    Snapshots(tmp_path, open_dataset(data))(state, NOT_DUE)
    assert list(tmp_path.iterdir()) == []
    Snapshots(tmp_path, open_dataset(data))(state, DUE)
    snapshot = snapshots.load(tmp_path / "network-snapshot-000012.pkl")
    for name in ("G_ema", "G", "D"):
        assert differences(getattr(snapshot, name).state_dict(), getattr(state, name).state_dict()) == []
    assert (snapshot.augment_p, snapshot.nimg, snapshot.config) == (0.25, 12_345, state.config.as_dict())
    assert snapshot.dataset == {
        "name": "noise",
        "fingerprint": state.config.fingerprint,
        "num_images": 50,
        "class_names": None,
        "resolution": [16, 16],
        "channels": 1,
    }


def test_the_last_two_checkpoints_are_kept(state, tmp_path):
    checkpoints = Checkpoints(tmp_path, {"options": {}, "data": "d.zip"})
    for nimg in (8, 16, 24):
        state.nimg = nimg
        checkpoints(state, DUE)
    assert nimg_of(tmp_path / "checkpoint.pkl") == 24
    assert nimg_of(tmp_path / "checkpoint-previous.pkl") == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-previous.pkl", "checkpoint.pkl"]
    assert read_container(tmp_path / "checkpoint.pkl", "checkpoint")["data"] == "d.zip"


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_good_one_before_it(state, tmp_path):
    checkpoints = Checkpoints(tmp_path, {})
    for nimg in (8, 16):
        state.nimg = nimg
        checkpoints.save(state)
    (tmp_path / "checkpoint.pkl").write_bytes(b"cut")
    checkpoints = Checkpoints(tmp_path, {}, is_sound=False)
    for nimg, before in ((24, 8), (32, 24)):
        state.nimg = nimg
        checkpoints.save(state)
        assert nimg_of(tmp_path / "checkpoint.pkl") == nimg
        assert nimg_of(tmp_path / "checkpoint-previous.pkl") == before


def test_a_checkpoint_is_written_at_the_next_tick_when_the_last_one_is_old(state, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints(state, NOT_DUE)
    assert list(tmp_path.iterdir()) == []
    now = time.monotonic()
    monkeypatch.setattr(saving.time, "monotonic", lambda: now + saving.CHECKPOINT_SECONDS + 1)
    checkpoints(state, NOT_DUE)
    assert (tmp_path / "checkpoint.pkl").exists()


STAGES = {  # what fails, from the first write to the last rename
    "write": (TrainState, "save"),
    "fsync": (os, "fsync"),
    "replace": (os, "replace"),
    "keep": (saving, "keep_as"),
    "link and copy": (saving.shutil, "copyfile"),
    "rename": (pathlib.Path, "replace"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_fails_a_whole_checkpoint_is_there(state, tmp_path, monkeypatch, stage):
    checkpoints = Checkpoints(tmp_path, {})
    for nimg in (8, 16):
        state.nimg = nimg
        checkpoints(state, DUE)

    def fail(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    state.nimg = 24
    with monkeypatch.context() as patch:
        patch.setattr(*STAGES[stage], fail)
        if stage == "link and copy":
            patch.setattr(os, "link", fail)
        with pytest.raises(UserError if stage != "write" else OSError, match="No space left"):
            checkpoints(state, DUE)
    assert nimg_of(tmp_path / "checkpoint.pkl") == 16
    assert nimg_of(tmp_path / "checkpoint-previous.pkl") in (8, 16)
    checkpoints(state, DUE)
    assert nimg_of(tmp_path / "checkpoint.pkl") == 24
    assert nimg_of(tmp_path / "checkpoint-previous.pkl") == 16
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".part")) == [
        "checkpoint-previous.pkl",
        "checkpoint.pkl",
    ]


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_holds_the_old_contents(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError("no links here")))
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    keep_as(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").write_text("newest")
    (tmp_path / "c").replace(tmp_path / "a")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("newest", "new")

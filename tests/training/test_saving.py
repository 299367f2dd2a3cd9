"""Snapshots and checkpoints: what is in them, and that a whole one is there at every instant."""

import errno
import os
import pathlib
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.snapshots.container import read_container, tensors_of
from sgtool.training import saving
from sgtool.training.faults import Patience
from sgtool.training.saving import Checkpoints, Snapshots, keep_as
from sgtool.training.state import TrainState
from sgtool.training.writer import Writer, bytes_of, copied

DUE, NOT_DUE = SimpleNamespace(is_snapshot=True), SimpleNamespace(is_snapshot=False)


@pytest.fixture
def state(config):
    return TrainState.fresh(config, "cpu")


@pytest.fixture
def said():
    return []


@pytest.fixture
def writer(said, tmp_path):
    """A writer that tells in `said` what it waits for."""
    writer = Writer(Patience(tmp_path, said.append, SimpleNamespace(signal=None)))
    yield writer
    writer.join()


@pytest.fixture
def gate(monkeypatch):
    """Writing that begins when `gate.open` is set; `gate.begun` tells that it is waiting there."""
    gate = SimpleNamespace(open=threading.Event(), begun=threading.Event())
    write = saving.write_container

    def slow(*arguments):
        gate.begun.set()
        assert gate.open.wait(10)
        write(*arguments)

    monkeypatch.setattr(saving, "write_container", slow)
    yield gate
    gate.open.set()


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
    "write": (saving, "write_container"),
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


# --- beside the training


def trained_a_little(state):
    """Change every network and optimizer, as a step does."""
    for network, optimizer in ((state.G, state.opt_G), (state.D, state.opt_D)):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter) * 0.01
        optimizer.step()
    with torch.no_grad():
        for mean in state.G_ema.parameters():
            mean.mul_(0.9)
    state.meter.add("Loss/G/loss", torch.ones(3))
    state.step, state.nimg = state.step + 1, state.nimg + 8


def test_what_is_written_beside_the_training_is_the_same_bytes(data, state, tmp_path, writer):
    trained_a_little(state)
    files = {}
    for name, beside in (("at once", None), ("beside", writer)):
        (tmp_path / name).mkdir()
        snapshots_report = Snapshots(tmp_path / name, open_dataset(data), beside)
        checkpoints = Checkpoints(tmp_path / name, {"data": "d.zip"}, writer=beside, snapshots=snapshots_report)
        for report in (snapshots_report, checkpoints):
            report(state, DUE)
        writer.wait()
        files[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert files["beside"] == files["at once"]
    assert sorted(files["beside"]) == ["checkpoint.pkl", "network-snapshot-000000.pkl"]


def test_training_goes_on_while_a_checkpoint_of_the_moment_before_is_written(state, tmp_path, writer, gate, differences):
    trained_a_little(state)
    before = copied(state.state_dict())
    Checkpoints(tmp_path, {}, writer=writer)(state, DUE)
    assert gate.begun.wait(10)
    trained_a_little(state)
    assert not (tmp_path / "checkpoint.pkl").exists()
    assert not writer.is_idle
    gate.open.set()
    writer.wait()
    assert writer.is_idle
    assert differences(read_container(tmp_path / "checkpoint.pkl", "checkpoint")["state"], before) == []
    assert differences(state.state_dict(), before) != []


def test_a_copy_shares_no_memory_with_the_state(state):
    trained_a_little(state)
    found = {tensor.untyped_storage().data_ptr() for _, tensor in tensors_of(copied(state.state_dict()))}
    assert found.isdisjoint({tensor.untyped_storage().data_ptr() for _, tensor in tensors_of(state.state_dict())})


def test_there_is_never_more_than_one_copy(state, tmp_path, writer, gate):
    checkpoints = Checkpoints(tmp_path, {}, writer=writer)
    checkpoints(state, DUE)
    assert gate.begun.wait(10)
    trained_a_little(state)
    second = threading.Thread(target=checkpoints, args=(state, DUE))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    gate.open.set()
    second.join(10)
    assert not second.is_alive()
    writer.wait()
    assert nimg_of(tmp_path / "checkpoint.pkl") == state.nimg
    assert nimg_of(tmp_path / "checkpoint-previous.pkl") == 0


def test_a_snapshot_and_its_checkpoint_are_written_from_one_copy_of_the_networks(data, state, tmp_path, monkeypatch):
    submitted = []
    writer = SimpleNamespace(submit=lambda moment, write, need: submitted.append((moment, write, need)))
    said = []
    snapshot = Snapshots(tmp_path, open_dataset(data), writer)
    checkpoints = Checkpoints(tmp_path, {}, writer=writer, snapshots=snapshot, log=said.append)
    for report in (snapshot, checkpoints, snapshot, checkpoints):
        report(state, DUE)
    (moment, first, _), (also, second, need), *_ = submitted
    networks = second.args[0]["state"]["networks"]
    assert moment == also == state.step
    assert all(first.args[0].G.state_dict()[name] is tensor for name, tensor in networks["G"].items())
    assert need == bytes_of(state.state_dict())
    assert said == [f"Checkpoints are written beside the training, from a copy of {need / 1e6:.1f} MB in main memory."]


def test_the_copy_of_another_tick_is_not_taken(data, state, tmp_path, writer):
    snapshot = Snapshots(tmp_path, open_dataset(data), writer)
    snapshot(state, SimpleNamespace(is_snapshot=True))
    assert snapshot.take_copy(DUE) is None
    snapshot(state, DUE)
    assert snapshot.take_copy(DUE).keys() == {"G", "D", "G_ema"}
    assert snapshot.take_copy(DUE) is None


def test_what_fails_beside_the_training_is_raised_at_the_next_tick(state, tmp_path, writer, monkeypatch):
    checkpoints = Checkpoints(tmp_path, {"data": object()}, writer=writer)
    checkpoints(state, DUE)
    writer.join()
    with pytest.raises(TypeError, match="which is not data"):
        writer(state, NOT_DUE)
    writer(state, NOT_DUE)
    Checkpoints(tmp_path, {}, writer=writer)(state, DUE)
    writer.wait()
    assert nimg_of(tmp_path / "checkpoint.pkl") == 0


def test_the_last_checkpoint_waits_for_the_one_that_is_being_written(state, tmp_path, writer, gate):
    checkpoints = Checkpoints(tmp_path, {}, writer=writer)
    checkpoints(state, DUE)
    trained_a_little(state)
    threading.Timer(0.1, gate.open.set).start()
    checkpoints.save(state)
    assert nimg_of(tmp_path / "checkpoint.pkl") == state.nimg
    assert nimg_of(tmp_path / "checkpoint-previous.pkl") == 0


def test_a_disk_that_is_full_beside_the_training_makes_it_wait(data, state, tmp_path, writer, said, monkeypatch):
    """The thread fails; the run's own thread tells it, waits, and writes both files."""
    full = SimpleNamespace(tries=3)
    fsync = os.fsync

    def sometimes(descriptor):
        if full.tries:
            full.tries -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sometimes)
    monkeypatch.setattr("sgtool.training.faults.FIRST_WAIT", 0.01)
    snapshot = Snapshots(tmp_path, open_dataset(data), writer)
    checkpoints = Checkpoints(tmp_path, {}, writer=writer, snapshots=snapshot)
    snapshot(state, DUE)
    checkpoints(state, DUE)
    writer.join()
    writer(state, NOT_DUE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pkl", "network-snapshot-000000.pkl"]
    assert len(said) == 2
    assert said[0].startswith(f"Warning: the disk of {tmp_path} is full (")
    assert "Training waits and tries again" in said[0]
    assert said[1].startswith("There is space again: training goes on after")

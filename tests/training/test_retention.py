"""Which snapshots are kept, and what a budget allows."""

import contextlib
import os
from types import SimpleNamespace

import pytest
import torch

from sgtool.errors import UserError
from sgtool.training.retention import Retention, check_space, kept, size_of, sizes, snapshots_in

NETWORK = torch.nn.Linear(500, 500, bias=False)  # 1 MB


def state_with(keep=None, keep_every=None, disk_budget=None, best=()):
    config = SimpleNamespace(keep=keep, keep_every=keep_every, disk_budget=disk_budget)
    return SimpleNamespace(config=config, best=dict(best), G=NETWORK, D=NETWORK, G_ema=NETWORK)


@pytest.fixture
def said():
    return []


@pytest.fixture
def retention(tmp_path, said):
    """In a folder with ten snapshots of 1 kB, kimg 0, 40 ... 360, and what else lies in a run folder."""
    for kimg in range(0, 400, 40):
        (tmp_path / f"network-snapshot-{kimg:06d}.pkl").write_bytes(bytes(1000))
        (tmp_path / f"fakes{kimg:06d}.png").touch()
    for name in (
        "checkpoint.pkl",
        "checkpoint-previous.pkl",
        "log.txt",
        "network-snapshot-mine.pkl",
        "network-snapshot-000040.pkl.bak",
    ):
        (tmp_path / name).touch()
    writer = SimpleNamespace(is_idle=True, wait=lambda: None)
    return Retention(tmp_path, writer, said.append)


def left(retention):
    return [kimg for kimg, _ in snapshots_in(retention.folder)]


ALL = list(range(0, 400, 40))
LARGE = 1000.0  # GB


def test_all_snapshots_are_kept_where_nothing_is_asked_for(retention, said):
    retention.apply(state_with(), is_due=True)
    assert left(retention) == ALL
    assert said == []


def test_the_newest_are_kept_and_nothing_but_snapshots_is_removed(retention):
    before = {path.name for path in retention.folder.iterdir()}
    retention.apply(state_with(keep=3))
    assert left(retention) == [280, 320, 360]
    removed = before - {path.name for path in retention.folder.iterdir()}
    assert removed == {f"network-snapshot-{kimg:06d}.pkl" for kimg in ALL[:7]}


def test_the_best_of_each_metric_is_kept(retention):
    best = {"swd": {"nimg": 80_500}, "fid50k_full": {"nimg": 1, "snapshot_pkl": "network-snapshot-000200.pkl"}}
    retention.apply(state_with(keep=1, best=best))
    assert left(retention) == [80, 200, 360]


def test_of_every_so_many_pictures_the_first_snapshot_is_kept(retention):
    retention.apply(state_with(keep=2, keep_every=100))
    assert left(retention) == [0, 120, 200, 320, 360]
    retention.apply(state_with(keep_every=200))
    assert left(retention) == [0, 200, 360]


@pytest.mark.parametrize(
    ("keep", "every", "best", "expected"),
    [
        (1, None, (), [9]),
        (2, None, (1,), [1, 7, 9]),
        (1, 2.5, (), [1, 4, 7, 9]),
        (9, None, (), [1, 2, 4, 7, 9]),
        (1, None, (3,), [9]),
    ],
)
def test_what_is_kept_is_a_function_of_the_numbers(keep, every, best, expected):
    assert sorted(kept([1, 2, 4, 7, 9], keep, every, best)) == expected
    assert sorted(kept(expected, keep, every, best)) == expected  # a second time removes nothing


def test_nothing_is_removed_while_a_snapshot_is_being_written(retention):
    retention._writer = SimpleNamespace(is_idle=False, wait=lambda: None)
    retention.apply(state_with(keep=1))
    assert left(retention) == ALL


def test_a_snapshot_that_is_due_waits_for_what_is_being_written_before(retention):
    writer = SimpleNamespace(is_idle=False)
    writer.wait = lambda: setattr(writer, "is_idle", True)
    retention._writer = writer
    retention(state_with(keep=1), SimpleNamespace(is_snapshot=True))
    assert left(retention) == [360]


def test_a_budget_removes_the_oldest_and_says_so_before(retention, said):
    state = state_with(best={"swd": {"nimg": 40_000}})
    need = sum(sizes(state))
    state.config.disk_budget = (size_of(retention.folder) - 2500 + need) / 1e9
    there = []
    retention._log = lambda text: (said.append(text), there.append(left(retention)))
    retention.apply(state, is_due=True)
    assert left(retention) == [40, *ALL[4:]]
    assert there == [ALL]
    assert said[0].startswith(f"Warning: with the next snapshot {retention.folder} exceeds --disk-budget ")
    assert said[0].endswith("removing network-snapshot-000000.pkl, network-snapshot-000080.pkl, network-snapshot-000120.pkl")


def test_a_budget_is_looked_at_when_a_snapshot_is_due_only(retention):
    retention.apply(state_with(disk_budget=1e-6))
    assert left(retention) == ALL


def test_a_budget_that_nothing_more_can_be_removed_for_is_told_once(retention, said):
    state = state_with(keep=2, disk_budget=1e-6)
    for _ in range(3):
        retention.apply(state, is_due=True)
    assert left(retention) == [320, 360]
    assert len(said) == 1
    assert "nothing else may be removed" in said[0]


def test_a_budget_for_less_than_two_checkpoints_and_a_snapshot_is_refused(tmp_path):
    assert sizes(state_with()) == (3_000_000, 7_000_000)
    check_space(tmp_path, state_with())
    check_space(tmp_path, state_with(disk_budget=0.017))
    with pytest.raises(UserError, match=r"--disk-budget 0.016: two checkpoints and a snapshot alone take 0.017 GB"):
        check_space(tmp_path, state_with(disk_budget=0.016))


def test_a_disk_without_room_for_a_snapshot_and_three_checkpoints_is_refused(tmp_path, monkeypatch):
    for free, fits in ((24_000_000, True), (23_999_999, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        with contextlib.nullcontext() if fits else pytest.raises(UserError, match="0.0 GB are free, but a snapshot and the"):
            check_space(tmp_path, state_with())


def test_a_file_with_two_names_is_counted_once(tmp_path):
    (tmp_path / "checkpoint.pkl").write_bytes(bytes(1000))
    os.link(tmp_path / "checkpoint.pkl", tmp_path / "checkpoint-previous.pkl")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(10))
    assert size_of(tmp_path) == 1010

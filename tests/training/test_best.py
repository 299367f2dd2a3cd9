"""The best snapshot by each metric, and its second name."""

from types import SimpleNamespace

import pytest

from sgtool.training.best import BestLinks, is_better, note, words
from sgtool.training.saving import Snapshots, snapshot_name
from sgtool.training.state import TrainState


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("fid50k_full", True), ("clean_fid", True), ("kid5k", True), ("ppl2_wend", True), ("swd", True), ("swd16k", True),
        ("pr50k3_full_precision", False), ("pr500_3_recall", False), ("is50k_mean", False), ("density2k", False),
        ("coverage", False), ("is50k_std", None), ("msssim10k", None), ("swd16k_32x32", None), ("memorization_copying", None),
    ],
)  # fmt: skip
def test_less_or_more_is_better_or_neither(name, better):
    assert is_better(name, 1, 2) is better
    assert is_better(name, 2, 1) is (None if better is None else not better)


def test_only_better_finite_values_are_taken_over():
    best = {}
    assert note(best, {"fid1k": 5.0, "msssim10": 0.1}, 1000, "a") == ["fid1k"]
    assert note(best, {"fid1k": float("nan")}, 2000, "b") == note(best, {"fid1k": 6.0}, 2000, "b") == []
    assert words(best, "fid1k", []) == " (best 5 at kimg 1)"
    assert note(best, {"fid1k": 4.0}, 3000, "c") == ["fid1k"]
    assert best == {"fid1k": {"value": 4.0, "nimg": 3000, "snapshot_pkl": "c"}}
    assert (words(best, "fid1k", ["fid1k"]), words(best, "msssim10", [])) == (" (best so far)", "")


@pytest.fixture
def run(config, tmp_path):
    """A state whose snapshots can be written, and how to link the best."""
    state = TrainState.fresh(config, "cpu")
    about = SimpleNamespace(name="x", fingerprint="y", class_names=None, resolution=(16, 16), channels=1, __len__=lambda: 1)
    snapshots = Snapshots.__new__(Snapshots)
    snapshots.folder, snapshots.writer, snapshots.about, snapshots._copy = tmp_path, None, {"name": about.name}, (None, None)

    def write(nimg):
        state.nimg = nimg
        snapshots(state, SimpleNamespace(is_snapshot=True))
        return tmp_path / snapshot_name(state)

    return state, write


def linked(path, link):
    return link.exists() and link.samefile(path)


def test_the_best_snapshot_has_a_second_name_once_it_is_written(run, tmp_path):
    (state, write), links, link = run, BestLinks(tmp_path), tmp_path / "best-swd.pkl"
    tick = SimpleNamespace(done=False)
    note(state.best, {"swd": 5.0}, 1000, "network-snapshot-000001.pkl")
    links(state, tick)
    assert not link.exists()
    first = write(1000)
    links(state, tick)
    assert linked(first, link)
    second = write(2000)
    links(state, tick)
    assert linked(first, link)
    note(state.best, {"swd": 4.0}, 2000, second.name)
    links(state, tick)
    assert linked(second, link)


def test_a_snapshot_of_the_same_thousand_does_not_take_the_name_of_the_best(run, tmp_path):
    (state, write), link = run, tmp_path / "best-swd.pkl"
    best = write(1040)
    note(state.best, {"swd": 5.0}, 1040, best.name)
    BestLinks(tmp_path)(state, SimpleNamespace(done=False))
    before = link.read_bytes()
    assert write(1552) == best
    BestLinks(tmp_path)(state, SimpleNamespace(done=False))  # as after a new start
    assert link.read_bytes() == before


def test_at_the_end_the_last_snapshot_is_waited_for(run, tmp_path):
    state, write = run
    note(state.best, {"swd": 5.0}, 3000, "network-snapshot-000003.pkl")
    BestLinks(tmp_path, SimpleNamespace(wait=lambda: write(3000)))(state, SimpleNamespace(done=True))
    assert (tmp_path / "best-swd.pkl").exists()

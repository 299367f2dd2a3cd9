"""The work folder: what is kept of unfinished work, and for whom."""

from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch

from sgtool.errors import UserError
from sgtool.latents.projection.workplace import FOLDER, Clock, Workplace

PLAN = '{"fingerprint": "one", "batches": %s}'


@contextmanager
def interrupted(outdir):
    """A work folder that is left by Ctrl-C."""
    with suppress(KeyboardInterrupt), Workplace(outdir) as place:
        yield place
        raise KeyboardInterrupt


def test_a_plan_is_taken_up_if_all_it_depends_on_is_the_same(tmp_path):
    with interrupted(tmp_path) as place:
        assert place.begin("one", ["a", "b", "c"], 2) == ([["a", "b"], ["c"]], False)
        place.save({"names": ["a", "b"], "x": torch.arange(3.0), "number": 7})
    with interrupted(tmp_path) as place:
        assert place.begin("one", ["c"], 5) == ([["a", "b"], ["c"]], False)
        work = place.work()
        assert (work["names"], work["number"], work["x"].tolist()) == (["a", "b"], 7, [0, 1, 2])
        assert place.begin("two", ["c"], 5) == ([["c"]], True)
        assert place.work() is None


def test_the_folder_goes_with_the_work_and_an_error_before_any_work_leaves_none(tmp_path):
    with Workplace(tmp_path) as place:
        place.begin("one", ["a"], 1)
        place.save({"names": ["a"]})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError), Workplace(tmp_path):
        raise UserError("a file is in the way.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "[" * 100_000, '{"fingerprint": "one"}', *(PLAN % batches for batches in ("5", "[5]", "[[]]", "[[5]]"))],
)
def test_a_damaged_plan_is_none(tmp_path, text):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "plan.json").write_text(text)
    with Workplace(tmp_path) as place:
        assert place.begin("one", ["a"], 1) == ([["a"]], False)


def test_a_folder_is_one_processs_at_a_time(tmp_path):
    with Workplace(tmp_path), pytest.raises(UserError, match="just now. Wait for it"), Workplace(tmp_path):
        pytest.fail("two are inside")
    with Workplace(tmp_path):
        pass


def test_frames_are_cut_back_to_the_saved_step(tmp_path):
    ws = np.arange(2 * 5 * 3 * 4, dtype=np.float32).reshape(5, 2, 3, 4)
    with Workplace(tmp_path) as place:
        frames = place.frames([2, 3, 4])
        for step in ws:
            frames.put(step)
        frames.close()
        frames = place.frames([2, 3, 4])
        assert not frames.cut(6)
        assert frames.cut(3)
        frames.put(ws[4])
        np.testing.assert_array_equal(np.stack(list(frames.of(1))), ws[[0, 1, 2, 4], 1])
        frames.close()


def test_a_clock_without_seconds_is_never_due():
    assert Clock(0).due()
    assert not Clock(None).due()
    assert not Clock(1000).due()

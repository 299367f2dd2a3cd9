import os
import subprocess
import sys

import pytest

from sgtool.datasets.shards import Resumable
from sgtool.datasets.workplace import Workplace, remove_leftover, work_folder
from sgtool.errors import UserError


def leave(dest, error=None):
    """Begin work, leave something, and end with an error, if any."""
    with Workplace(dest) as place:
        begun = place.begin("fingerprint")
        place.note("plan.json", [1, 2])
        if error is not None:
            raise error
    return begun


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), RuntimeError(), Resumable("full")])
def test_work_that_can_go_on_is_kept(tmp_path, error):
    with pytest.raises(type(error)):
        leave(tmp_path / "d.zip", error)
    with Workplace(tmp_path / "d.zip") as place:
        assert place.begin("fingerprint") == "resumed"
        assert place.noted("plan.json") == [1, 2]


def test_success_and_errors_that_would_come_again_leave_nothing(tmp_path):
    assert leave(tmp_path / "d.zip") == "fresh"
    with pytest.raises(UserError):
        leave(tmp_path / "d.zip", UserError("wrong"))
    assert os.listdir(tmp_path) == []


def test_folders_made_for_a_destination_go_with_an_error_that_would_come_again(tmp_path):
    dest = tmp_path / "a" / "b" / "d.zip"
    with pytest.raises(UserError):
        leave(dest, UserError("wrong"))
    assert os.listdir(tmp_path) == []
    with pytest.raises(RuntimeError):
        leave(dest, RuntimeError())
    assert os.listdir(dest.parent) == [".d.zip.work"]


def test_an_error_before_the_work_is_begun_leaves_earlier_work_alone(tmp_path):
    with pytest.raises(RuntimeError):
        leave(tmp_path / "d.zip", RuntimeError())
    with pytest.raises(UserError), Workplace(tmp_path / "d.zip"):
        raise UserError("--labels lables.csv: no such file")
    with Workplace(tmp_path / "d.zip") as place:
        assert place.begin("fingerprint") == "resumed"
        assert place.noted("plan.json") == [1, 2]


def test_work_with_another_fingerprint_is_removed(tmp_path):
    with pytest.raises(RuntimeError):
        leave(tmp_path / "d.zip", RuntimeError())
    with Workplace(tmp_path / "d.zip") as place:
        (place.folder / "folder").mkdir()
        assert place.begin("another") == "anew"
        assert sorted(os.listdir(place.folder)) == ["fingerprint", "lock"]
        assert place.noted("plan.json") is None


def test_a_note_that_is_damaged_is_none(tmp_path):
    with Workplace(tmp_path / "d.zip") as place:
        (place.folder / "plan.json").write_bytes(b"[1, \xff")
        assert place.noted("plan.json") is None


def test_the_lock_holds_against_other_processes_and_ends_with_its_own(tmp_path):
    code = f"from sgtool.datasets.workplace import Workplace\nwith Workplace({str(tmp_path / 'd.zip')!r}): print('locked')"
    with Workplace(tmp_path / "d.zip"):
        refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "Another run of sgtool prepare writes" in refused.stderr
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "locked\n"


def test_a_leftover_is_removed_and_work_is_not(tmp_path):
    work_folder(tmp_path / "d.zip").mkdir()
    remove_leftover(tmp_path / "d.zip")
    assert os.listdir(tmp_path) == []
    with pytest.raises(RuntimeError):
        leave(tmp_path / "d.zip", RuntimeError())
    remove_leftover(tmp_path / "d.zip")
    assert work_folder(tmp_path / "d.zip").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    work_folder(tmp_path / "d.zip").write_text("a file")
    with pytest.raises(UserError, match="DEST .*d.zip cannot be written: .*File exists. Choose another folder"):
        leave(tmp_path / "d.zip")

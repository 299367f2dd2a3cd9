"""Whatever stops a projection, it goes on as if nothing had been; what is there is not made again."""

import os
import signal

import pytest
from projection_files import Killed, kill_at, names, save_seeds

from sgtool.errors import UserError
from sgtool.latents.file import read_latents
from sgtool.latents.projection import Request, optimise, project_files, search, tuning, workplace


def contents(folder):
    """{name: bytes} of what must not depend on interruptions: latents, pictures and networks."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".pkl", ".json")}
    return files | {path.name: read_latents(path).ws.tobytes() for path in folder.glob("*.npz")}


@pytest.mark.parametrize(
    ("space", "where", "after"), [("w", search.Search, 4), ("w+", search.Search, 9), ("pti", tuning.Tuning, 5)]
)
def test_a_kill_changes_nothing(model, ask, tmp_path, monkeypatch, space, where, after):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6, 7])
    options = {"batch": 2, "space": space, "video": True, "num_steps": 6, "tuning_steps": 3}
    ask(network, folder, "whole", **options)
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        kill_at(patch, where, after)
        with pytest.raises(Killed):
            ask(network, folder, "out", **options)
    assert ".project" in names(tmp_path / "out")
    with monkeypatch.context() as patch:  # only what was not saved is computed again
        kill_at(patch, where, 100)
        _, said = ask(network, folder, "out", **options)
    assert any(line.startswith("Going on from the work in") for line in said)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert ".project" not in names(tmp_path / "out")


def test_what_a_kill_left_of_a_file_goes_and_other_files_stay(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    out = tmp_path / "out"
    (out / ".project").mkdir(parents=True)
    for name in (".proj.png.abc123.part", ".tuned.pkl.x.part", ".project/.work.pkl.x.part", ".mine.png.x.part"):
        (out / name).write_bytes(b"half")
    ask(network, target, "out", video=False)
    assert [name for name in names(out) if name.startswith(".")] == [".mine.png.x.part"]


def test_what_is_saved_is_not_computed_again(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6, 7])
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        kill_at(patch, search.Search, 10)  # the first batch has six steps, the second is killed after four
        with pytest.raises(Killed):
            ask(network, folder, "out", batch=2)
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 2)
        report, said = ask(network, folder, "out", batch=2)
    assert "2 of 3 are projected already." in said
    assert report.number == 3


def test_a_kill_while_files_are_written_loses_no_step(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    with monkeypatch.context() as patch:
        patch.setattr("sgtool.latents.projection.outputs.write_row", lambda *a: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            ask(network, folder, "out")
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 0)
        ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(model, ask, tmp_path, monkeypatch, number):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    step = search.Search.step

    def interrupted(self):
        if self.step_number == 3:
            os.kill(os.getpid(), number)
        return step(self)

    said = []
    monkeypatch.setattr(search.Search, "step", interrupted)
    request = Request(str(network), str(folder), str(tmp_path / "out"), num_steps=6, perceptual="pixels")
    with pytest.raises(SystemExit) as stopped:
        project_files(request, say=said.append)
    assert stopped.value.code == 128 + number
    assert said[-1].startswith("Stopped; what is done is in ")
    monkeypatch.setattr(search.Search, "step", step)
    kill_at(monkeypatch, search.Search, 2)  # four of six steps were saved
    ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_ends_in_a_sentence_and_what_was_saved_before_is_kept(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole", video=True)
    saves, save = [], workplace.write_container

    def until_full(*args):
        saves.append(1)
        if len(saves) > 3:
            raise UserError("work.pkl could not be written: No space left on device.")
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        patch.setattr(optimise, "SHARE_OF_SAVING", 0)
        patch.setattr(workplace, "write_container", until_full)
        with pytest.raises(UserError, match="No space left"):
            ask(network, folder, "out", video=True)
    with monkeypatch.context() as patch:
        kill_at(patch, search.Search, 3)  # three of six steps were saved
        ask(network, folder, "out", video=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_damaged_work_file_costs_its_steps_only(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "whole")
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        kill_at(patch, search.Search, 4)
        with pytest.raises(Killed):
            ask(network, folder, "out")
    (tmp_path / "out" / ".project" / "work.pkl").write_bytes(b"PK\x03\x04 damaged")
    ask(network, folder, "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_options_drop_unfinished_work_and_say_so(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    with monkeypatch.context() as patch:
        patch.setattr(optimise, "SAVE_SECONDS", 0)
        kill_at(patch, search.Search, 4)
        with pytest.raises(Killed):
            ask(network, folder, "out")
    _, said = ask(network, folder, "out", seed=1)
    assert any("unfinished work of other options or pictures, which is dropped" in line for line in said)
    assert not any("Going on" in line for line in said)


def test_finished_pictures_are_kept_and_new_ones_added(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5, 6])
    ask(network, folder, "out")
    first = (tmp_path / "out" / "s5-projected_w.npz").read_bytes()
    save_seeds(folder, network, [7])
    _, said = ask(network, folder, "out")
    assert "2 of 3 are projected already." in said
    assert (tmp_path / "out" / "s5-projected_w.npz").read_bytes() == first
    kill_at(monkeypatch, search.Search, 0)
    report, said = ask(network, folder, "out")
    assert report.number == 3


def test_results_of_other_options_are_replaced_and_said(model, ask, tmp_path):
    network = model()
    target = save_seeds(tmp_path / "in", network, [5]) / "s5.png"
    ask(network, target, "out", video=False)
    first = read_latents(tmp_path / "out" / "projected_w.npz").ws
    _, said = ask(network, target, "out", video=False, space="w+")
    assert any("holds results of other options" in line for line in said)
    assert not (read_latents(tmp_path / "out" / "projected_w.npz").ws == first).all()


def test_two_processes_do_not_write_to_one_folder(model, ask, tmp_path, monkeypatch):
    network = model()
    folder = save_seeds(tmp_path / "in", network, [5])
    step, errors = search.Search.step, []

    def second(self):
        if not errors:
            errors.append(None)
            with pytest.raises(UserError, match=r"Another sgtool project writes to .* just now"):
                ask(network, folder, "out")
        return step(self)

    monkeypatch.setattr(search.Search, "step", second)
    ask(network, folder, "out")
    assert errors

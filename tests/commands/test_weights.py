"""`sgtool weights`: the list, one action at a time, exit codes."""

import pytest
from click.testing import CliRunner

from sgtool.commands.weights import NAMES, weights
from sgtool.detectors import store
from sgtool.detectors.known import KNOWN
from sgtool.errors import UserError


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SGTOOL_OFFLINE", raising=False)
    return lambda *arguments: CliRunner().invoke(weights, arguments)


def test_the_choices_are_the_known_files():
    assert tuple(KNOWN) == NAMES


def test_the_list_says_what_is_there_and_where(run, tmp_path):
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    (folder / "vgg16.pt").touch()
    (folder / "inception.safetensors").touch()
    result = run()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == list(NAMES)
    assert [line.split()[3] for line in lines[: len(NAMES)]] == ["missing", "missing", "missing", "here", "missing"]
    assert lines[-2:] == [f"Folder: {folder}", "Under a name of its own: inception.safetensors"]


def test_one_thing_is_done_at_a_time(run):
    for arguments in (["--fetch", "lpips", "--verify"], ["--import", "x", "--verify"], ["--fetch", "lpips", "--import", "x"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Give one of --fetch, --import and --verify at a time." in result.output


def test_an_unknown_name_is_answered_with_the_known_ones(run):
    result = run("--fetch", "inceptoin")
    assert result.exit_code == 2
    assert "'inception'" in result.output


def test_several_files_are_fetched_and_named(run, monkeypatch, tmp_path):
    asked = []

    def fetch(name, offline, say):
        asked.append((name, offline))
        (tmp_path / name).write_bytes(b"x")
        return tmp_path / name

    monkeypatch.setattr(store, "fetch", fetch)
    result = run("--fetch", "vgg16", "--fetch", "lpips", "--offline")
    assert result.exit_code == 0, result.output
    assert asked == [("vgg16", True), ("lpips", True)]
    assert [line.split(" is ")[0] for line in result.stdout.splitlines()] == [str(tmp_path / "vgg16"), str(tmp_path / "lpips")]


def test_offline_without_the_file_is_one_sentence(run):
    result = run("--fetch", "inception", "--offline")
    assert result.exit_code == 1
    assert result.output.startswith("Error: inception is not in ")
    assert "Traceback" not in result.output


def test_a_bad_file_makes_checking_fail(run, monkeypatch):
    monkeypatch.setattr(store, "verify", lambda: [store.Verdict(True, "a is good."), store.Verdict(False, "b is not.")])
    result = run("--verify")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["ok   a is good.", "BAD  b is not."]
    monkeypatch.setattr(store, "verify", lambda: [store.Verdict(True, "a is good.")])
    assert run("--verify").exit_code == 0


def test_a_file_is_imported_and_named(run, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(store, "take_in", lambda path: seen.append(path) or (path, "x is known."))
    result = run("--import", "some.pt")
    assert (result.exit_code, result.stdout, seen) == (0, "x is known.\n", ["some.pt"])


def test_a_file_that_is_none_is_refused(run, tmp_path):
    (tmp_path / "a.pth").write_text("hello")
    result = run("--import", str(tmp_path / "a.pth"))
    assert result.exit_code == 1
    assert "is neither a file of torch nor of safetensors" in result.output
    assert UserError.exit_code == 1

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sgtool.cli import main
from sgtool.commands.prepare import _start_early
from sgtool.commands.prepare import prepare as command
from sgtool.datasets import open_dataset

DOCUMENT = Path(__file__).parents[2] / "docs" / "prepare.md"


def run(*arguments):
    return CliRunner().invoke(main, ["prepare", *map(str, arguments)])


def refused(*arguments):
    """Run, expect a user's mistake, and return the one message."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)  # no trace
    assert result.output.startswith("Error: ")
    return result.output


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    for i in range(4):
        Image.fromarray(np.random.RandomState(i).randint(0, 256, [8, 8, 3], np.uint8)).save(root / f"{i}.png")
    return root


@pytest.fixture
def truncated(folder):
    data = io.BytesIO()
    Image.fromarray(np.random.RandomState(0).randint(0, 256, [64, 64, 3], np.uint8)).save(data, "PNG")
    (folder / "1b.png").write_bytes(data.getvalue()[:3000])
    return folder


def test_the_digits_become_a_labelled_dataset(tmp_path):
    result = run("demo:digits", tmp_path / "d.zip", "--resolution", "16", "--max-images", "100", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "100 pictures, 16x16, 1 channel (auto: all are grey), 10 classes of" in result.output
    assert "100 enlarged" in result.output
    assert open_dataset(tmp_path / "d.zip").resolution == (16, 16)


def test_nvidias_spelling_works(folder, tmp_path):
    result = run(
        f"--source={folder}", f"--dest={tmp_path / 'd'}", "--max_images=2", "--width=16", "--height=16", "--resize-filter=box"
    )
    assert result.exit_code == 0, result.output
    dataset = open_dataset(tmp_path / "d")
    assert len(dataset) == 2
    assert dataset.resolution == (16, 16)


def test_warnings_go_to_stderr(folder, tmp_path):
    result = run(folder, tmp_path / "d.zip", "--resolution", "9")
    assert "Warning: The width 9 is odd" in result.stderr
    assert "Warning" not in result.stdout


def test_a_truncated_picture_is_skipped_and_listed(truncated, tmp_path):
    result = run(truncated, tmp_path / "d.zip", "--resolution", "8")
    assert result.exit_code == 0, result.output
    assert "1 skipped, all listed in prepare.json:" in result.output
    assert "1b.png: image file is truncated" in result.output
    with zipfile.ZipFile(tmp_path / "d.zip") as archive:
        assert json.loads(archive.read("prepare.json"))["skipped"][0][0] == "1b.png"


def test_strict_refuses_a_truncated_picture_and_leaves_nothing(truncated, tmp_path):
    assert "1b.png: image file is truncated" in refused(truncated, tmp_path / "d.zip", "--resolution", "8", "--strict")
    assert os.listdir(tmp_path) == ["in"]


# -- bad input: one clear sentence, exit code 1


def test_a_missing_path_is_refused(tmp_path):
    assert "nothere does not exist. Give a folder" in refused(tmp_path / "nothere", tmp_path / "d.zip")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    assert "holds nothing. Give a folder" in refused(tmp_path / "in", tmp_path / "d.zip")


def test_a_folder_of_text_files_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    assert "holds 1 files, but none is a picture" in refused(tmp_path / "in", tmp_path / "d.zip")


def test_mixed_sizes_are_refused(folder, tmp_path):
    Image.new("RGB", (20, 10)).save(folder / "z.png")
    assert "0.png is 8x8, but z.png is 20x10" in refused(folder, tmp_path / "d.zip")


def test_a_zip_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "in.zip").write_bytes(b"no zip")
    assert "in.zip cannot be read as a zip" in refused(tmp_path / "in.zip", tmp_path / "d.zip")


def test_labels_for_files_that_are_not_there_are_refused(folder, tmp_path):
    (tmp_path / "l.csv").write_text("0.png,1\n1.png,1\n2.png,0\n3.png,0\nghost.png,0\n")
    message = refused(folder, tmp_path / "d.zip", "--labels", tmp_path / "l.csv")
    assert "it labels ghost.png, which is not in the source (1 such)" in message


def test_pictures_without_labels_are_refused(folder, tmp_path):
    (tmp_path / "l.csv").write_text("0.png,1\n")
    assert "1.png has no label (3 such of 4)" in refused(folder, tmp_path / "d.zip", "--labels", tmp_path / "l.csv")


def test_an_existing_dataset_is_refused_and_stays(folder, tmp_path):
    (tmp_path / "d.zip").write_bytes(b"precious")
    assert "already exists. Choose another name, or add --force" in refused(folder, tmp_path / "d.zip")
    assert (tmp_path / "d.zip").read_bytes() == b"precious"
    assert run(folder, tmp_path / "d.zip", "--force").exit_code == 0
    assert len(open_dataset(tmp_path / "d.zip")) == 4


@pytest.mark.parametrize(
    "option", ["--resolution=big", "--tile=0", "--transform=circle", "--channels=5", "--workers=0", "--max-images=0"]
)
def test_a_bad_value_names_its_option(folder, tmp_path, option):
    assert option.split("=")[0] in refused(folder, tmp_path / "d.zip", option)


def test_source_given_twice_is_refused(folder, tmp_path):
    assert "SOURCE is given twice" in refused(folder, tmp_path / "d.zip", "--source", folder)


def test_a_missing_destination_is_a_usage_error(folder):
    result = run(folder)
    assert result.exit_code == 2
    assert "DEST is missing. Write: sgtool prepare SOURCE DEST" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_so_and_the_same_command_goes_on(tmp_path, number):
    arguments = [sys.executable, "-m", "sgtool", "prepare", "demo:digits", str(tmp_path / "d.zip")]
    arguments += ["--resolution", "256", "--workers", "2"]
    process = subprocess.Popen(
        arguments,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell starts what is in the background without it
    )
    work, deadline = tmp_path / ".d.zip.work", time.monotonic() + 60
    while not list(work.glob("*.index")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (1 if number == signal.SIGINT else 128 + signal.SIGTERM)
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == [".d.zip.work"]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert "Going on with what an earlier run has done" in again.stderr
    assert os.listdir(tmp_path) == ["d.zip"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server on Linux only")
def test_the_server_that_workers_are_forked_from_does_not_hear_ctrl_c(monkeypatch):
    heard = []
    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", lambda: heard.append(signal.getsignal(signal.SIGINT)))
    before = signal.getsignal(signal.SIGINT)
    _start_early()
    assert heard == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_an_error_that_names_a_file_cannot_steer_the_terminal(folder, tmp_path):
    (folder / "0\n\x1b[2J.png").write_bytes(b"nothing")
    message = refused(folder, tmp_path / "d.zip", "--strict")
    assert message.startswith("Error: 0??[2J.png: not a picture in a known format. Mend or remove it")


def test_several_sizes_and_a_holdout_are_told_one_by_one(folder, tmp_path):
    result = run(folder, tmp_path / "d.zip", "--resolution", "8,16x32", "--holdout", "25%")
    assert result.exit_code == 0, result.output
    told = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split(": ")[0].rsplit("/")[-1] for line in told] == [
        *("d-8.zip", "d-8-holdout.zip"),
        *("d-16x32.zip", "d-16x32-holdout.zip"),
    ]
    assert "3 pictures, 16x32" in told[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--holdout", "0%"], "--holdout 0%"),
        (["--holdout", "200%"], "--holdout 200%"),
        (["--holdout", "4"], "some must be left to train on"),
        (["--resolution", "8,8"], "names a size twice"),
        (["--faces-sheet", "x.jpg"], "--faces-sheet goes with --align faces"),
        (["--report", "x.html"], "--report goes with --check"),
        (["--json"], "--json goes with --check"),
        (["--cluster", "nowhere"], "is not the address of a scheduler"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, tmp_path, options, message):
    assert message in refused(folder, tmp_path / "d.zip", *options)
    assert os.listdir(tmp_path) == ["in"]


# -- the check


def test_the_check_tells_what_it_finds_and_writes_no_dataset(truncated, tmp_path):
    (truncated / "copy.png").write_bytes((truncated / "0.png").read_bytes())
    result = run("--check", truncated)
    assert result.exit_code == 0, result.output
    assert "6 pictures, 5 of them can be read" in result.stdout
    assert "copy.png: the same pixels as 0.png" in result.stdout
    found = json.loads(run("--check", truncated, "--json").stdout)
    assert found["kinds"]["truncated"]["pictures"][0]["name"] == "1b.png"
    assert os.listdir(tmp_path) == ["in"]


def test_the_check_makes_a_page_and_replaces_none(folder, tmp_path):
    page = tmp_path / "page.html"
    assert run("--check", folder, "--report", page).exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "already exists" in refused("--check", folder, "--report", page)
    assert run("--check", folder, "--report", page, "--force").exit_code == 0


def test_the_check_looks_at_a_dataset_too(folder, tmp_path):
    assert run(folder, tmp_path / "d.zip").exit_code == 0
    assert "4 pictures, 4 of them can be read" in run("--check", tmp_path / "d.zip", "--max-images", "9").stdout


def test_the_check_refuses_what_it_has_no_use_for(folder, tmp_path):
    assert "--check writes no dataset" in refused("--check", folder, tmp_path / "d.zip")
    assert "Leave --cluster out" in refused("--check", folder, "--cluster", "tcp://x:1")


# -- words


def test_help_has_an_example_that_names_every_source():
    text = run("--help").output
    for example in ("sgtool prepare pictures/", "--labels folders", "--tile 24", "demo:digits"):
        assert example in text


def test_help_does_not_load_torch():
    code = "import sys; from click.testing import CliRunner; from sgtool.cli import main; "
    code += "assert CliRunner().invoke(main, ['prepare', '--help']).exit_code == 0; assert 'torch' not in sys.modules; "
    code += "import sgtool.datasets.prepare; assert {'torch', 'scipy', 'dask'}.isdisjoint(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("option", [name for parameter in command.params for name in parameter.opts if name.startswith("--")])
def test_every_option_is_in_the_documentation(option):
    assert f"`{option}" in DOCUMENT.read_text(encoding="utf-8")


def test_the_documentation_shows_every_choice():
    text = DOCUMENT.read_text(encoding="utf-8")
    for parameter in command.params:
        for choice in getattr(parameter.type, "choices", ()):
            assert f"`{choice}`" in text

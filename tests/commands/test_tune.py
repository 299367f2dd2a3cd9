"""`sgtool tune` as it is typed: a real ladder of two rungs, and every mistake in one sentence."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sgtool.cli import main
from sgtool.commands.train import train as train_command
from sgtool.training import reports
from sgtool.training.pictures import PictureGrid
from sgtool.tuning import judge

SMALL = ["--cfg=tiny", "--cbase=64", "--cmax=8", "--batch", "64", "--kimg=1", "--metrics=none", "--workers=1"]


@pytest.fixture
def data(tmp_path):
    path, rng = tmp_path / "noise.zip", np.random.RandomState(0)
    common = rng.randint(0, 200, (16, 16))
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20):
            file = io.BytesIO()
            Image.fromarray((common + rng.randint(0, 56, (16, 16))).astype(np.uint8)).save(file, "png")
            archive.writestr(f"00000/img{i:08d}.png", file.getvalue())
        archive.writestr("dataset.json", json.dumps({"labels": None}))
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch, one_thread):
    """Small sheets, few pictures measured, no event files."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (3, 2))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
    monkeypatch.setattr(judge, "MOST_PICTURES", 20)


@pytest.fixture
def tune(tmp_path):
    """Function that runs the command: (arguments, data) -> result."""

    def run(*arguments, data=tmp_path / "noise.zip"):
        return CliRunner().invoke(main, ["tune", "--data", str(data), "--outdir", str(tmp_path / "ladder"), *arguments])

    return run


def test_a_ladder_of_two_trainings_ends_with_lines_that_parse_and_is_not_trained_twice(tune, data, tmp_path):
    result = tune("--gammas", "0.5,2", *SMALL, "--mirror")
    assert result.exit_code == 0, result.output
    assert "A ladder of 2 rungs of 1 kimg each: gamma 0.5; gamma 2" in result.output
    assert "Rung 2 of 2 done: swd " in result.output
    new, on = re.findall(r"^  sgtool train (.*)$", result.output, re.MULTILINE)
    words = [word for word in SMALL if word != "--kimg=1"]
    assert new.startswith(f"--outdir runs --data {data} {' '.join(words)} --mirror --gamma ")
    params = train_command.make_context("train", new.split(), parent=None).params
    assert (params["cmax"], params["mirror"], params["gamma"] in (0.5, 2.0)) == (8, True, True)
    params = train_command.make_context("train", on.split(), parent=None).params
    assert (params["kimg"], str(tmp_path / "ladder/gamma") in params["resume"]) == (10, True)
    with Image.open(tmp_path / "ladder/tune.png") as sheet:
        assert sheet.height == 3 * 64 + 2 * 2
    check_runs(
        [json.loads(path.read_text())["config"] for path in sorted((tmp_path / "ladder").glob("*/*/training_options.json"))]
    )
    again = tune("--gammas", "0.5,2", *SMALL, "--mirror")
    assert again.exit_code == 0
    assert again.output.count("is done.") == 2
    assert new in again.output


def check_runs(configs):
    one, two = configs
    assert {name for name in one if one[name] != two[name]} == {"gamma"}
    assert (one["gamma"], two["gamma"]) == (0.5, 2.0)
    assert (one["mirror"], one["cfg"], one["channel_max"], one["seed"], one["on_nan"]) == (True, "tiny", 8, 0, "stop")


def test_a_dry_run_shows_the_rungs_and_one_configuration(tune, data, tmp_path):
    result = tune("--gamma-around", "1", *SMALL, "-n")
    assert result.exit_code == 0
    assert "A ladder of 3 rungs of 1 kimg each: gamma 0.25; gamma 1; gamma 4" in result.output
    assert re.search(r"gamma +0\.25 +# as asked", result.output)
    assert not (tmp_path / "ladder").exists()


@pytest.mark.parametrize("middle", [(), ("--gamma-around", "auto")])
def test_by_default_the_middle_is_the_gamma_of_training(tune, data, middle):
    assert "gamma 0.0002; gamma 0.0008; gamma 0.0032" in tune(*middle, *SMALL, "-n").output


def test_options_of_train_are_read_as_train_reads_them(tune, data):
    output = tune("--gammas=1", *SMALL, "-n", "--glr", "0.001", "--dlr", "0.002", "--augpipe", "xflip,xint", "--aug=fixed").output
    text = " ".join(output.split())
    for words in ("glr 0.001 # as asked", "dlr 0.002 # as asked", 'aug "fixed"', 'augpipe "xflip+xint"', "batch 64 # as asked"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--gammas", "a"], 1, "'a' is not a list of numbers from 0 up. Write them like 0.1,0.5,2."),
        (["--gammas", "-1"], 1, "'-1' is not a list of numbers"),
        (["--gammas", "inf"], 1, "'inf' is not a list of numbers"),
        (["--gammas", "1,,2"], 1, "'1,,2' is not a list of numbers"),
        (["--glr", "0"], 1, "'0' is not a list of numbers from 1e-09 up."),
        (["--gamma-around", "1,2"], 1, "'1,2' is more than one number. List them by --gammas."),
        (["--gamma-around", "wide"], 1, "'wide' is not a list of numbers"),
        (["--gammas", "1", "--gamma-around", "2"], 2, "--gammas and --gamma-around contradict each other."),
        (["--kimg", "0"], 1, "0 is not in the range x>=1"),
        (["--gamma", "1"], 1, "--gamma: a ladder tries several."),
        (["--gama", "1"], 2, "No such option '--gama'."),
        (["--cfg", "huge"], 1, "'huge' is not one of 'auto'"),
        (["--batch", "x"], 1, "'x' is not a valid integer"),
        (["--cfg=tiny", "extra"], 2, "unexpected extra argument (extra)"),
        (["--resume", "nowhere.pkl", "--cfg=tiny"], 1, "nowhere.pkl"),
        (["--cond"], 1, "--cond: noise has no labels."),
    ],
)
def test_a_mistake_is_told_in_one_sentence_and_nothing_is_made(tune, data, tmp_path, arguments, code, words):
    result = tune(*arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not list((tmp_path / "ladder").glob("*/0*"))


def test_data_that_are_not_there_are_named(tune, tmp_path):
    result = tune("--gammas=1", data=tmp_path / "none.zip")
    assert result.exit_code == 1
    assert "none.zip" in result.output
    assert not (tmp_path / "ladder").exists()

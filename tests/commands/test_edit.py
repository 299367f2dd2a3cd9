"""`sgtool edit` as it is typed: finding, showing and using directions, and every mistake in one sentence."""

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sgtool import snapshots
from sgtool.cli import main
from sgtool.commands.edit import Strengths, Use
from sgtool.latents.file import read_latents
from sgtool.networks import build_generator


@pytest.fixture
def network(tmp_path):
    """A snapshot of a network of 8x8 grey pictures with three classes."""
    torch.manual_seed(0)
    size = {"z_dim": 16, "c_dim": 3, "w_dim": 16, "img_resolution": 8, "img_channels": 1}
    G = build_generator(**size, mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 128, "channel_max": 8})
    snapshots.save(snapshots.Snapshot(G), tmp_path / "m.pkl")
    return tmp_path / "m.pkl"


@pytest.fixture
def edit(network, tmp_path):
    """Run `sgtool edit` with that network into the folder `out`."""

    def run(*arguments, outdir=tmp_path / "out"):
        common = ["edit", "--network", network, "--outdir", outdir, "--device", "cpu"]
        return CliRunner().invoke(main, [*map(str, common), *map(str, arguments)])

    return run


def test_directions_are_found_shown_and_used(edit, tmp_path):
    out = tmp_path / "out"
    result = edit(
        "--method", "sefa", "--number", 2, "--samples", 300, "--seeds", "0-1@2", "--layers", "0-1", "--strengths", "-1..1"
    )
    assert (result.exit_code, result.stdout) == (
        0, f"2 directions in {out / 'directions.npz'}\nLook at {out / 'directions.png'} and 2 more\n"
    )  # fmt: skip
    result = edit("--directions", out / "directions.npz", "--seeds", "7", "--class", 1, "--use", "sefa01=-2.5,0=1")
    assert (result.exit_code, result.stdout) == (0, f"Look at {out / 'grid.png'}\n")
    assert read_latents(out / "edited.npz").recipes[0]["made"]["of"]["class"] == 1
    result = edit("--directions", out / "directions.npz", "--class", 1, "--use", "sefa01", "--trunc", 0.5, "--gap", 1)
    assert (result.exit_code, result.stdout) == (0, f"Look at {out / 'strengths-sefa01.png'}\n")


def test_classes_are_learned_from_sorted_pictures(network, edit, tmp_path):
    for number in range(3):
        arguments = ["--network", network, "--seeds", "0-19", "--class", number, "--no-grid", "--device", "cpu"]
        arguments += ["--outdir", tmp_path / "e" / f"c{number}"]
        assert CliRunner().invoke(main, ["generate", *map(str, arguments)]).exit_code == 0
    result = edit("--method", "learned", "--examples", tmp_path / "e", "--class", 0)
    assert result.exit_code == 0
    assert f"3 directions in {tmp_path / 'out' / 'directions.npz'}\n" in result.stdout
    assert result.stderr.count(" of held-out examples are on the right side ") == 3
    assert (tmp_path / "out" / "strengths-c2.png").exists()


def test_the_same_command_finds_the_same_directions(edit, tmp_path):
    for name in "ab":
        assert edit("--method", "pca", "--samples", 500, "--class", 0, outdir=tmp_path / name).exit_code == 0
    assert (tmp_path / "a" / "directions.npz").read_bytes() == (tmp_path / "b" / "directions.npz").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give either --method, to find directions, or --directions FILE"),
        (["--method", "pca", "--directions", "d.npz"], "Give either --method"),
        (["--method", "magic"], "'--method': 'magic' is not one of 'sefa', 'pca', 'learned'."),
        (["--method", "pca", "--use", "0"], "--use does not go with --method."),
        (["--method", "pca", "--examples", "0-9"], "--examples does not go with --method pca."),
        (["--method", "learned", "--number", "3"], "--number does not go with --method learned."),
        (["--method", "learned"], "--examples is missing: latents with --labels FILE, or a folder"),
        (["--method", "learned", "--examples", "0-9"], "--labels is missing: a CSV of lines name,label."),
        (["--method", "learned", "--examples", "0-9", "--labels", "no.csv"], "--labels no.csv cannot be read"),
        (["--method", "learned", "--examples", "none"], "--examples none does not exist. Check the path."),
        (["--method", "pca", "--number", "17"], "--number 17: w of m.pkl has 16 numbers"),
        (["--method", "pca", "--samples", "1"], "'--samples': 1 is not in the range"),
        (["--method", "pca", "--layers", "9"], "--layers 9 does not exist: the network has the layers 0 to 3."),
        (["--method", "pca", "--class", "3"], "--class 3 does not exist"),
        (["--method", "pca", "--strengths", "3..-3"], "'--strengths': 3..-3 leads nowhere."),
        (["--method", "pca", "--strengths", "a..b"], "'--strengths': 'a..b' is no strength."),
        (["--method", "pca", "--trunc", "99"], "--trunc 99 is not a number to work with."),
        (["--method", "pca", "--seeds", "none.npz"], "none.npz is neither a seed nor a file."),
        (["--directions", "none.npz"], "none.npz does not exist."),
        (["--directions", "none.npz", "--number", "3"], "--number does not go with --directions."),
        (["--directions", "none.npz", "--orthogonal-to", "x"], "--orthogonal-to does not go with --directions."),
        (["--directions", "none.npz", "--use", "a=b"], "'--use': 'a=b' is no direction with a strength."),
        (["--directions", "none.npz", "--use", "a=1,b"], "--use has strengths for some directions only."),
        (
            ["--directions", "none.npz", "--use", "a=1", "--strengths", "1"],
            "--strengths are the columns of sheets, but --use has",
        ),
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_code_one(edit, tmp_path, arguments, words):
    result = edit(*(["--class", "0"] if "--class" not in arguments else []), *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "directions.npz").exists()


def test_one_direction_by_name_and_by_number_is_refused(edit, tmp_path):
    assert edit("--method", "pca", "--number", 2, "--samples", 100, "--class", 0).exit_code == 0
    result = edit("--directions", tmp_path / "out" / "directions.npz", "--class", 0, "--use", "pca01=1,1=2")
    assert (result.exit_code, result.stderr) == (
        1, "Error: --use has one direction twice, by its name and by its number. Leave one of them.\n"
    )  # fmt: skip


def test_an_unknown_direction_is_told_with_those_that_exist(edit, tmp_path):
    assert edit("--method", "pca", "--number", 2, "--samples", 100, "--class", 0).exit_code == 0
    result = edit("--directions", tmp_path / "out" / "directions.npz", "--class", 0, "--use", "smile=1")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: --use smile: there is no such direction, but pca00, pca01. Give one of them, or its number from 0.\n"
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("-3..3", [-3, -2, -1, 0, 1, 2, 3]),
        ("-1..1:0.5", [-1, -0.5, 0, 0.5, 1]),
        ("0..1:0.1", [round(0.1 * i, 1) for i in range(11)]),
        ("0..2.5", [0, 1, 2]),
        ("-2, 0,+2.5e0,.5", [-2, 0, 2.5, 0.5]),
        ("1..1", [1]),
    ],
)
def test_strengths_are_numbers_and_ranges(text, numbers):
    np.testing.assert_allclose(Strengths().convert(text, None, None), numbers, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "a", "1..", "..3", "1-3", "3..1", "0..1:0", "0..1:-1", "nan", "1e999", "0..1e9", "-1001", "0..1:1e-320", "٣"],
)
def test_what_are_no_strengths_is_refused(text):
    with pytest.raises(click.BadParameter):
        Strengths().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("smile=2,age=-1", {"smile": 2, "age": -1}),
        (" 0 = 1.5 ", {"0": 1.5}),
        ("smile,age", {"smile": None, "age": None}),
        ("smile,age=1", {"smile": None, "age": 1}),
        ("a=b=2", {"a=b": 2}),
    ],
)
def test_directions_to_use_have_names_and_strengths(text, use):
    assert Use().convert(text, None, None) == use


@pytest.mark.parametrize("text", ["", ",", "a=", "=1", "a=x", "a=nan", "a=1e999", "a=1001", "a=1,a=2", "a,,b"])
def test_what_is_no_direction_to_use_is_refused(text):
    with pytest.raises(click.BadParameter):
        Use().convert(text, None, None)

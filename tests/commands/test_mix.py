"""`sgtool mix` as it is typed: what it writes and prints, and every mistake in one sentence."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_generator


@pytest.fixture
def network(tmp_path, one_thread):
    torch.manual_seed(0)
    sizes = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "img_channels": 3}
    G = build_generator(
        c_dim=0, **sizes, mapping_kwargs={"num_layers": 2}, synthesis_kwargs={"channel_base": 128, "channel_max": 8}
    )
    G.mapping.w_avg.normal_()
    snapshots.save(snapshots.Snapshot(G), tmp_path / "x.pkl")
    return tmp_path / "x.pkl"


def mix(*arguments):
    return CliRunner().invoke(main, ["mix", "--device", "cpu", *map(str, arguments)])


def recipe(path):
    with Image.open(path) as picture:
        return json.loads(picture.info["sgtool"])


def test_nvidias_command_works(network, tmp_path):
    options = ["--rows=85,100", "--cols=55,821", "--styles=0-3", "--trunc=0.7", "--noise-mode=none", f"--outdir={tmp_path}/o"]
    result = mix(f"--network={network}", *options)
    assert (result.exit_code, result.stdout) == (0, f"8 pictures in {tmp_path}/o, all on {tmp_path}/o/grid.png\n")
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {"grid.png"} | {f"{a}-{b}.png" for a in (85, 100) for b in (55, 821)} | {
        f"{seed}-{seed}.png" for seed in (85, 100, 55, 821)
    }
    assert recipe(tmp_path / "o" / "85-55.png")["styles"] == "0-3"


def test_all_options_reach_the_pictures(network, tmp_path):
    out = tmp_path / "o"
    result = mix(
        "--network", network, "--rows", "0-1", "--cols", "2", "--styles", "coarse", "--styles", "5", "--trunc", "0.5",
        "--trunc-cutoff", "4", "--noise-mode", "random", "--no-singles", "--no-labels", "--enlarge", "2", "--gap", "3",
        "--batch", "1", "--precision", "fp32", "--offline", "--outdir", out,
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, f"all on {out}/grid.png\n")
    assert [path.name for path in out.iterdir()] == ["grid.png"]
    with Image.open(out / "grid.png") as picture:
        assert picture.size == (2 * 35 - 3, 6 * 35 - 3)
    made = recipe(out / "grid.png")
    assert (made["styles"], made["noise_mode"]) == (["coarse", "5"], "random")
    assert made["rows"][1] == {"seed": 1, "class": None, "truncation_psi": 0.5, "truncation_cutoff": 4}


def test_latents_of_every_kind_can_be_rows_and_columns(network, tmp_path):
    np.savez(tmp_path / "w.npz", w=np.random.RandomState(0).randn(2, 6, 8).astype(np.float32))
    result = mix("--network", network, "--rows", f"{tmp_path}/w.npz", "--cols", f"3,0.5*3+0.5*{tmp_path}/w.npz[1]",
                 "--no-grid", "--outdir", tmp_path / "o")  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, f"8 pictures in {tmp_path}/o\n")
    assert (tmp_path / "o" / "w-0000_seed0003+w-0001.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--styles", "6"], "--styles 6 does not exist: the network has the layers 0 to 5."),
        (["--styles", "upper"], "'--styles': 'upper' is not a list of layer numbers. Write them like 0-6, or coarse, middle or"),
        (["--styles", ""], "'--styles': '' is not a list of layer numbers"),
        (["--rows", ""], "'--rows': it is empty."),
        (["--cols", "9-1"], "'--cols': the range 9-1 runs backwards. Write 1-9."),
        (["--cols", "none.npz"], "none.npz is neither a seed nor a file."),
        (["--trunc", "99"], "--trunc 99 is not a number to work with."),
        (["--no-grid", "--no-singles"], "--no-grid and --no-singles leave nothing to write."),
        (["--class", "-1"], "'--class': -1 is not in the range x>=0."),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_sentence_and_exit_code_one(network, tmp_path, options, words):
    result = mix("--network", network, "--rows", "0", "--cols", "1", "--outdir", tmp_path / "o", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists() or list((tmp_path / "o").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(network, tmp_path):
    result = mix("--network", network, "--rows", "0", "--cols", "1", "--outdir", network / "o")
    assert result.exit_code == 1
    assert "the folder cannot be created" in result.stderr

"""`sgtool blend` as it is typed."""

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import snapshots
from sgtool.cli import main
from sgtool.networks import build_generator

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a.pkl and b.pkl, which is a.pkl trained a little further, and apart.pkl."""
    size = {"c_dim": 0, "img_resolution": 8, "img_channels": 3}
    for name, seed in (("a", 1), ("b", 1), ("apart", 2)):
        torch.manual_seed(seed)
        G = build_generator(z_dim=16, w_dim=16, **size, synthesis_kwargs={"channel_base": 64, "channel_max": 8})
        noise = torch.Generator().manual_seed(seed)
        for parameter in G.parameters():
            parameter.data += torch.randn(parameter.shape, generator=noise)
            parameter.data += torch.randn(parameter.shape) * 0.1 * (name == "b")
        snapshots.save(snapshots.Snapshot(G), tmp_path / f"{name}.pkl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["blend", *map(str, arguments)])


def test_it_says_what_was_written_and_whose_layers_are_where(folder):
    result = run("a.pkl", "b.pkl", "--at", 8, "--out", "out.pkl", "--sweep", "cuts.png", "--seeds", "0,3", "--device", "cpu")
    assert result.exit_code == 0
    assert result.stdout == ("out.pkl: 4 of A, 8 of B, mapping of A\nA | blend | B: out.png\nall cuts: cuts.png\n")
    assert "A and B are related: what their layers have learned correlates 0.9" in result.stderr
    assert snapshots.load("out.pkl").config["blend"]["weights"] == [0.0, 1.0]


def test_options_reach_the_blend(folder):
    result = run(
        "a.pkl", "b.pkl", "--weights", "0,0.5", "--mapping", "B", "--out", "out.pkl", "--preview", "look.png", "--seeds", "0-2",
        "--trunc", "0.5", "--trunc-cutoff", 2, "--noise-mode", "none", "--batch", 2, "--enlarge", 2, "--gap", 1,
        "--precision", "fp32", "--offline",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "4 of A, 8 with 50 % of B, mapping of B\n" in result.stdout
    assert snapshots.load("out.pkl").config["blend"]["mapping"] == "b"
    with Image.open("look.png") as sheet:
        assert sheet.height >= 3 * 16 + 2
        for words in ('"truncation_psi": 0.5', '"truncation_cutoff": 2', '"noise_mode": "none"', '"enlarge": 2'):
            assert words in sheet.info["sgtool"]
    assert not (folder / "out.png").exists()


def test_no_preview_and_preview_alone(folder):
    assert run("a.pkl", "b.pkl", "--at", 8, "--width", 2, "--out", "out.pkl", "--no-preview").exit_code == 0
    assert not (folder / "out.png").exists()
    assert run("a.pkl", "b.pkl", "--at", 8, "--preview", "look.png").stdout == "A | blend | B: look.png\n"


def test_models_trained_apart_are_warned_of(folder):
    result = run("a.pkl", "apart.pkl", "--sweep", "cuts.png", "--seeds", 0)
    assert result.exit_code == 0
    assert "Warning: The layers of A and B have nothing in common" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weights", "0,x"], "'--weights': '0,x' is not a list of numbers. Write them like 0,0,0.3,1."),
        (["--weights", "0,nan"], "'--weights': '0,nan' is not a list of numbers."),
        (["--weights", ""], "is not a list of numbers."),
        (["--weights", "0,2", "--out", "out.pkl"], "--weights: 2 is out of range."),
        (["--at", "32", "--out", "out.pkl"], "--at 32: no block of these models has this resolution. They have 4, 8;"),
        (["--at", "x"], "'--at': 'x' is not a valid integer."),
        (["--mapping", "c"], "'--mapping': 'c' is not one of 'a', 'b'"),
        (["--seeds", "9-2"], "the range 9-2 runs backwards."),
        (["--sweep", "c.png", "--seeds", "none.npz"], "none.npz is neither a seed nor a file."),
        ([], "Nothing is to be written:"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_one(folder, arguments, words):
    result = run("a.pkl", "b.pkl", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.pkl", "apart.pkl", "b.pkl"]


def test_one_model_alone_is_a_usage_error(folder):
    assert run("a.pkl").exit_code == 2

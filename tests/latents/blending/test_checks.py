"""What is refused, before anything is written."""

import pytest
from model_files import models, write
from PIL import Image

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.latents.blending import blend_files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Nothing is to be written: add --out blended.pkl, --preview sheet.png or --sweep sheet.png."),
        ({"out": "x.pkl"}, "Which layers are whose is not told: add --at 32"),
        ({"at": 8}, "Nothing is to be written"),
        ({"at": 8, "sweep": "x.png"}, "--at and --weights make a blend: add --out blended.pkl"),
        ({"at": 8, "weights": [0, 0, 1], "out": "x.pkl"}, "--at and --weights both say"),
        ({"weights": [0, 0, 1], "width": 2, "out": "x.pkl"}, "--width makes a cut smooth; give it with --at or --sweep."),
        ({"at": 8, "width": -1, "out": "x.pkl"}, "--width -1 is out of range"),
        ({"at": 8, "width": float("nan"), "out": "x.pkl"}, "--width nan is out of range"),
        (
            {"at": 12, "out": "x.pkl"},
            "--at 12: no block of these models has this resolution. They have 4, 8, 16;",
        ),
        ({"weights": [0, 1], "out": "x.pkl"}, "--weights has 2 numbers. Give 3, one for each block (4, 8, 16), or 6, one for"),
        ({"weights": [1], "out": "x.pkl"}, "--weights has 1 number."),
        ({"weights": [0, 1.5, 1], "out": "x.pkl"}, "--weights: 1.5 is out of range. Weights go from 0, all of A, to 1"),
        ({"weights": [0, float("nan"), 1], "out": "x.pkl"}, "--weights: nan is out of range."),
        ({"at": 8, "out": "x.pt"}, "x.pt: it is written as .pkl, which sgtool convert turns into other kinds."),
        ({"sweep": "x.jpg"}, "x.jpg: it is written as .png. Choose a name that ends in .png."),
        ({"at": 8, "out": "none/x.pkl"}, "Make it first."),
        ({"at": 8, "out": "a.pkl/x.pkl"}, "there is no folder"),
        ({"at": 8, "out": "a.pkl"}, "a.pkl is one of the models to blend."),
        ({"at": 8, "out": "stranger.pkl"}, "stranger.pkl is there already and is no blend made by sgtool."),
        ({"at": 8, "out": "folder.pkl"}, "folder.pkl is there already and is no blend made by sgtool."),
        ({"at": 8, "out": "mine.pkl"}, "mine.png is there already and is no picture made by sgtool."),
        ({"at": 8, "out": "x.pkl", "sweep": "x.png"}, "--sweep and --preview are both"),
        ({"at": 8, "out": "n" * 300 + ".pkl"}, "cannot be written: File name too long."),
        ({"sweep": "x.png", "truncation_psi": 99}, "--trunc 99 is not a number to work with."),
        ({"at": 8, "out": ""}, "--out : this is no name of a file."),
        ({"sweep": ".."}, "--sweep"),
        ({"sweep": "x.png", "seeds": []}, "No latents are given."),
    ],
)
def test_mistakes_are_told_before_anything_is_written(a, b, stranger, tmp_path, options, message):
    (tmp_path / "folder.pkl").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    options = {key: tmp_path / value if key in ("out", "sweep") and value else value for key, value in options.items()}
    with pytest.raises(UserError) as caught:
        blend_files(a, b, **options)
    assert message in caught.value.message
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_blend_is_replaced_by_another_and_a_sheet_too(a, b, tmp_path):
    for at in (8, 16):
        blend_files(a, b, at=at, out=tmp_path / "out.pkl", seeds=[0])
    assert snapshots.load(tmp_path / "out.pkl").config["blend"]["at"] == 16
    with Image.open(tmp_path / "out.png") as sheet:
        assert '"at": 16' in sheet.info["sgtool"]


def test_a_blend_that_is_a_source_is_not_replaced(a, b, tmp_path):
    blend_files(a, b, at=8, out=tmp_path / "out.pkl", preview=False)
    with pytest.raises(UserError, match="is one of the models to blend"):
        blend_files(tmp_path / "out.pkl", b, at=8, out=tmp_path / "out.pkl")


def test_the_same_model_twice_is_refused(a, tmp_path):
    copy = tmp_path / "copy.pkl"
    copy.write_bytes(a.read_bytes())
    with pytest.raises(UserError, match=r"A and B are both .*a\.pkl: a blend would be the same again"):
        blend_files(a, a, sweep=tmp_path / "cuts.png")
    with pytest.raises(UserError, match=r"hold the same network: a blend would be the same again"):
        blend_files(a, copy, sweep=tmp_path / "cuts.png")


def test_models_that_do_not_fit_are_refused_by_what_differs(a, tmp_path):
    other = write(*models(tmp_path / "other.pkl", img_resolution=8, img_channels=1))
    with pytest.raises(UserError) as caught:
        blend_files(a, other, sweep=tmp_path / "cuts.png")
    words = "They differ in pictures of 16x16 and 8x8; channels 3 and 1; feature maps 16 16 16 and 16 16 (A and B)."
    assert f"a.pkl (A) and other.pkl (B) cannot be blended. {words}" in caught.value.message


def test_a_model_that_diverged_is_refused_before_anything_is_written(a, tmp_path):
    snapshot, path = models(tmp_path / "nan.pkl")
    snapshot.G_ema.mapping.fc0.weight.data[0] = float("nan")
    write(snapshot, path)
    with pytest.raises(UserError, match=r"nan\.pkl has weights that are not finite numbers: its training diverged"):
        blend_files(a, path, at=8, out=tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()


def test_a_missing_model_is_told(a, tmp_path):
    with pytest.raises(UserError, match=r"none\.pkl"):
        blend_files(a, tmp_path / "none.pkl", sweep=tmp_path / "cuts.png")


def test_a_file_that_cannot_be_written_at_the_end_leaves_nothing(a, b, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"out\.pkl could not be written: No space left on device"):
        blend_files(a, b, at=8, out=tmp_path / "out.pkl", seeds=[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pkl", "b.pkl"]

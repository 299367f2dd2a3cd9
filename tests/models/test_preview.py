"""The preview: eight seeds on a sheet, as `generate` makes them."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import latents
from sgtool.errors import UserError
from sgtool.models import write_preview
from sgtool.networks import build_generator
from sgtool.snapshots import Snapshot, save


def model(tmp_path, **changes):
    torch.manual_seed(0)
    settings = {"z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": [8, 16], "img_channels": 3} | changes
    settings |= {"synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}
    G = build_generator(**settings)
    if hasattr(G.mapping, "w_avg"):
        G.mapping.w_avg.normal_()
    save(Snapshot(G), tmp_path / "model.pkl")
    return tmp_path / "model.pkl", G.eval()


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_the_sheet_shows_seeds_and_classes_in_turn(one_thread, tmp_path, c_dim):
    path, G = model(tmp_path, c_dim=c_dim)
    write_preview(path, tmp_path / "sheet.png", 0.7)
    classes = [0, 1, 2, 0, 1, 2, 0, 1] if c_dim else None
    expected = list(latents.generate(G, range(8), classes, truncation_psi=0.7))
    sheet = pixels(tmp_path / "sheet.png")
    assert sheet.shape == (16, 64, 3)
    for i, picture in enumerate(expected):
        row, column = divmod(i, 4)
        assert (sheet[row * 8 : row * 8 + 8, column * 16 : column * 16 + 16] == picture).all()


def test_a_preview_is_replaced_and_carries_its_recipe_another_file_is_not(one_thread, tmp_path):
    path, _ = model(tmp_path)
    write_preview(path, tmp_path / "sheet.png")
    write_preview(path, tmp_path / "sheet.png", 0.5)
    with Image.open(tmp_path / "sheet.png") as picture:
        recipe = json.loads(picture.info["sgtool"])
    assert (recipe["network"], recipe["seeds"], recipe["truncation_psi"]) == ("model.pkl", "0-7", 0.5)
    (tmp_path / "other.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already and is no picture made by sgtool"):
        write_preview(path, tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() == b"mine"


def test_truncation_without_an_average_is_refused(tmp_path):
    path, _ = model(tmp_path, mapping_kwargs={"w_avg_beta": None})
    with pytest.raises(UserError, match=r"--trunc 0.5: .*model.pkl has no average"):
        write_preview(path, tmp_path / "sheet.png", 0.5)
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("name", ["snapshot_sg3_t.pkl", "snapshot_sg3_r.pkl"])
def test_a_network_that_cannot_be_run_is_refused_in_a_sentence(golden, tmp_path, name):
    with pytest.raises(UserError, match=r"its G_ema is a StyleGAN3-[tr] \(alias-free\) generator, which this version"):
        write_preview(golden / name, tmp_path / "sheet.png")


def test_a_preview_does_not_wait_for_a_pipe_and_a_name_too_long_is_told(one_thread, tmp_path):
    path, _ = model(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match="is there already and is no picture made by sgtool"):
        write_preview(path, tmp_path / "pipe.png")
    with pytest.raises(UserError, match="could not be written"):
        write_preview(path, tmp_path / ("x" * 300 + ".png"))

"""A folder of pictures in, a trained generator out: prepare, train and generate, as they are typed, on real pictures."""

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.linear_model import LogisticRegression

from sgtool import snapshots
from sgtool.cli import main
from sgtool.datasets import open_dataset

pytestmark = pytest.mark.slow

TRAIN = "--cond=1 --cfg=tiny --cbase=256 --cmax=32 --batch=8 --glr=0.004 --dlr=0.004 --gamma=0.02 --aug=noaug --kimg=8"
REPORT = "--tick=2 --snap=50"


def sgtool(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Digits of 16x16, prepared and trained on for 8 kimg: `digits.zip` and `run/`."""
    folder = tmp_path_factory.mktemp("first-light")
    sgtool("prepare", "demo:digits", folder / "digits.zip", "--resolution", "16")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small gain nothing from more, and lose where other processes compute too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgtool.training.reports._tensorboard", lambda folder, nimg: None)
        sgtool(
            "train", "--outdir", folder / "runs", "--data", folder / "digits.zip", "--device=cpu", *TRAIN.split(), *REPORT.split()
        )
    torch.set_num_threads(threads)
    (run,) = (folder / "runs").iterdir()
    run.rename(folder / "run")
    return folder


def generated(network, outdir):
    """200 pictures of a snapshot, by `sgtool generate`: arrays `[200, 16, 16]` and the class asked for."""
    sgtool("generate", "--network", network, "--seeds", "0-19", "--class", "0-9", "--outdir", outdir, "--device", "cpu")
    files = sorted(outdir.glob("seed*-class*.png"))
    pictures = []
    for file in files:
        with Image.open(file) as picture:
            pictures.append(np.asarray(picture))
    return np.stack(pictures), np.array([int(re.search(r"class(\d+)", file.name)[1]) for file in files])


@pytest.fixture(scope="module")
def reader(folder):
    """A linear classifier fitted on the real digits: function from pictures to digits."""
    dataset = open_dataset(folder / "digits.zip")
    pictures = np.stack([dataset[i][0] for i in range(len(dataset))])
    model = LogisticRegression(C=0.1, max_iter=2000).fit(pictures.reshape(len(dataset), -1) / 255, dataset.labels)
    return lambda pictures: model.predict(pictures.reshape(len(pictures), -1) / 255)


def test_the_run_has_its_snapshots_pictures_and_lines(folder):
    names = {path.name for path in (folder / "run").iterdir()}
    assert {"network-snapshot-000000.pkl", "network-snapshot-000008.pkl", "checkpoint.pkl", "reals.png"} <= names
    assert {"fakes_init.png", "fakes000008.png", "training_options.json", "log.txt"} <= names
    rows = [json.loads(line) for line in (folder / "run" / "stats.jsonl").read_text().splitlines()]
    assert [row["nimg"] for row in rows] == [8, 2008, 4008, 6008, 8000]
    snapshot = snapshots.load(folder / "run")
    assert (snapshot.nimg, snapshot.dataset["num_images"], snapshot.G_ema.c_dim) == (8000, 1797, 10)
    assert all(bool(tensor.isfinite().all()) for tensor in snapshot.G_ema.state_dict().values())


def test_the_sliced_wasserstein_distance_falls_to_half_or_less(folder):
    rows = [json.loads(line) for line in (folder / "run" / "metric-swd.jsonl").read_text().splitlines()]
    assert [row["nimg"] for row in rows] == [8, 8000]
    assert rows[1]["results"]["swd"] < rows[0]["results"]["swd"] / 2


def test_generated_digits_become_readable(folder, reader, tmp_path):
    shares = []
    for name in ("000000", "000008"):
        pictures, classes = generated(folder / "run" / f"network-snapshot-{name}.pkl", tmp_path / name)
        assert pictures.shape == (200, 16, 16)
        shares.append(float((reader(pictures) == classes).mean()))
    start, end = shares
    assert start < 0.2
    assert end > 0.4


def test_the_reader_knows_the_real_digits(folder, reader):
    dataset = open_dataset(folder / "digits.zip")
    pictures = np.stack([dataset[i][0] for i in range(0, len(dataset), 7)])
    assert (reader(pictures) == dataset.labels[::7]).mean() > 0.95


def test_a_seed_is_the_same_picture_from_the_command_and_from_the_network(folder, tmp_path):
    sgtool("generate", "--network", folder / "run", "--seeds", "85", "--class", "3", "--outdir", tmp_path, "--device", "cpu")
    G = snapshots.load(folder / "run").G_ema
    z = torch.from_numpy(np.random.RandomState(85).randn(1, G.z_dim)).float()
    with torch.no_grad():
        expected = (G(z, torch.eye(10)[3:4], noise_mode="const") * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    (file,) = tmp_path.glob("seed0085*.png")
    with Image.open(file) as picture:
        found = np.asarray(picture)
    assert np.abs(found.astype(int) - expected[0, 0].numpy()).max() <= 1


def test_training_goes_on_with_more_pictures(folder):
    result = sgtool("train", "--resume", folder / "run", "--dry-run", "--kimg", "16", "--device", "cpu")
    assert re.search(r"\n +kimg +16 +# as asked\n", result.stdout)

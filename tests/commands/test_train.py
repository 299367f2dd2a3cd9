"""`sgtool train` as it is typed: what it prints and writes, and every mistake in one sentence."""

import errno
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sgtool import files, snapshots
from sgtool.cli import main
from sgtool.commands.train import train as command
from sgtool.snapshots.container import read_container
from sgtool.training import attempts, reports
from sgtool.training.pictures import PictureGrid

DOCS = Path(__file__).parents[2] / "docs" / "train.md"
SMALL = ["--cfg=tiny", "--cbase=64", "--cmax=8", "--batch=16", "--kimg=1", "--metrics=none", "--tick=0.1"]


def write_dataset(path, size=(16, 16), channels=1, number=20, classes=2):
    rng, labels = np.random.RandomState(0), []
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(number):
            data, name = io.BytesIO(), f"00000/img{i:08d}.png"
            shape = size if channels == 1 else (*size, channels)
            Image.fromarray(rng.randint(0, 256, shape, dtype=np.uint8)).save(data, "png")
            archive.writestr(name, data.getvalue())
            labels.append([name, i % classes] if classes else None)
        archive.writestr("dataset.json", json.dumps({"labels": labels if classes else None}))
    return path


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "noise.zip")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small sheets, no event files, one thread."""
    monkeypatch.setattr(PictureGrid, "_layout", lambda self, resolution, device: (3, 2))
    monkeypatch.setattr(reports, "_tensorboard", lambda folder, nimg: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def train(tmp_path, data):
    """Function that runs the command on the dataset into runs/: (*arguments, data=..., outdir=...) -> result."""

    def invoke(*arguments, data=data, outdir=tmp_path / "runs"):
        given = [] if data is None else ["--data", str(data)]
        given += [] if outdir is None else ["--outdir", str(outdir)]
        return CliRunner().invoke(main, ["train", *given, "--device=cpu", *map(str, arguments)])

    return invoke


@pytest.fixture
def refused(train, tmp_path):
    """Function that asserts that the command ends with one message that has some words, and makes no run folder."""

    def check(*arguments, words, **given):
        before = sorted((tmp_path / "runs").iterdir()) if (tmp_path / "runs").is_dir() else []
        result = train(*arguments, **given)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        assert result.stderr.startswith("Error: ")
        assert words in result.stderr
        assert len(re.findall(r"[.!?](?:\s|$)", result.stderr)) <= 3, "a sentence or two"
        assert "Traceback" not in result.output
        assert (sorted((tmp_path / "runs").iterdir()) if (tmp_path / "runs").is_dir() else []) == before
        return result

    return check


# --- what it prints and writes


def test_a_dry_run_prints_the_configuration_with_reasons_and_writes_nothing(train, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = train("-n")
    assert result.exit_code == 0, result.output
    assert sorted(tmp_path.iterdir()) == before
    printed = " ".join(result.stdout.split())
    assert f"Data: {tmp_path / 'noise.zip'}, 20 pictures of 16x16, 1 channel, labels not used" in printed
    assert "The data has labels (2 classes); --cond 1 trains with them." in printed
    assert "batch 32 # min(4096 / resolution, 32) per GPU" in printed
    assert "gamma 0.0016 # 0.0002 * 16 * 16 / batch 32" in printed
    assert printed.endswith("Dry run: nothing was written.")


NVIDIA = [
    "--gpus=1 --dry-run",
    "--gpus=1 --mirror=1 --cond=1 --aug=ada --cfg=auto --snap=10 --gamma=.1 -n",
    "--gpus=1 --cfg=paper256 --mirror=1 --metrics=none --seed=3 --subset=10 --workers=2 --nhwc=true --allow-tf32=false -n",
    "--gpus=1 --cfg=cifar --aug=fixed --p=0.3 --augpipe=bgcfnc --fp32=1 --nobench=1 --resume=noresume --kimg=1000 --batch=32 -n",
    "--gpus=1 --target=0.7 --freezed=2 --batch=16 --batch-gpu=8 --glr=0.001 --dlr=0.002 --cbase=1024 --cmax=32 -n",
    "--gpus=1 --map-depth=4 --mbstd-group=8 --desc=first --tick=1 --batch_gpu=16 --dry_run --map_depth=3 --p_max=0.7",
]


@pytest.mark.parametrize("line", NVIDIA)
def test_nvidias_command_lines_are_understood(train, line):
    result = train(*line.split())
    assert (result.exit_code, result.stderr) == (0, ""), result.output


def test_underscores_are_dashes(train):
    outputs = {train(option, "--batch=16", "-n").stdout for option in ("--batch-gpu=4", "--batch_gpu=4")}
    assert len(outputs) == 1
    assert re.search(r"\n +batch_gpu +4 +# as asked\n", outputs.pop())


def test_a_run_writes_its_folder(train, tmp_path):
    result = train(*SMALL, "--cond=1", "--mirror=1", "--snap=5", "--gamma=.1", "--desc=first")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "00000-noise-cond-mirror-tiny1-gamma0.1-kimg1-batch16-first"
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "checkpoint-previous.pkl",
        "checkpoint.pkl",
        "control.json",
        "events.jsonl",
        "fakes000000.png",
        "fakes000001.png",
        "fakes_init.png",
        "log.txt",
        "network-snapshot-000000.pkl",
        "network-snapshot-000001.pkl",
        "reals.png",
        "report.html",
        "stats.jsonl",
        "training_options.json",
    }
    assert (folder / "log.txt").read_text() == result.stdout
    assert f"Training in {folder} from kimg 0 to 1\n" in result.stdout
    assert re.search(
        r"\ntick 0 +kimg 0.0 +time \d+s +left - +s/kimg [\d.]+ +data \d+% +mem [\d.]+ GB +p 0.000 +r_t - ", result.stdout
    )
    assert result.stdout.splitlines()[-1].startswith("Done after ")
    snapshot = snapshots.load(folder)
    assert snapshot.nimg == 1008
    assert snapshot.config["mirror"] is True


def test_a_run_never_overwrites_another(train, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "run_loop", lambda *given: True)
    for _ in range(2):
        assert train(*SMALL, "--resume=noresume").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "00000-noise-tiny1-kimg1-batch16",
        "00001-noise-tiny1-kimg1-batch16",
    ]


# --- mistakes


def test_outdir_and_data_are_needed(refused, train):
    refused(outdir=None, words="--outdir is missing: name the folder")
    refused(data=None, words="--data is missing: name a dataset")
    refused("--resume=auto", data=None, words="--data is missing")


def test_data_that_are_no_dataset_are_named(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("words")
    (tmp_path / "fake.zip").write_text("no zip")
    refused(data=tmp_path / "gone.zip", words="gone.zip does not exist")
    refused(data=tmp_path / "empty", words="empty holds no picture")
    refused(data=tmp_path / "texts", words="texts holds no picture")
    refused(data=tmp_path / "fake.zip", words="fake.zip is not a dataset: neither a folder nor a readable zip")


def test_pictures_of_mixed_sizes_are_named(refused, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i, side in enumerate((16, 32)):
        Image.new("L", (side, side)).save(folder / f"{i}.png")
    refused(data=folder, words="1.png is 32x32 with 1 channel, but 0.png is 16x16")


def test_a_truncated_picture_ends_the_run_with_its_name(train, tmp_path):
    """Its header is whole, so that only reading it shows."""
    folder = tmp_path / "cut"
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(8):
        Image.fromarray(rng.randint(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{i}.png")
    whole = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(whole[: len(whole) // 2])
    result = train(*SMALL, data=folder)
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
    assert "5.png cannot be read" in result.stderr


def test_pictures_that_cannot_be_halved_are_refused(refused, tmp_path):
    data = write_dataset(tmp_path / "odd.zip", size=(17, 16))
    refused(data=data, words="pictures of 16x17 cannot be halved")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--gamma -1", "--gamma -1.0: it must be 0.0 or more."),
        ("--gamma much", "'--gamma': 'much' is not a valid float."),
        ("--batch 33 --batch-gpu 8", "--batch 33 is no multiple of --batch-gpu 8."),
        ("--batch-gpu 5", "--batch 32 is no multiple of --batch-gpu 5."),
        ("--batch 0", "--batch 0: it must be 1 or more."),
        ("--batch 16 --mbstd-group 5", "--mbstd-group 5 does not divide the batch of 16"),
        ("--gpus 0", "--gpus 0: it must be 1 or more."),
        ("--cfg huge", "'--cfg': 'huge' is not one of 'auto', 'stylegan2'"),
        ("--aug much", "'--aug': 'much' is not one of 'noaug', 'ada', 'fixed'."),
        ("--aug fixed --p 2", "--p 2.0: it must be from 0 to 1."),
        ("--metrics foo", "--metrics foo: there is no such metric; the nearest is memorization."),
        ("--subset 21", "--subset 21:"),
        ("--subset 0", "--subset 0"),
        ("--kimg 0", "--kimg 0: it must be 1 or more."),
        ("--tick 0", "--tick 0: a tick needs at least some pictures"),
        ("--seed -1", "--seed -1: it must be from 0"),
        ("--mirror perhaps", "'--mirror': 'perhaps' is not a valid boolean."),
        ("--device cuda", "--device cuda: this PyTorch finds no such device."),
        ("--resume gone.pkl", "gone.pkl does not exist."),
        ("--resume ffhq25", "ffhq25 is neither a file nor a known model. Did you mean ffhq256"),
        ("--resume ffhq256 --offline", "is not in the cache"),
        ("--resume https://example.org/a.pkl --offline", "https://example.org/a.pkl is not in the cache"),
        ("--grow", "--grow: it copies what fits from trained networks into a new run. Name a snapshot of them by --resume."),
    ],
)
def test_a_bad_value_is_one_sentence(refused, arguments, words, tmp_path, monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refused(*arguments.split(), words=words)


def test_labels_that_are_not_there_cannot_be_used(refused, tmp_path):
    data = write_dataset(tmp_path / "bare.zip", classes=None)
    refused("--cond=1", data=data, words="--cond: bare has no labels.")


def test_colour_transforms_need_known_channels(refused, train, tmp_path):
    data = tmp_path / "two.zip"
    with zipfile.ZipFile(data, "w") as archive:
        for i in range(8):
            stream = io.BytesIO()
            Image.new("LA", (16, 16), (i, 255)).save(stream, "png")
            archive.writestr(f"{i}.png", stream.getvalue())
    refused(data=data, words="--augpipe bgc: colour transforms know pictures of 1, 3 or 4 channels, not 2.")
    assert train("--augpipe=bg", "-n", data=data).exit_code == 0


def test_an_outdir_that_is_a_file_is_named(train, tmp_path):
    (tmp_path / "file").touch()
    result = train(*SMALL, outdir=tmp_path / "file")
    assert result.exit_code == 1
    reason = "the folder cannot be created (File exists). Choose another one."
    assert result.stderr == f"Error: --outdir {tmp_path / 'file'}: {reason}\n"


def test_a_snapshot_of_another_shape_is_refused(train, refused, tmp_path):
    assert train(*SMALL, "--tick=1", "--snap=1").exit_code == 0
    snapshot = next((tmp_path / "runs").iterdir()) / "network-snapshot-000001.pkl"
    large, colour = write_dataset(tmp_path / "large.zip", (32, 32)), write_dataset(tmp_path / "colour.zip", channels=3)
    refused(*SMALL, "--resume", snapshot, data=large, words="it makes pictures of 16x16, but the data have 32x32.")
    refused(*SMALL, "--resume", snapshot, data=colour, words="it makes pictures with 1 channel, but the data have 3 channels.")
    refused("--cbase=128", "--resume", snapshot, words="--cbase 128: the source")
    refused(*SMALL, "--resume", snapshot.with_name("log.txt"), words="log.txt is no")
    half = tmp_path / "half.pkl"
    half.write_bytes(snapshot.read_bytes()[:30_000])
    refused(*SMALL, "--resume", half, words="half.pkl is damaged")
    refused("--resume", snapshot.parent, "--batch=8", words="the run has batch 16, not 8.")


def test_a_snapshot_grows_as_it_is_typed(train, tmp_path):
    """16x16 grey pictures of no class, then 32x64 coloured ones of two: networks of its own cut, and a sheet of pictures."""
    assert train(*SMALL, "--tick=1", "--snap=1").exit_code == 0
    snapshot = next((tmp_path / "runs").iterdir()) / "network-snapshot-000001.pkl"
    data = write_dataset(tmp_path / "large.zip", (64, 32), 3)
    line = ["--resume", snapshot, "--grow", "--cond=1", "--batch=4", "--kimg=1", "--tick=1", "--snap=1", "--metrics=none"]
    dry = train(*line, "--dry-run", data=data)
    assert dry.exit_code == 0, dry.output
    assert "in part: mapping.fc0.weight (the 128 columns of z); new: synthesis.b4.const, " in dry.stdout
    result = train(*line, data=data, outdir=tmp_path / "grown")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "grown").iterdir()
    assert folder.name == "00000-large-cond-auto1-kimg1-batch4-transfer-grow"
    told = (folder / "log.txt").read_text()
    alone = [text for text in dry.stdout.splitlines() if text not in told and not text.startswith("Memory, foretold: ")]
    assert alone == ["Dry run: nothing was written."]
    grown = snapshots.load(folder)
    assert (grown.G_ema.img_resolution, grown.G_ema.img_channels, grown.G_ema.c_dim) == ([64, 32], 3, 2)
    assert grown.config["source"]["sha256"] == snapshots.network_hash(snapshot)
    again = train("--resume", folder / "network-snapshot-000001.pkl", "--cond=1", "-n", data=data)
    assert "G_ema, G, D: copied whole" in again.stdout


def test_a_disk_that_fills_up_makes_the_run_wait(train, tmp_path, monkeypatch):
    """The third snapshot finds the disk full three times: the run tells it once, waits, and writes it when there is space."""
    written = []
    real = files.os.fsync

    def fsync(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else ""
        if "network-snapshot" in name:
            written.append(name)
            if 3 <= len(written) <= 5:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr("sgtool.training.faults.FIRST_WAIT", 0.01)
    result = train(*SMALL, "--tick=0.1", "--snap=4", "--kimg=1")
    if not written:
        pytest.skip("open files have no names here")
    (folder,) = (tmp_path / "runs").iterdir()
    assert result.exit_code == 0, result.output
    said = [line for line in result.stdout.splitlines() if line.startswith(("Warning: the disk of", "There is space again"))]
    assert len(said) == 2
    assert "No space left on device: " in said[0]
    assert all(line in (folder / "log.txt").read_text().splitlines() for line in said)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["text"] for event in events if event["kind"] == "fault"] == said
    assert len(written) == 3 + 4  # failures, and ticks with a snapshot
    assert snapshots.load(folder).nimg == read_container(folder / "checkpoint.pkl", "checkpoint")["state"]["counters"]["nimg"]
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


def test_a_disk_too_small_is_noticed_before_the_first_step(train, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    result = train(*SMALL)
    assert result.exit_code == 1
    assert re.search(r"0\.0 GB are free, but a snapshot and the checkpoints take \d+\.\d GB\.", result.stderr)


def test_mistakes_have_no_trace_in_a_process_of_its_own(tmp_path, data):
    for arguments, words in (
        (["--gpus", "3"], "is no multiple of --gpus 3"),
        (["--resume", "gone.pkl"], "gone.pkl does not exist"),
    ):
        line = [sys.executable, "-m", "sgtool", "train", "--data", str(data), "--outdir", str(tmp_path / "o"), *arguments]
        result = subprocess.run(line, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: ")
        assert words in result.stderr
        assert "Traceback" not in result.stderr


# --- words


def options():
    return [parameter for parameter in command.params if isinstance(parameter, click.Option) and parameter.name != "help"]


def test_every_option_has_help():
    assert [option.name for option in options() if not option.help] == []


def test_every_option_is_documented():
    text = DOCS.read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`-[^|]*)\|", text, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"--[a-z0-9-]+", cell)}
    assert documented == {next(name for name in option.opts if name.startswith("--")) for option in options()}


def test_every_preset_and_file_is_documented(train, tmp_path):
    text = DOCS.read_text(encoding="utf-8")
    presets = next(option for option in options() if option.name == "cfg").type.choices
    assert [name for name in presets if f"`{name}`" not in text] == []
    names = [
        "log.txt",
        "stats.jsonl",
        "training_options.json",
        "reals.png",
        "fakes_init.png",
        "checkpoint.pkl",
        "checkpoint-previous.pkl",
    ]
    assert [name for name in names if f"`{name}`" not in text] == []

"""Small data, and trainings that are stood in for."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.snapshots import Snapshot


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture
def data(tmp_path):
    """24 grey pictures of 16x16 in 3 classes, about as much alike as those of random networks."""
    path, labels, rng = tmp_path / "noise.zip", [], np.random.RandomState(0)
    common = rng.randint(0, 200, (16, 16))
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(24):
            file, name = io.BytesIO(), f"00000/img{i:08d}.png"
            Image.fromarray((common + rng.randint(0, 56, (16, 16))).astype(np.uint8)).save(file, "png")
            archive.writestr(name, file.getvalue())
            labels.append([name, i % 3])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


def networks(seed, c_dim=0, scale=1.0):
    torch.manual_seed(seed)
    shape = {"img_resolution": 16, "img_channels": 1, "c_dim": c_dim, "channel_base": 64, "channel_max": 8}
    G = build_generator(z_dim=8, w_dim=8, **shape)
    with torch.no_grad():
        for parameter in G.synthesis.parameters():
            parameter.mul_(scale)
    return {"G_ema": G, "G": None, "D": build_discriminator(**shape)}


class Trainer:
    """Stands in for `sgtool train`: writes a run folder as it does, with networks that depend on gamma.

    Attributes:
        calls: options of each call.
        kill_at: raise SystemExit in the call of this gamma, after half of it, once.
        faults: {gamma: text}: end there as a training with numbers that are not finite does.
        scales: {gamma: factor of the weights}.
    """

    def __init__(self):
        self.calls, self.kill_at, self.faults, self.scales, self.error, self.stats = [], None, {}, {}, None, {}

    def __call__(self, **options):
        self.calls.append(options)
        if options.get("dry_run"):
            return
        if self.error is not None:
            raise self.error
        folder = self._folder(options)
        gamma, kimg = options["gamma"], options["kimg"]
        (folder / "checkpoint.pkl").write_bytes(b"")
        if gamma == self.kill_at:
            self.kill_at = None
            raise SystemExit(143)
        if gamma in self.faults:
            event = {"kind": "fault", "text": self.faults[gamma], "nimg": 500, "layers": []}
            (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
            raise UserError(f"Stopped at kimg 0.5: {self.faults[gamma]}. Go on with something.")
        self._lines(folder, gamma, kimg)
        snapshot = Snapshot(**networks(int(gamma * 100), scale=self.scales.get(gamma, 1.0)), augment_p=0.0, nimg=kimg * 1000)
        snapshots.save(snapshot, folder / f"network-snapshot-{kimg:06d}.pkl")

    def _folder(self, options):
        if "outdir" not in options:
            return Path(options["resume"])
        outdir = Path(options["outdir"])
        folder = outdir / f"{len(list(outdir.glob('0*'))):05d}-run"
        folder.mkdir(parents=True)
        rates = {"glr": 0.0025, "dlr": 0.0025}
        (folder / "training_options.json").write_text(json.dumps({"config": rates}))
        return folder

    def _lines(self, folder, gamma, kimg):
        def value(mean, num=1):
            return {"num": num, "mean": mean, "std": 0.0}

        lines = []
        for tick in range(8):
            lines.append({
                "nimg": kimg * 125 * (tick + 1), "Loss/G/loss": value(gamma + tick, 2), "Loss/D/loss": value(1.0),
                "Progress/rt": value(0.25), "Progress/augment": value(0.125), "Progress/skipped_steps": value(3),
                "Timing/total_sec": value(10.0 * (tick + 1)), "Timing/sec_per_kimg": value(2.0),
                **self.stats.get(gamma, {}),
            })  # fmt: skip
        (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def trainer():
    return Trainer()

"""The honest files that the fuzzer changes: small ones of every format made on the spot, and the reference data if at hand."""

import functools
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import corpus_descriptions
import models
import torch

from sgtool.networks import build_discriminator
from sgtool.snapshots import Snapshot, rosinality, safetensors_file, save, statedict

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


@dataclass(frozen=True)
class Original:
    """An honest file."""

    kind: str  # as `mutations.mutate` wants it
    data: bytes


@functools.cache
def all_files(small=False, only=()):
    """Return {name: Original}.

    Args:
        small: without the reference data.
        only: names; () = all.
    """
    files = _made()
    if not small and GOLDEN.is_dir():
        paths = [path for path in sorted(GOLDEN.iterdir()) if path.suffix in (".pkl", ".pt")]
        files |= {path.name: Original("zip" if path.suffix == ".pt" else "pickle", path.read_bytes()) for path in paths}
    unknown = [name for name in only if name not in files]
    if unknown:
        raise SystemExit(f"--only {unknown[0]}: there is no such file. There are: {', '.join(files)}.")
    return {name: file for name, file in files.items() if not only or name in only}


def _made():
    """Files of 8x8 networks in every layout, a few kilobytes each."""
    G = models.generator()
    torch.manual_seed(1)
    D = build_discriminator(c_dim=0, img_resolution=8, img_channels=1, channel_base=32, channel_max=4)
    snapshot = Snapshot(G, models.generator(), D, augment_p=0.25, nimg=1000, config={"batch": 8}, dataset={"class_names": ["a"]})
    colour = Snapshot(models.generator(img_channels=3))
    files = {
        "NVIDIA's pickle": Original("pickle", models.nvidia()),
        "TensorFlow's pickle": Original("pickle", models.tensorflow()),
        "sgtool's snapshot": Original("zip", _written(save, snapshot)),
        "state dict": Original("zip", _written(statedict.write, snapshot)),
        "rosinality's file": Original("zip", _written(rosinality.write, colour)),
        "safetensors": Original("safetensors", _written(safetensors_file.write, snapshot)),
        "safetensors without a description": Original("safetensors", corpus_descriptions.bare_safetensors()),
    }
    return files | {
        f"{name}, old layout": Original("pickle", _old(files[name].data)) for name in ("state dict", "rosinality's file")
    }


def _written(write, snapshot):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write(snapshot, path)
        return path.read_bytes()


def _old(data):
    """The same contents in the layout of torch before version 1.6."""
    held = io.BytesIO()
    torch.save(torch.load(io.BytesIO(data), weights_only=True), held, _use_new_zipfile_serialization=False)
    return held.getvalue()

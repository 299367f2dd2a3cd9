"""Detectors of the user's own, for pictures that Inception-v3 knows nothing of: a discriminator, or an ONNX graph."""

from pathlib import Path

import numpy as np
import torch

from sgtool import images, snapshots
from sgtool.errors import UserError
from sgtool.files import sha256_of
from sgtool.measuring.detector import Detector
from sgtool.networks import set_precision

DISCRIMINATOR = "discriminator:"


def open_own(spec, shape, device="cpu", *, offline=False, say=lambda text: None):
    """Make the detector that `--detector` names.

    Args:
        spec: "discriminator:MODEL", or an ONNX file.
        shape: (C, H, W) of the pictures.
        device: where to compute; an ONNX graph is run on the CPU.
        offline: download no model.
        say: called with lines on a download.
    Raises:
        UserError: it cannot be read, or does not take these pictures.
    """
    if spec.startswith(DISCRIMINATOR):
        return _of_discriminator(spec.removeprefix(DISCRIMINATOR), shape, device, offline, say)
    path = Path(spec)
    if not path.is_file():
        raise UserError(f"--detector {spec}: there is no such file. Give an ONNX file, or discriminator:MODEL.")
    with open(path, "rb") as file:
        start = file.read(4)
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x04") or path.suffix in (".pt", ".pth", ".pkl"):
        raise UserError(
            f"--detector {spec}: a TorchScript file or pickle is a program, which would run. Export the network with "
            "torch.onnx.export and give the ONNX file; Inception-v3 and VGG16 are taken in by: sgtool weights --import FILE"
        )
    return _of_graph(path, shape)


def _of_discriminator(network, shape, device, offline, say):
    """The mean over the pixels of each feature map of each block, `[N, sum of C]`: no last stage, so no labels, no batch."""
    path = snapshots.find(network, offline=offline, progress=False, say=say)
    D = snapshots.load(path, networks=("D",)).D
    if D is None or not D.block_names:
        lacks = "no discriminator" if D is None else "a discriminator of a single stage"
        raise UserError(f"--detector {DISCRIMINATOR}{network}: the file holds {lacks}. Give a snapshot of a training run.")
    size = (D.img_resolution,) * 2 if isinstance(D.img_resolution, int) else tuple(D.img_resolution)
    if (D.img_channels, *size) != tuple(shape):
        raise UserError(
            f"--detector {DISCRIMINATOR}{network}: it looks at pictures of {_text((D.img_channels, *size))}, "
            f"and these have {_text(shape)}. Give a model of the same size."
        )
    set_precision(D.to(device), "fp32")

    def features(pictures):
        with torch.inference_mode():
            x, img, means = None, images.to_float(pictures.to(device)), []
            for name in D.block_names:
                x, img = getattr(D, name)(x, img)
                means.append(x.float().mean(dim=(2, 3)))
            return torch.cat(means, dim=1)

    note = (
        f"The detector is {path.name}'s discriminator, the means of its feature maps. Its numbers compare with no published ones."
    )
    return Detector("discriminator", sha256_of(path), note, features)


def _text(shape):
    return f"{shape[2]}x{shape[1]} with {shape[0]} channel{'s'[: shape[0] > 1]}"


def _of_graph(path, shape):
    """An ONNX graph from pictures `[N, C, H, W]`, uint8 or float32, 0..255, to features `[N, ...]`."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f'--detector {path} needs the package onnxruntime. Run: pip install "sgtool[onnx]"') from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own kinds, which share no name but this one
        raise UserError(f"--detector {path} is not a graph that onnxruntime can run. Export it again.") from error
    kind, grey = _checked_input(path, session, shape)
    first = session.get_outputs()[0].name
    entry = session.get_inputs()[0].name

    def features(pictures):
        pictures = pictures.expand(-1, 3, -1, -1) if grey else pictures
        try:
            (found,) = session.run([first], {entry: np.ascontiguousarray(pictures.numpy().astype(kind))})
        except Exception as error:  # likewise
            raise UserError(f"--detector {path}: the graph fails on these pictures. Export it for {_text(shape)}.") from error
        found = np.asarray(found)
        return torch.from_numpy(found.astype(np.float32).reshape(len(found), -1) if found.ndim else found.reshape(1, 1))

    note = f"The detector is {path.name}; it is given levels 0..255. Its numbers compare with no published ones."
    return Detector("onnx", sha256_of(path), note, features)


def _checked_input(path, session, shape):
    """Return the type that the graph takes, and whether grey pictures are to be repeated for it."""
    entries = session.get_inputs()
    kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
    if len(entries) != 1 or entries[0].type not in kinds or len(entries[0].shape) != 4:
        raise UserError(
            f"--detector {path}: the graph must take one input [N, C, H, W], float32 or uint8, 0..255. Export it so that it does."
        )
    fixed = [n if isinstance(n, int) else None for n in entries[0].shape]
    grey = shape[0] == 1 and fixed[1] == 3
    given = (3, *shape[1:]) if grey else tuple(shape)
    if any(n is not None and n != real for n, real in zip(fixed[1:], given, strict=True)) or fixed[0] not in (None,):
        wanted = "x".join("any" if n is None else str(n) for n in fixed)
        raise UserError(
            f"--detector {path}: the graph takes pictures of {wanted} [N, C, H, W], and these have {_text(shape)}. "
            "Export it for any number of pictures of that size."
        )
    return kinds[entries[0].type], grey

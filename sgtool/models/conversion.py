"""A model from one kind of file to another, checked by what it shows before and after."""

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sgtool import snapshots
from sgtool.errors import UserError
from sgtool.files import sync_folder
from sgtool.latents.generate import picture_size
from sgtool.models import onnx_file, torchscript
from sgtool.models.compare import RUNTIME, difference, outputs
from sgtool.models.program import Pictures
from sgtool.snapshots import rosinality, safetensors_file, statedict

SUFFIXES = {  # a kind of file, and the end of its name
    "sgtool": ".pkl",
    "safetensors": ".safetensors",
    "rosinality": ".pt",
    "state-dict": ".pth",
    "onnx": ".onnx",
    "torchscript": ".ts",
}
TARGETS = tuple(SUFFIXES)
PROGRAMS = {"onnx": onnx_file, "torchscript": torchscript}  # run without sgtool; G_ema only
WRITERS = {"safetensors": safetensors_file, "rosinality": rosinality, "state-dict": statedict}  # sgtool's own: snapshots.save
NETWORKS = ("G_ema", "G", "D")
FACTS = {  # what is known about the networks, and how to say it
    "nimg": "number of pictures seen",
    "augment_p": "augment p",
    "config": "training options",
    "dataset": "facts about the training data",
}


@dataclass
class Conversion:
    """What was done."""

    path: Path
    kind: str  # one of `TARGETS`
    differences: list  # of `compare.Difference`
    travelled: list  # names of networks, and words for what is known about them
    left_behind: list
    notes: list  # sentences on what reading the source or the new file had to assume


def convert(source, target, to=None, networks="all", force=False, offline=False, say=lambda text: None):
    """Write a model as a file of another kind.

    It is written beside `target`, read back and compared: the pictures of the same seeds, and what D says of them. Only then
    does it take its name.

    Args:
        source: whatever `snapshots.find` takes.
        target: the new file. Its folder has to exist.
        to: one of `TARGETS`; None = by the end of the name of `target`.
        networks: "G_ema", or "all" that are there and that the kind of file can hold.
        force: replace a file of that name.
        offline: download nothing.
        say: called with a line on each step.
    Returns:
        `Conversion`.
    Raises:
        UserError: something that the user can mend, or the new file shows something else than the source. Then there is no
            new file, and an old one is as it was.
    """
    target = Path(target)
    kind = _kind(target, to)
    if kind == "onnx":
        onnx_file.packages()
    _check_place(target, force)
    source = snapshots.find(source, offline=offline, say=say)
    if target.exists() and target.samefile(source):
        raise UserError(f"{target} is the file to convert. Give the new one another name.")
    say(f"Reading {source}")
    with snapshots.opened(source) as contents:
        held = list(contents.networks)
    wanted = NETWORKS if networks == "all" and kind not in PROGRAMS else ("G_ema",)
    before = snapshots.load(source, networks=wanted)
    with _place_beside(target) as draft:
        say(f"Writing {target} ({kind})")
        done = (_write_program if kind in PROGRAMS else _write_data)(kind, before, draft, say)
        wrong = next((item for item in done.differences if not item.is_rounding), None)
        if wrong:
            raise UserError(
                f"{kind} does not hold this model: {wrong.name} differs by {wrong.largest:.3g} after the conversion; rounding "
                f"makes {wrong.limit:.2g} at most. {target} was not written; choose another --to."
            )
        os.replace(draft, target)
        sync_folder(target.parent)
    left = [name for name in held if name not in done.travelled and (name != "G" or "G_ema" in held)]
    notes = dict.fromkeys([*before.notes, *done.notes])
    return replace(done, path=target, left_behind=left + done.left_behind, notes=list(notes))


def _kind(target, to):
    kind = to or next((kind for kind, suffix in SUFFIXES.items() if target.suffix.lower() == suffix), None)
    if kind is None:
        raise UserError(f"{target}: its name does not tell the kind of file. Add --to, or let it end in {_suffixes()}.")
    return kind


def _suffixes():
    return ", ".join(f"{suffix} ({kind})" for kind, suffix in SUFFIXES.items())


def _check_place(target, force):
    """Raise UserError unless a file may be written to `target`."""
    try:
        if target.is_dir():
            raise UserError(f"{target} is a folder. Give the name of the new file.")
        if not target.absolute().parent.is_dir():
            raise UserError(f"{target}: there is no folder {target.absolute().parent}. Make it first.")
        if target.exists() and not target.is_file():
            raise UserError(f"{target} is a device or a pipe. Give the name of the new file.")
        if target.exists() and not force:
            raise UserError(f"{target} is there already. Give another name, or --force to replace it.")
    except OSError as error:  # the name is too long, or the folder may not be looked into
        raise UserError(f"{target} cannot be written: {error.strerror or error}. Give another name.") from error


@contextlib.contextmanager
def _place_beside(target):
    """Yield a path of the same name in a new folder beside `target`, which is gone afterwards; errors name `target` instead."""
    try:
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as folder:
            draft = Path(folder) / target.name
            yield draft
    except UserError as error:
        raise UserError(error.message.replace(str(draft), str(target))) from error
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}. Free some space or choose another folder."
        ) from error


def _write_data(kind, before, draft, say):
    """Write a file that sgtool reads again, and compare."""
    networks, notes = tuple(name for name in NETWORKS if getattr(before, name) is not None), []
    if kind == "sgtool":
        snapshots.save(before, draft)
    else:
        notes = WRITERS[kind].write(before, draft, networks)
    say(f"Comparing the pictures of 4 seeds{' and what D says of them' if before.D is not None else ''}")
    expected, after = outputs(before), snapshots.load(draft)
    if after.origin != kind:
        raise UserError(f"The new file is taken for {after.origin}, not {kind}: an error of sgtool, please report it.")
    results = outputs(after, expected["G_ema"])
    there = [name for name in networks if name in results]
    same = {name: _as_text(getattr(before, name)) == _as_text(getattr(after, name)) for name in FACTS if getattr(before, name)}
    return Conversion(
        draft,
        kind,
        differences=[difference(name, expected[name], results[name]) for name in there],
        travelled=there + [FACTS[name] for name in same if same[name]],
        left_behind=[FACTS[name] for name in same if not same[name]],
        notes=[*notes, *after.notes],
    )


def _as_text(value):
    """Plain values, so that they can be compared: formats differ in how they keep tuples and keys."""
    return json.dumps(value, sort_keys=True, default=str)


def _write_program(kind, before, draft, say):
    """Write a file that runs without sgtool, and compare: a picture alone, and several truncated ones."""
    G, program = before.G_ema, PROGRAMS[kind]
    program.write(G, draft, _about(before))
    say("Comparing the pictures of 4 seeds")
    pictures, differences = Pictures(G), []
    for seeds, psi in (([0], 1.0), ([1, 2, 3], 0.5)):
        inputs = pictures.inputs_of_seeds(seeds, psi)
        named = dict(zip(pictures.input_names, inputs, strict=True))
        with torch.no_grad():
            psi = float(named.get("truncation_psi", 1))
            expected = G(named["z"], named.get("c"), truncation_psi=psi, noise_mode="const")
        differences.append(difference("G_ema", expected, program.run(draft, inputs), RUNTIME, least=1.0))
    worst = max(differences, key=lambda item: (not item.is_rounding, item.largest / item.limit))
    left = [words for name, words in FACTS.items() if getattr(before, name)]
    return Conversion(draft, kind, [worst], ["G_ema"], left, [])


def _about(snapshot):
    """What a program that runs the file may want to know."""
    G, names = snapshot.G_ema, snapshot.dataset.get("class_names")
    height, width = picture_size(G)
    size = {"width": width, "height": height, "channels": G.img_channels}
    return {"z_dim": G.z_dim, "c_dim": G.c_dim, **size, "class_names": names, "range": [-1, 1], "noise": "as stored"}

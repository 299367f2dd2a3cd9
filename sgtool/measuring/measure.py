"""Measure a model, or pictures, against a dataset: everything that can be missing is looked for first."""

import time
import warnings
from dataclasses import dataclass

import torch

from sgtool import __version__
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.measuring import detector as detectors
from sgtool.measuring import results
from sgtool.measuring.compute import METRICS, averaged, compute
from sgtool.measuring.features import Need, gather
from sgtool.measuring.own_detectors import open_own
from sgtool.measuring.paths import measured_paths
from sgtool.measuring.plan import plan_sets
from sgtool.measuring.record import record


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        metrics: text of names, or None: fid50k_full if Inception-v3 is at hand, else what needs no weights.
        network: model file, run folder, URL or known name; or None, and then
        pictures: a dataset or folder of pictures in its place.
        data: real pictures; None = those that the run was trained on, or none where no metric needs them.
        held_out: pictures that were held out of training, a baseline for memorization.
        mirror: the data were mirrored in training; None = as the run says.
        detector: one of the user's own, see `own_detectors.open_own`.
        outdir: folder for metric-NAME.jsonl; None = the run folder, if the model lies in one.
        repeats: how often pictures are generated anew.
        allow_fewer: measure with the pictures that there are, under the name that says so.
        seed: of the first picture, and of all draws.
        device, precision, offline: as for `latents.model.open_model`.
    """

    metrics: str | None = None
    network: str | None = None
    pictures: str | None = None
    data: str | None = None
    held_out: str | None = None
    mirror: bool | None = None
    detector: str | None = None
    outdir: str | None = None
    repeats: int = 1
    allow_fewer: bool = False
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    offline: bool = False


def measure(request, *, progress=False, warn=warnings.warn, say=lambda text: None):
    """Measure what a request asks for, and write it down.

    Args:
        request: `Request`.
        progress: show bars with the time left on stderr.
        warn, say: called with texts.
    Returns:
        (list of `results.Result`, list of the files that were written).
    Raises:
        UserError: whatever the user can mend; before anything is computed, where that can be known.
    """
    if request.repeats < 1:
        raise UserError(f"--repeats {request.repeats}: measure at least once.")
    plan = plan_sets(request, progress=progress, warn=warn, say=say)
    folder = None if plan.outdir is None else make_folder(plan.outdir, "--outdir")
    eyes = _open_detectors(plan, request, say)
    say(f"Measuring {', '.join(protocol.name for protocol in plan.protocols)} on {torch.device(request.device)}.")
    measured, seconds = _measured(plan, request, eyes, progress)
    found = [
        results.Result(
            protocol, averaged(parts), [part.values for part in parts] if len(parts) > 1 else [], seconds[protocol.name],
            record(plan, request, protocol, eyes.get(protocol.detector)),
        )
        for protocol, parts in zip(plan.protocols, zip(*measured, strict=True), strict=True)
    ]  # fmt: skip
    return found, _written(folder, plan, found, say)


def _open_detectors(plan, request, say):
    """Return {kind: Detector}: the user's own stands for all kinds of features."""
    kinds = dict.fromkeys(protocol.detector for protocol in plan.protocols if protocol.detector is not None)
    own = None
    if request.detector is not None:
        own = open_own(request.detector, plan.shape, request.device, offline=request.offline, say=say)
    eyes = {}
    for kind in kinds:
        if own is not None and kind != "lpips":
            eyes[kind] = own
        else:
            eyes[kind] = detectors.load(kind, plan.weights[kind], plan.shape[0], request.device)
    for note in dict.fromkeys(eye.note for eye in eyes.values()):
        say(note)
    return eyes


def _measured(plan, request, eyes, progress):
    """Return [{repeat: [Measured of each protocol]}] as a list of lists, and {name: seconds}."""
    seconds = dict.fromkeys((protocol.name for protocol in plan.protocols), 0.0)
    start = time.perf_counter()
    reals = {
        mirror: _gathered(plan, eyes, "real", source, request.seed, progress, mirror) for mirror, source in plan.real.items()
    }
    held_out = _held_out(plan, eyes, request.seed, progress)
    looking = time.perf_counter() - start
    repeats = []
    for repeat in range(request.repeats):
        start = time.perf_counter()
        fake = plan.fake(repeat)
        fakes = _gathered(plan, eyes, "fake", fake, request.seed, progress)
        looking += time.perf_counter() - start
        parts = []
        for protocol in plan.protocols:
            start = time.perf_counter()
            parts.append(_one(plan, protocol, eyes, reals, fakes, fake, held_out, request.seed + repeat, progress))
            seconds[protocol.name] += time.perf_counter() - start
        repeats.append(parts)
    return repeats, {name: own + looking for name, own in seconds.items()}


def _one(plan, protocol, eyes, reals, fakes, fake, held_out, seed, progress):
    if protocol.metric == "ppl":
        return measured_paths(protocol, fake, eyes["lpips"], seed=seed, progress=progress)
    real = None
    if protocol.real != 0:
        real = reals[plan.mirrored(protocol)][_need(plan, protocol, eyes, "real").key]
    fake = fakes[_need(plan, protocol, eyes, "fake").key]
    try:
        return compute(protocol, real, fake, seed=seed, held_out=held_out)
    except ValueError as error:
        raise UserError(f"{protocol.name}: {error}") from error


def _need(plan, protocol, eyes, side):
    """What a protocol asks of the real or the generated pictures."""
    eye = None if protocol.detector is None else eyes[protocol.detector]
    count = protocol.count if side == "fake" else plan.real_count(protocol)
    return Need(METRICS[protocol.metric].kind, eye, protocol.choice, count)


def _gathered(plan, eyes, side, source, seed, progress, mirror=None):
    needs = [
        _need(plan, protocol, eyes, side)
        for protocol in plan.protocols
        if protocol.metric != "ppl" and (side == "fake" or (protocol.real != 0 and plan.mirrored(protocol) == mirror))
    ]
    what = "real pictures" if side == "real" else "pictures"
    return gather(source, needs, seed=seed, cached=source.key is not None, progress=progress, what=what) if needs else {}


def _held_out(plan, eyes, seed, progress):
    """Return the rows of pictures held out of training; None if there are none, or nobody asks."""
    wanted = next((protocol for protocol in plan.protocols if protocol.metric == "memorization"), None)
    if plan.held_out is None or wanted is None:
        return None
    need = Need("rows", eyes[wanted.detector], "first", plan.held_out.number)
    return gather(plan.held_out, [need], seed=seed, cached=True, progress=progress, what="held out")[need.key]


def _written(folder, plan, found, say):
    """Append each result to its file, and draw the nearest pairs; return the paths."""
    if folder is None:
        return []
    network = plan.model.path.name if plan.model is not None else None
    paths = []
    for result in found:
        path = results.path_in(folder, result.protocol)
        results.append(path, results.line(result, network))
        paths.append(path)
        if result.measured.memorization is not None:
            sheet = folder / f"{result.protocol.name}.png"
            real = plan.real[plan.mirrored(result.protocol)]
            recipe = {"version": __version__} if plan.model is None else plan.model.recipe()
            paths.append(results.write_pairs(sheet, result.protocol, result.measured.memorization, plan.fake(0), real, recipe))
    return paths

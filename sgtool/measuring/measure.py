"""Measure a model, or pictures, against a dataset: everything that can be missing is looked for first."""

import warnings
from dataclasses import dataclass

from sgtool import __version__
from sgtool.distributed import ALONE
from sgtool.errors import UserError
from sgtool.files import make_folder
from sgtool.latents.recipes import refuse_strangers
from sgtool.measuring import results
from sgtool.measuring.plan import plan_sets
from sgtool.measuring.work import Work, open_detectors


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


def measure(request, *, progress=False, warn=warnings.warn, say=lambda text: None, tell=lambda found: None, world=ALONE):
    """Measure what a request asks for, and write it down.

    Args:
        request: `Request`.
        progress: show bars with the time left on stderr.
        warn, say: called with texts.
        tell: called with the results before they are written, which may fail.
        world: `World`; each of its processes calls this alike, and the result is the same however many there are.
    Returns:
        (list of `results.Result`, list of the files that were written); both empty but in the first process.
    Raises:
        UserError: whatever the user can mend; before anything is computed, where that can be known.
    """
    if request.repeats < 1:
        raise UserError(f"--repeats {request.repeats}: measure at least once.")
    if not world.is_first:
        warn = say = tell = _nothing
    plan = plan_sets(request, progress=progress and world.is_first, warn=warn, say=say)
    folder = make_folder(plan.outdir, "--outdir") if plan.outdir is not None and world.is_first else None
    if folder is not None:
        refuse_strangers(folder, [sheet_name(protocol) for protocol in plan.protocols if protocol.metric == "memorization"])
    eyes = open_detectors(plan, request.detector, offline=request.offline, say=say)
    many = f", {world.size} processes" if world.size > 1 else ""
    say(f"Measuring {', '.join(protocol.name for protocol in plan.protocols)} on {plan.device}{many}.")
    found = Work(plan, eyes, world=world, progress=progress, warn=warn).results()
    tell(found)
    return found, written(folder, plan, found, world.size)


def _nothing(value):
    pass


def written(folder, plan, found, processes=1):
    """Append each result to its file, and draw the nearest pairs.

    Args:
        folder: where; None = nowhere.
        plan: `plan.Plan`.
        found: list of `Result`.
        processes: how many have measured.
    Returns:
        paths of the files.
    """
    if folder is None:
        return []
    network = plan.model.path.name if plan.model is not None else None
    facts = {"nimg": plan.model.snapshot.nimg} if plan.model is not None and plan.model.snapshot.nimg else {}
    paths = []
    for result in found:
        path = results.path_in(folder, result.protocol)
        results.append(path, results.line(result, network, processes, **facts))
        paths.append(path)
        paths += show_pairs(folder, plan, result)
    return paths


def sheet_name(protocol):
    """Name of the file with the pairs that memorization shows."""
    return f"{protocol.name}.png"


def show_pairs(folder, plan, result):
    """Draw the pictures that memorization found nearest. Returns the list of files, empty for other metrics."""
    if result.measured.memorization is None:
        return []
    sheet, real = folder / sheet_name(result.protocol), plan.real[plan.mirrored(result.protocol)]
    recipe = {"version": __version__} if plan.model is None else plan.model.recipe()
    return [results.write_pairs(sheet, result.protocol, result.measured.memorization, plan.fake(0), real, recipe)]

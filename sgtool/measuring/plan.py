"""What is to be measured, of what: found, opened and held against each other before anything is computed."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.datasets.stores import open_store
from sgtool.errors import UserError
from sgtool.latents.model import Model, open_model
from sgtool.measuring import detector as detectors
from sgtool.measuring.checks import check_sets
from sgtool.measuring.own_detectors import DISCRIMINATOR
from sgtool.measuring.pictures import Made, Stored
from sgtool.measuring.protocols import OFFLINE, parse, parse_list

OWN = ("fid", "kid", "pr", "density_coverage", "memorization")  # metrics of any features
LARGEST_RUN = 1 << 24  # bytes of a training_options.json


@dataclass
class Plan:
    """What `measure` works with."""

    protocols: list
    weights: dict  # {kind of published detector: where its files are}
    model: Model | None
    pictures: Stored | None  # in place of a model
    real: dict  # {mirrored: Stored}; empty without data
    held_out: Stored | None
    mirror: bool
    seed: int
    repeats: int
    device: str
    most: int  # pictures that are generated in one repeat
    outdir: Path | str | None
    told: dict  # {"data", "pictures", "held_out"}: what results say of each

    @property
    def shape(self):
        """(C, H, W) of all pictures."""
        return self.fake(0).shape

    @property
    def labelled(self):
        """Whether pictures are made for labels."""
        return self.model is not None and self.model.G.c_dim > 0

    def fake(self, repeat):
        """The generated pictures of a repeat, each time of other seeds; or the pictures in their place."""
        if self.pictures is not None:
            return self.pictures
        labels = self.real[False].dataset if self.labelled else None
        return Made(self.model, self.seed + repeat * self.most, labels, (self.seed, repeat))

    def mirrored(self, protocol):
        """Whether a protocol looks at mirrored real pictures too."""
        return self.mirror and protocol.mirror

    def real_count(self, protocol):
        """How many real pictures a protocol looks at."""
        there = self.real[self.mirrored(protocol)].number
        return there if protocol.real is None else min(protocol.real, there)


def plan_sets(request, *, progress=False, warn, say):
    """Find and open everything, and check it.

    Args:
        request: `measure.Request`.
        progress, warn, say: as for `measure`.
    Raises:
        UserError: something is missing, or does not belong together.
    """
    if (request.network is None) == (request.pictures is None):
        raise UserError("Give one of --network and --pictures: what is to be measured.")
    protocols, weights = _protocols(request, say)
    path = None
    if request.network is not None:
        path = snapshots.find(request.network, offline=request.offline, progress=progress, say=say)
    run, model, mirror = {} if path is None else _run_options(path), None, request.mirror
    if path is not None:
        model = open_model(path, device=request.device, precision=request.precision, offline=request.offline, warn=warn, say=say)
        mirror = _mirror(request, run, model)
    real, held_out, told = of_data(*_data(request, run, mirror), request.held_out)
    pictures = None if request.pictures is None else opened("--pictures", request.pictures, told)
    plan = Plan(
        protocols, weights, model, pictures, real, held_out, bool(mirror), request.seed, request.repeats, request.device, 0, None,
        told,
    )  # fmt: skip
    plan.outdir = request.outdir if request.outdir is not None else path.parent if run else None
    return completed(plan, request, warn, say)


def completed(plan, request, warn, say):
    """Check what a plan has opened, and settle its counts. Returns the plan."""
    check_sets(plan, request, warn)
    plan.protocols = _counted(plan, request, say)
    plan.most = max(protocol.count * (2 if protocol.metric == "ppl" else 1) for protocol in plan.protocols)
    return plan


def of_data(data, mirror, option="--data", held_out=None):
    """Open the sets of real pictures.

    Args:
        data: path of the dataset; None = there is none.
        mirror: whether it was mirrored in training.
        option: where the path comes from, for messages.
        held_out: path of pictures that were held out of training, or None.
    Returns:
        ({mirrored: `Stored`}, `Stored` of the pictures held out or None, what results say of them).
    """
    told = {"data": None, "pictures": None, "held_out": None}
    real = {} if data is None else {False: opened(option, data, told, "data")}
    if real and mirror:
        real[True] = Stored(real[False].dataset.mirrored())
    return real, None if held_out is None else opened("--held-out", held_out, told), told


def _protocols(request, say):
    """Return the protocols that are asked for, and {kind: where the detector's files are}."""
    if request.metrics is not None:
        protocols = parse_list(request.metrics)
    else:
        protocols = _usual(request, say)
    if request.detector is not None:
        protocols = [_by_own(protocol, request.detector) for protocol in protocols]
    published = {protocol.detector for protocol in protocols} - {None}
    if request.detector is not None:
        published &= {"lpips"}
    return protocols, {kind: detectors.find(kind) for kind in sorted(published)}


def _usual(request, say):
    """fid50k_full if what it looks with is at hand, else what needs no weights."""
    if request.detector is not None:
        return [parse("fid50k_full")]
    try:
        detectors.find("inception")
    except UserError as missing:
        say(f"{missing.message} Until then --metrics is {','.join(OFFLINE)}, which need no weights.")
        return [parse(name) for name in OFFLINE]
    return [parse("fid50k_full")]


def _by_own(protocol, spec):
    if protocol.metric in OWN:
        name = "discriminator" if spec.startswith(DISCRIMINATOR) else Path(spec).stem
        return protocol.by(re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60])
    if protocol.metric in ("is", "clean_fid"):
        raise UserError(
            f"--metrics {protocol.name} is defined with Inception-v3 only. Leave --detector out, or choose fid or kid."
        )
    return protocol


def _run_options(path):
    """Return training_options.json beside a model, {} if there is none that can be read."""
    file = path.parent / "training_options.json"
    try:
        if file.stat().st_size > LARGEST_RUN:
            return {}
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _of_nvidia(run):
    """Return what stylegan2-ada-pytorch notes of the data of a run."""
    values = run.get("training_set_kwargs")
    return values if isinstance(values, dict) else {}


def _data(request, run, mirror):
    """Return the path of the data, whether to mirror, and the option that names it, for `of_data`."""
    path = request.data or run.get("data") or _of_nvidia(run).get("path")
    if not isinstance(path, str) or not path:
        return None, mirror, None
    return path, mirror, "--data" if request.data else "training_options.json (give --data)"


def _mirror(request, run, model):
    """Whether the data were mirrored: as asked, else as the run or the model says."""
    said = (request.mirror, _of_nvidia(run).get("xflip"), model.snapshot.config.get("mirror"))
    return next((bool(value) for value in said if value is not None), False)


def opened(option, path, told, key=None):
    """Open a dataset, or a folder of pictures of one shape, and note what results say of it."""
    key = key or option.strip("-").replace("-", "_")
    dataset = open_dataset(path)
    if len(dataset) < 2:
        raise UserError(f"{option} {path} holds a single picture, and nothing can be measured of one. Give more of them.")
    told[key] = {"name": dataset.name, "fingerprint": dataset.fingerprint, "pictures": len(dataset), **_prepared(path)}
    return Stored(dataset)


def _prepared(path):
    """What a dataset's prepare.json says of how its pictures were made."""
    store = open_store(Path(path))
    if "prepare.json" not in store.names():
        return {"resize_filter": None, "transform": None}
    with store.open("prepare.json") as file:
        options = json.loads(file.read()).get("options")  # that it is an object was checked when the dataset was opened
    options = options if isinstance(options, dict) else {}
    return {"resize_filter": options.get("resize_filter"), "transform": options.get("transform")}


def _counted(plan, request, say):
    """Return the protocols with the counts that there are pictures for."""
    counted = []
    for protocol in plan.protocols:
        there = protocol.count if plan.pictures is None else min(protocol.count, plan.pictures.number)
        if protocol.equal:
            there = min(there, plan.real[plan.mirrored(protocol)].number)
        if there < protocol.count:
            fewer = dataclasses.replace(protocol.of(there))
            if not request.allow_fewer and request.metrics is not None:
                raise UserError(
                    f"{protocol.name} takes {protocol.count:,} pictures, and there are {there:,}. "
                    f"Ask for --metrics {fewer.name}, or for --allow-fewer."
                )
            say(f"There are {there:,} pictures for {protocol.name}: it is {fewer.name}, which compares with its like only.")
            protocol = fewer
        few = min(there, plan.real_count(protocol) if protocol.real != 0 else there)
        if few < protocol.least:
            raise UserError(f"{protocol.name} needs at least {protocol.least} pictures of each kind, and there are {few}.")
        counted.append(protocol)
    return list({protocol.name: protocol for protocol in counted}.values())

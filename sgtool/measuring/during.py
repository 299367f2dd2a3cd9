"""Protocols measured of a network that is being trained: the numbers are those of `measure` for its snapshot."""

import dataclasses
from pathlib import Path

import torch

from sgtool import snapshots
from sgtool.distributed import ALONE
from sgtool.files import sha256_of
from sgtool.latents.model import Model
from sgtool.measuring import detector as detectors
from sgtool.measuring.measure import Request
from sgtool.measuring.plan import Plan, completed, of_data
from sgtool.measuring.protocols import parse_list
from sgtool.measuring.rounds import by_all
from sgtool.measuring.work import Work, open_detectors
from sgtool.networks import build_generator, describe_precision


def plan_training(names, data, generator, *, mirror=False, held_out=None, device="cpu", warn, say):
    """Check that protocols can be measured in a run, and open what they need.

    Args:
        names: of the protocols.
        data: path of the dataset. A part that is trained on does not matter: it is measured against the whole, as NVIDIA does.
        generator: keywords of `build_generator`.
        mirror: the run mirrors the data.
        held_out: path of pictures that are not trained on, or None.
        device: of the networks.
        warn, say: called with texts.
    Returns:
        `Plan`, for `measure_network`.
    Raises:
        UserError: one of them cannot be measured: its weights are missing, there are too few pictures, and so on.
    """
    protocols = parse_list(",".join(names))
    with torch.device("meta"):
        G = build_generator(**generator)
    model = Model(G, None, Path("the run"), "", torch.device(device), "", {}, snapshots.Snapshot(G))
    weights = {protocol.detector: detectors.find(protocol.detector) for protocol in protocols if protocol.detector is not None}
    real, held_out_pictures, told = of_data(data, mirror, held_out=held_out)
    plan = Plan(protocols, weights, model, None, real, held_out_pictures, bool(mirror), 0, 1, str(device), 0, None, told)
    return completed(plan, Request(metrics=",".join(names), data=data, held_out=held_out), warn, say)


def check_detectors(plan):
    """Read the networks that a plan looks with, and forget them: a file that is damaged is told of now.

    Raises:
        UserError: one cannot be read, or does not look at such pictures.
    """
    open_detectors(dataclasses.replace(plan, device="cpu"))


def measure_network(plan, names, G, path, *, precision="auto", nimg=0, world=ALONE, stop=None, warn):
    """Measure some of a plan's protocols of a generator.

    Args:
        plan: from `plan_training`.
        names: of the protocols.
        G: the generator, on the plan's device; it stays as it is, and so do torch's random numbers.
        path: of the snapshot that holds it, for the record.
        precision: what the networks of the run were given.
        nimg: real pictures shown so far.
        world, stop: as for `rounds.in_rounds`.
        warn: called with texts.
    Returns:
        (list of `Result`, empty but in the first process; the plan that they are of).
    Raises:
        UserError: a detector has gone, the network diverged, the memory does not suffice; in all processes.
        Interrupted: it was asked to stop.
    """
    device = torch.device(plan.device)
    digest = sha256_of(path) if world.is_first and path.exists() else ""
    computed_in = describe_precision(G, precision, device)[0]
    model = Model(G, None, path, digest, device, computed_in, {}, snapshots.Snapshot(G, nimg=nimg))
    some = [protocol for protocol in plan.protocols if protocol.name in names]
    plan = dataclasses.replace(plan, model=model, protocols=some)
    eyes = by_all(lambda: open_detectors(plan), world=world, stop=stop)
    return Work(plan, eyes, world=world, stop=stop, warn=warn).results(), plan

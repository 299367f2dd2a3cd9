"""What a line of results says of how its numbers came about."""

import platform

import numpy as np
import torch

from sgtool import __version__


def record(plan, protocol, eye):
    """Return everything that decided a protocol's numbers, as plain values.

    Args:
        plan: `plan.Plan`.
        protocol: `Protocol`.
        eye: its `Detector`, or None.
    """
    count = plan.real_count(protocol) if protocol.real != 0 else 0
    device = torch.device(plan.device)
    return {
        "generated": protocol.count,
        "real": count,
        "choice": protocol.choice,
        "mirror": plan.mirrored(protocol) if count else None,
        "seed": plan.seed,
        "detector": None if eye is None else {"name": eye.name, "sha256": eye.sha256, "note": eye.note},
        "data": plan.told["data"] if count or plan.labelled else None,
        "held_out": plan.told["held_out"] if protocol.metric == "memorization" else None,
        **(_of_pictures(plan) if plan.model is None else _of_model(plan)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})",
        "versions": {
            "sgtool": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _of_pictures(plan):
    return {"pictures": plan.told["pictures"]}


def _of_model(plan):
    return {
        **{key: value for key, value in plan.model.recipe().items() if key != "version"},
        "first_seeds": [plan.fake(repeat).first_seed for repeat in range(plan.repeats)],
        "truncation_psi": 1,
        "noise_mode": "random",
        "batch": plan.fake(0).at_once,
        "labels": "drawn from the data" if plan.labelled else None,
    }

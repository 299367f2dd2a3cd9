"""A measurement on one process or many: those that are started here, or those that torchrun started."""

import dataclasses
import os
import sys

import torch

from sgtool.distributed import is_joined_from_outside, joined, launched
from sgtool.errors import UserError
from sgtool.measuring.measure import measure

TIMEOUT = 3600  # seconds that a process waits for another: one may fetch a model, or read a slow disk


def measure_on(request, gpus=1, progress=True):
    """Measure on `gpus` processes of this machine, or on those that this one was started among; texts go to stderr.

    Args:
        request: `measure.Request`; its device is "cpu", "cuda" or "mps", of which each process takes its own.
        gpus: processes to start; 1 = none.
        progress: show bars.
    Returns:
        (results, paths of the files, message of the error that kept the results from being written or None).
        Without results in processes that are not the first.
    Raises:
        UserError: as `measure`, or a process ended.
    """
    if is_joined_from_outside():
        size = int(os.environ["WORLD_SIZE"])
        if gpus not in (1, size):
            raise UserError(f"--gpus {gpus}: torchrun has started {size} processes. Leave --gpus out.")
        return measured_here(request, progress)
    if gpus == 1:
        return measured_here(request, progress)
    kind = torch.device(request.device).type
    if kind == "mps":
        raise UserError(f"--gpus {gpus}: an Apple GPU works for one process. Leave --gpus out, or use --device cpu.")
    if kind == "cuda" and gpus > torch.cuda.device_count():
        raise UserError(
            f"--gpus {gpus}: this machine has {torch.cuda.device_count()}. Give at most as many, or use --device cpu."
        )
    return launched(gpus, measured_here, request, progress)


def measured_here(request, progress):
    """Measure in this process, which may be one of several. Returns what `measure_on` does."""
    kind, known = torch.device(request.device).type, []
    with joined(kind, TIMEOUT) as world:
        if kind == "cuda" and world.size > 1:
            request = dataclasses.replace(request, device=f"cuda:{world.local_rank}")
        try:
            found, paths = measure(request, progress=progress, warn=_warn, say=_say, tell=known.extend, world=world)
        except UserError as error:
            if known:
                return known, [], error.message
            raise
    return found, paths, None


def _say(text):
    print(text, file=sys.stderr, flush=True)


def _warn(text):
    _say(f"Warning: {text}")

"""What a run begins with: the backend's switches, the state, the augmentation, training_options.json."""

import json
from pathlib import Path

import torch

from sgtool import __version__
from sgtool.files import write_text
from sgtool.memory import keep_freed_memory
from sgtool.networks import describe_precision, has_hardware
from sgtool.training import transfer
from sgtool.training.augment import AugmentPipe
from sgtool.training.folders import read_options
from sgtool.training.memory_now import has_limit
from sgtool.training.pipes import pipe_of
from sgtool.training.plan import job_name
from sgtool.training.state import TrainState
from sgtool.training.writer import copied


def say_precision(state, say):
    """Tell in which type is computed, and whether another one is faster here."""
    words, warnings = describe_precision(state.G, state.config.precision, state.device)
    faster = state.device.type == "cpu" and words == "float32" and state.config.num_fp16_res and has_hardware(torch.bfloat16)
    say(f"Computing in {words}" + (" (--precision bf16 is faster on this CPU)" if faster else ""))
    for text in warnings:
        say(f"Warning: {text}")


def set_backend(config, device):
    """Switches of cuDNN; on a CPU, of the memory allocator."""
    torch.backends.cudnn.benchmark = not config.nobench
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.allow_tf32
    if device.type == "cpu" and not has_limit():
        keep_freed_memory()


def start_state(plan, say, world):
    """Make the state: fresh, from a snapshot's networks, or exactly where a checkpoint was written; the same in all processes."""
    checkpoint, plan.checkpoint = plan.checkpoint, None  # its tensors are not needed twice
    stored = None if checkpoint is None else checkpoint["state"]
    changes = world.broadcast([] if stored is None else stored.get("changes", []))
    state = TrainState.fresh(plan.config, plan.device, world, changes)
    if stored is not None:
        state.load_state_dict(stored)
        written_on = stored.get("device", plan.device.type)
        if plan.device.type != written_on:
            say(f"The checkpoint was written on {written_on}: on {plan.device.type} it goes on, but not bit for bit.")
        elif "random" in stored:
            say("The checkpoint is of an older version, which drew other random numbers: it goes on, but not bit for bit.")
    elif plan.source is not None:
        transfer.take_over(plan.source, state)
    if world.size > 1:
        values = world.broadcast(copied(state.state_dict()) if world.is_first else None)
        state.load_state_dict(values)
    return state


def make_augment(config, device):
    """Return the augmentation as a callable (images, p, draws) -> images."""
    if config.aug == "noaug":
        return lambda images, p, draws: images
    pipe = AugmentPipe(**pipe_of(config.augpipe)).to(device)
    return lambda images, p, draws: pipe(images, p, draws=draws)


def write_options(plan):
    """Write training_options.json: the resolved configuration, with reasons and what was asked for."""
    before = read_options(plan.folder) or {}
    source = before.get("resumed_snapshot") if plan.source is None else str(plan.source.path.absolute())
    values = {
        "sgtool_version": __version__,
        "data": str(Path(plan.data).absolute()),
        "options": plan.given,
        "config": plan.config.as_dict(),
        "reasons": plan.reasons,
        "resumed_snapshot": source,
        "device": str(plan.device),
        "torch_version": torch.__version__,
        "job": job_name(),
    }
    write_text(plan.folder / "training_options.json", json.dumps(values, indent=2) + "\n")

"""Going back: a run that has come to harm goes on from its last healthy checkpoint, with something changed."""

import torch

from sgtool.errors import UserError
from sgtool.networks.layers import Block
from sgtool.training.resume import read_checkpoint
from sgtool.training.saving import keep_as

MOST_ROLLBACKS = 5  # without progress in between; then the run ends
PROGRESS_TICKS = 4  # that a run must come further than the last time, to have made progress
PATIENCE = 2  # rollbacks to checkpoint.pkl without progress; the next ones go to the checkpoint before it
HEALTHY = "checkpoint-healthy.pkl"  # second name of the last checkpoint whose pictures were as varied as they should be


class Rollback(Exception):
    """Raised between two steps, in all processes alike: the run is to go back and on with a remedy.

    Attributes:
        reason: what happened, a clause.
        remedy: "numbers" (not finite any more), "collapse" (pictures all alike) or "gradients" (they grow without end).
        layers: names of the parameters concerned, such as "D.b8.conv1.weight".
    """

    def __init__(self, reason, remedy, layers=()):
        super().__init__(reason)
        self.reason, self.remedy, self.layers = reason, remedy, tuple(layers)


def half_blocks(state):
    """List the blocks of a state that compute in half precision: "G.synthesis.b64", "D.b64"."""
    names = []
    for network in ("G", "D"):
        for name, module in getattr(state, network).named_modules():
            if isinstance(module, Block) and module.compute_type(state.device) in (torch.float16, torch.bfloat16):
                names.append(f"{network}.{name}")
    return names


def fruitless(history, nimg, config):
    """Count the rollbacks in a row, up to one at `nimg`, of which none came much further than the one before.

    Args:
        history: [{"nimg": where the harm was found, ...}] of the rollbacks so far.
        nimg: where it was found now.
        config: `TrainConfig`.
    Returns:
        0 if this is the first, or the run has made progress since the last one.
    """
    count = 0
    for past in reversed(history):
        if nimg > past["nimg"] + PROGRESS_TICKS * config.tick * 1000:
            break
        count, nimg = count + 1, past["nimg"]
    return count


def remedies(config, back, count, half=()):
    """Choose what to change before the run goes on.

    Numbers that are not finite: first single precision for the blocks concerned, if there is half precision; else, and
    from the second time on, half the learning rates. Pictures all alike: half the learning rate of G, twice the weight of R1.
    Gradients that grow: half the learning rates.

    Args:
        config: `TrainConfig` as it is now.
        back: `Rollback`.
        count: rollbacks without progress before this one.
        half: blocks that compute in half precision, of `half_blocks`.
    Returns:
        {field: (new value, why)}.
    """
    if back.remedy == "collapse":
        changes = {"glr": (config.glr / 2, "slower G after a collapse")}
        return changes | ({"gamma": (config.gamma * 2, "smoother D after a collapse")} if config.gamma else {})
    changes = {}
    if half and back.remedy == "numbers":
        changes = single_precision(config, back.layers if count == 0 else (), half)
        if count == 0:
            return changes
    return changes | {name: (getattr(config, name) / 2, f"smaller steps, as {_why(back)}") for name in ("glr", "dlr")}


def _why(back):
    return "gradients grew without end" if back.remedy == "gradients" else "numbers were no longer finite"


def single_precision(config, layers, half):
    """Compute in single precision: in the blocks that hold `layers`, or in all of them.

    In all, where the harm reaches beyond the blocks of half precision: then it came through them from somewhere.
    """
    inside = {block for block in half if any(name.startswith(block + ".") for name in layers)}
    networks = {name.partition(".")[0] for name in layers}
    beyond = [name for name in layers if not any(name.startswith(block + ".") for block in half)]
    if not inside or beyond or len(networks) > 1 or inside == set(half):
        return {"precision": ("fp32", "numbers were no longer finite in half precision")}
    blocks = sorted({*filter(None, config.fp32_blocks.split(",")), *inside})
    return {"fp32_blocks": (",".join(blocks), "numbers were no longer finite there in half precision")}


def checkpoint_to_go_back_to(folder, back, count):
    """Return the path of the checkpoint to go on from, or None where there is none: then from the start.

    A collapse goes back to where pictures were still varied. Numbers that are not finite: to the last checkpoint, which is
    written in health only; if the same happens again and again, to the one before it.
    """
    if back.remedy == "collapse":
        names = (HEALTHY,)
    elif count < PATIENCE:
        names = ("checkpoint.pkl", "checkpoint-previous.pkl")
    else:
        names = ("checkpoint-previous.pkl", "checkpoint.pkl")
    return next((folder / name for name in names if (folder / name).exists()), None)


def check_patience(folder, back, count, nimg):
    """Raise UserError if going back has not helped often enough."""
    if count >= MOST_ROLLBACKS:
        raise UserError(
            f"Stopped at kimg {nimg / 1000:g}: {back.reason}, and {count} times going back has not helped. "
            f"See {folder / 'events.jsonl'} for what was tried; start anew with a larger --gamma, smaller --glr and --dlr, or "
            "--precision fp32, or look at the data with: sgtool prepare --check"
        )


def go_back(back, plan, state, log, events):
    """Plan to go on from an earlier checkpoint, with remedies, and tell so. Called in all processes; the first one reads.

    What was changed in the run stays changed; random numbers are others, so that not the same happens again.

    Args:
        back: `Rollback`.
        plan: `Plan`; its `checkpoint` is set, in the first process.
        state: `TrainState` as it is now; nothing of it is needed afterwards.
        log: prints a line.
        events: `Events`.
    Raises:
        UserError: it has not helped often enough, or there is no checkpoint.
    """
    count = fruitless(state.rollbacks, state.nimg, state.config)
    check_patience(plan.folder, back, count, state.nimg)
    if not state.world.is_first:
        return
    path = checkpoint_to_go_back_to(plan.folder, back, count)
    if path is None:
        raise UserError(
            f"Stopped at kimg {state.nimg / 1000:g}: {back.reason}, and there is no healthy checkpoint to go back to. Start anew "
            "with smaller --glr and --dlr, or --precision fp32; a source of transfer learning may itself be damaged."
        )
    checkpoint = read_checkpoint(path, log)
    stored = checkpoint["state"]
    nimg = stored["counters"]["nimg"]
    chosen = remedies(state.config, back, count, half_blocks(state))
    notes = [
        {"nimg": nimg, "field": field, "from": getattr(state.config, field), "to": value, "why": why}
        for field, (value, why) in chosen.items()
    ]
    stored["changes"] = state.changes + notes
    stored["rollbacks"] = [*state.rollbacks, {"nimg": state.nimg, "to": nimg, "reason": back.reason}]
    stored["counters"]["attempt"] = state.attempt + 1
    plan.checkpoint = checkpoint
    if back.remedy == "collapse":  # the one before checkpoint.pkl is of the collapse
        keep_as(path, path.with_name("checkpoint-previous.pkl"))
    text = f"Kimg {state.nimg / 1000:g}: {back.reason}. Going back to kimg {nimg / 1000:g} and on with other random numbers and "
    text += described(notes)
    log(text)
    events("rollback", text, state.nimg, to=nimg, layers=list(back.layers)[:20])


def described(notes):
    """Put notes of changes in words: "glr 0.01 -> 0.005, dlr 0.01 -> 0.005 (why)"."""
    numbers = [f"{note['field']} {_short(note['from'])} -> {_short(note['to'])}" for note in notes]
    return f"{', '.join(numbers)} ({'; '.join(dict.fromkeys(note['why'] for note in notes))})"


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"

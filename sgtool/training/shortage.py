"""When memory does not suffice for as many pictures at a time: a phase is computed again, with fewer."""

import gc

import torch

from sgtool.errors import UserError
from sgtool.memory import return_freed_memory
from sgtool.training.changes import change

WHY = "memory did not suffice"
WORDS = (  # in what allocators of CPU, CUDA, cuBLAS, cuDNN and Metal say
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "alloc_failed",
    "could not create a memory",  # oneDNN
    "could not create a primitive",
    "can't start new thread",  # Python: no room for its stack
)


class Shortage(UserError):
    """Memory does not suffice. It may have been in the middle of a step, so that no checkpoint must be written now."""


class ShortElsewhere(Exception):
    """Another process of this run has not enough memory for what all compute now."""


def is_shortage(error):
    """Whether an exception says that memory does not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in WORDS)


def smaller(config):
    """Return the next smaller number of pictures at a time with which training stays the same, None if there is none.

    It is at most half, divides the present number, keeps groups of minibatch standard deviation whole and, with path length
    regularization, gives the same number of pictures for that.
    """
    group = config.batch_gpu if config.mbstd_group is None else config.mbstd_group
    shrink = config.pl_batch_shrink if config.pl_weight else 1
    sizes = range(config.batch_gpu // 2, 0, -1)
    return next((n for n in sizes if config.batch_gpu % n == 0 and n % group == 0 and n % shrink == 0), None)


def agree(state):
    """Go on with an exchange among the processes if all of them still have memory; call it before each one in a phase.

    Raises:
        ShortElsewhere: one of them has not.
    """
    if state.config.batch_gpu_auto and state.world.any(False):
        raise ShortElsewhere


def computed(state, compute):
    """Return what `compute(config)` gives, called again with half as many pictures at a time while memory does not suffice.

    What it computes must leave no trace before it has succeeded in all processes, but for gradients, which it begins anew.

    Args:
        state: `TrainState`; its config changes, with a note, if memory does not suffice.
        compute: function of a `TrainConfig`.
    Raises:
        Shortage: memory does not suffice, and `batch_gpu_auto` is off or no smaller number is left.
    """
    while True:
        result, early = None, torch.zeros([], requires_grad=True).exp()
        try:
            result = compute(state.config)
            short = False
        except ShortElsewhere:
            short = None  # all know it already
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            if not state.config.batch_gpu_auto:
                raise too_little(state.config, error) from error
            short = True
        if short is None or (state.config.batch_gpu_auto and state.world.any(short)):
            del result
            forget_backward(early)
            shrink(state)
        else:
            return result


def forget_backward(early):
    """Free what a backward pass that failed has left in memory.

    Its tasks stay in the queue of this thread, and hold the whole graph, until another pass takes them out: the latest nodes
    of a graph first, so a graph that is older than the failed one comes to its turn after all of them.

    Args:
        early: a scalar with a graph of its own, made before.
    """
    early.backward()


def shrink(state):
    """Compute fewer pictures at a time from now on."""
    for network in (state.G, state.D):
        network.zero_grad(set_to_none=True)
    gc.collect()
    if state.device.type in ("cuda", "mps"):
        getattr(torch, state.device.type).empty_cache()
    else:
        return_freed_memory()
    size = smaller(state.config)
    if size is None:
        raise Shortage(
            f"Not enough memory, even with {state.config.batch_gpu} pictures at a time, and fewer would train differently "
            "(--mbstd-group). Choose smaller networks (--cbase, --cmax) or pictures, or a machine with more memory."
        )
    change(state, "batch_gpu", size, WHY)


def too_little(config, error):
    """Return the error to raise for a run that may not choose by itself."""
    asked = str(error).splitlines()[0][:160] if str(error) else "the allocator gave no details"
    size = smaller(config)
    fewer = f", or a smaller number of pictures at a time, such as --batch-gpu {size}" if size else ""
    return Shortage(
        f"Not enough memory with {config.batch_gpu} pictures at a time ({asked}). Go on from the last checkpoint, or start "
        f"again, with --batch-gpu auto, which computes fewer where that is needed{fewer}."
    )


def outside(error):
    """Return the error to raise for a shortage that is not one of a phase: in a report, or in the optimizer's first step."""
    said = str(error).splitlines()[0][:160] if str(error) else "the system gave no details"
    return Shortage(
        f"Not enough memory beside the training steps ({said}). The last checkpoint is whole: free some memory, or choose a "
        "smaller --batch-gpu, then go on with --resume."
    )

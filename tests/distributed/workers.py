"""What the processes of the tests do. A module of its own, which they import by its name."""

import os
import time
from pathlib import Path

import torch

from sgtool.distributed import joined
from sgtool.errors import UserError


def exchange(scale):
    with joined("cpu", timeout=20) as world:
        total = world.sum_(torch.tensor([1.0, world.rank * scale], dtype=torch.float64)).tolist()
        waiting = torch.tensor([float(world.rank)])
        world.start_sum_(waiting)()
        return {
            "size": world.size,
            "sum": total,
            "started": waiting.item(),
            "gathered": world.gather(("rank", world.rank)),
            "broadcast": world.broadcast(f"of {world.rank}"),
            "any": (world.any(False), world.any(world.rank == 1)),
            "first": world.is_first,
        }


def fail(how):
    with joined("cpu", timeout=5) as world:
        if world.rank == 1:
            if how == "user":
                raise UserError("pictures.zip is damaged. Copy it again.")
            if how == "bug":
                raise ZeroDivisionError("of process 1")
            if how == "killed":
                os.kill(os.getpid(), 9)
            if how == "hangs":
                time.sleep(60)
        world.barrier()


def leave(code):
    with joined("cpu", timeout=20):
        raise SystemExit(code)


def dawdle(path):
    """Begin, say so, and go on until the second Ctrl-C, whatever the first one asks."""
    with joined("cpu", timeout=60) as world:
        try:
            if world.is_first:
                Path(path).write_text("begun")
            time.sleep(120)
        except KeyboardInterrupt:
            time.sleep(120)

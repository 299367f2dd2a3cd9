"""The processes of a job and what they exchange, on torch.distributed; one process needs none of it."""

import contextlib
import datetime
import os
import re

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from sgtool.errors import UserError

TIMEOUT = 600  # seconds that a process waits for another before the job ends


class PeerLost(UserError):
    """Another process ended, or did not answer in time. Its own error is the one to look at."""


class World:
    """The processes of a job.

    Each method is called by all processes alike, in the same order; in a world of one it costs nothing.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process on its machine, which is the number of its GPU.
    """

    def __init__(self, rank=0, size=1, local_rank=0):
        self.rank, self.size, self.local_rank = rank, size, local_rank

    @property
    def is_first(self):
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def sum_(self, tensor):
        """Add a tensor up over all processes, in place; the result is the same to the bit on each. Returns it."""
        if self.size > 1:
            with _peers():
                dist.all_reduce(tensor)
        return tensor

    def start_sum_(self, tensor):
        """Begin to add up; what is returned is called, with nothing, to wait until `tensor` holds the sum."""
        if self.size == 1:
            return lambda: None
        with _peers():
            work = dist.all_reduce(tensor, async_op=True)

        def finish():
            with _peers():
                work.wait()

        return finish

    def gather(self, value):
        """Return the list of what each process gives, by rank: plain values and arrays."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        with _peers():
            dist.all_gather_object(values, value)
        return values

    def broadcast(self, value):
        """Return what the first process gives: plain values and arrays."""
        if self.size == 1:
            return value
        values = [value if self.is_first else None]
        with _peers():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag):
        """Whether the flag is set in any process."""
        if self.size == 1:
            return bool(flag)
        return bool(self.sum_(torch.tensor([float(bool(flag))])).item())

    def barrier(self):
        """Wait until all processes are here."""
        self.any(False)


ALONE = World()


@contextlib.contextmanager
def _peers():
    """Give failures of the exchange one name."""
    try:
        yield
    except RuntimeError as error:  # DistBackendError among them
        text = str(error).splitlines()[0][:200]
        raise PeerLost(f"Another process of this job ended or did not answer; see what it said. ({text})") from error


def place_in_job():
    """Return (rank, size, local rank) as torchrun, `launched` or a scheduler in their way set them; (0, 1, 0) without them.

    Raises:
        UserError: they are no numbers, or do not fit together.
    """
    size = _whole("WORLD_SIZE", 1)
    if size == 1:
        return 0, 1, 0
    if "RANK" not in os.environ:
        raise UserError(
            f"WORLD_SIZE is {size} in the environment, but RANK is not set. "
            "Start the processes with torchrun, or unset WORLD_SIZE."
        )
    rank = _whole("RANK", 0)
    if not 0 <= rank < size:
        raise UserError(f"RANK is {rank} in the environment, and WORLD_SIZE {size}. Start the processes with torchrun.")
    return rank, size, _whole("LOCAL_RANK", rank)


def _whole(name, default):
    """Return the whole number in a variable of the environment."""
    text = os.environ.get(name, str(default))
    if not re.fullmatch(r"\s*\d{1,9}\s*", text):
        raise UserError(
            f"{name} is {text[:40]!r} in the environment, not a number. Unset it, or start the processes with torchrun."
        )
    return int(text)


def is_joined_from_outside():
    """Whether torchrun, or a scheduler in its way, started this process as one of several."""
    return place_in_job()[1] > 1


def _meeting_point(rank, size, timeout):
    """Return where the processes find one another, as arguments of `init_process_group`.

    torchrun may keep its store when it starts all of them again, with the addresses of those that have ended: each start looks
    under a name of its own.
    """
    store, rank, size = next(rendezvous("env://", rank, size, timeout=timeout))
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return {"store": dist.PrefixStore(f"start {start} of {size}", store), "rank": rank, "world_size": size, "timeout": timeout}


@contextlib.contextmanager
def joined(device_type, timeout=TIMEOUT):
    """Take part in the job that this process was started for, by `launched` or by torchrun.

    Args:
        device_type: "cpu" or "cuda"; what is exchanged of tensors lies there (gloo and NCCL).
        timeout: seconds to wait for another process.
    Yields:
        `World`; `ALONE` if this process was started by itself.
    Raises:
        UserError: the device cannot do it.
        PeerLost: the others do not come.
    """
    rank, size, local_rank = place_in_job()
    if size == 1:
        yield ALONE
        return
    if device_type not in ("cpu", "cuda"):
        raise UserError(f"--device {device_type}: one process only. Use --device cpu or cuda, or --gpus 1.")
    if device_type == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"Process {rank} wants GPU {local_rank} of this machine, which has {torch.cuda.device_count()}. "
                "Start as many processes on it as it has GPUs: --gpus, or --nproc-per-node of torchrun."
            )
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
    with _peers():
        try:
            dist.init_process_group(backend, **_meeting_point(rank, size, datetime.timedelta(seconds=timeout)))
        except ValueError as error:  # MASTER_ADDR or MASTER_PORT
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"The processes cannot find one another: {reason}. Start them with torchrun.") from error
    try:
        yield World(rank, size, local_rank)
    finally:
        dist.destroy_process_group()

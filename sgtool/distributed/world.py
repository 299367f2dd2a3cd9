"""The processes of a job and what they exchange, on torch.distributed; one process needs none of it."""

import contextlib
import datetime
import os

import torch
import torch.distributed as dist

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


def is_joined_from_outside():
    """Whether torchrun, or a scheduler in its way, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


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
    if not is_joined_from_outside():
        yield ALONE
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
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
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout))
    try:
        yield World(rank, size, local_rank)
    finally:
        dist.destroy_process_group()

"""The links between the processes of a job: whether sums come out right, and how long they take."""

import os
import socket
import time

import torch

from sgtool.distributed import PeerLost, is_joined_from_outside, joined, launched
from sgtool.doctor.rows import Row
from sgtool.errors import UserError

SIZES = (1 << 10, 1 << 20, 1 << 25)  # float32 numbers that are added up: 4 KB, 4 MB, 128 MB
SLOW = {"gloo": 0.05, "NCCL": 1.0}  # GB/s of the largest sum, below which training waits for the links
REMEDY = (
    "look at the cables and the firewall, and name the network that the machines share, for instance "
    "GLOO_SOCKET_IFNAME=eth0 NCCL_SOCKET_IFNAME=eth0"
)


def links(count=None, timeout=60):
    """Return the rows of the links; in processes that torchrun started, of the whole job, and none but in the first process.

    Args:
        count: processes to start on this machine; None = one for each GPU, or two. Not used under torchrun.
        timeout: seconds after which a link counts as broken.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if is_joined_from_outside():
            found = measured(device, timeout)
        else:
            count = count or max(torch.cuda.device_count(), 2 if device == "cpu" else 1)
            if count == 1:
                return [Row("links", "one GPU: one process trains, and needs none")]
            found = launched(count, measured, device, timeout)
    except (PeerLost, UserError) as error:
        return [Row("links", "a process did not answer", "broken", f"{REMEDY} ({error.message})")]
    return [] if found is None else rows_of(found, device)


def measured(device_type, timeout):
    """Measure in one process of a job.

    Returns:
        {"size", "machines", "right", "seconds": {bytes: seconds of a sum}, "start": seconds}; None in other processes than the
        first.
    """
    begin = time.perf_counter()
    with joined(device_type, timeout) as world:
        device = torch.device(device_type, world.local_rank) if device_type == "cuda" else torch.device("cpu")
        started, seconds, right = time.perf_counter() - begin, {}, True
        for size in SIZES:
            values = torch.full([size], float(world.rank + 1), device=device)
            right &= bool((world.sum_(values.clone()) == world.size * (world.size + 1) / 2).all())
            seconds[4 * size] = min(_timed(world, values) for _ in range(5 if size < SIZES[-1] else 2))
        machines = len(set(world.gather(os.environ.get("GROUP_RANK", socket.gethostname()))))
        right = not world.any(not right)
        found = {"size": world.size, "machines": machines, "right": right, "seconds": seconds, "start": started}
        return found if world.is_first else None


def _timed(world, values):
    """Seconds of one sum, from when all are ready."""
    values = values.clone()
    world.barrier()
    start = time.perf_counter()
    world.sum_(values)
    if values.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rows_of(found, device_type):
    """Return the rows for what `measured` found."""
    backend = "NCCL" if device_type == "cuda" else "gloo"
    where = f"{found['size']} processes on {found['machines']} machine{'s'[: found['machines'] > 1]}"
    if not found["right"]:
        return [Row("links", f"{where}: sums are wrong over {backend}", "broken", f"update the driver, and {REMEDY}")]
    small, large = min(found["seconds"]), max(found["seconds"])
    rate = large / found["seconds"][large] / 1e9
    text = (
        f"{where}, {backend}: started in {found['start']:.1f} s, {small // 1024} KB added up in "
        f"{found['seconds'][small] * 1e6:.0f} us, {large >> 20} MB at {rate:.2f} GB/s"
    )
    details = {"processes": found["size"], "machines": found["machines"], "gb_per_s": rate, "latency_s": found["seconds"][small]}
    if rate < SLOW[backend]:
        return [Row("links", text, "slow", f"training waits for the links; {REMEDY}", details)]
    return [Row("links", text, details=details)]

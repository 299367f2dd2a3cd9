"""How much memory is free, and how much this process has, as the system tells."""

import os
from contextlib import suppress
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


def available_memory(device):
    """Return the bytes that are free on a device for this process, None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return max(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(), 0)
    limits = [limit for limit in (_free_of_system(), _free_of_group(), _free_of_process()) if limit is not None]
    return min(limits, default=None)


def resident_memory():
    """Return the bytes that this process has in memory now, None where the system does not tell."""
    fields = _read("/proc/self/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def has_limit():
    """Whether the address space of this process is limited: freed blocks that are kept are then lost to everything else."""
    return resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _free_of_system():
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _free_of_group():
    """What the control group (a container, a batch job) leaves, version 2."""
    path = next((line.partition("::")[2] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    if path is None:
        return None
    folder = Path("/sys/fs/cgroup") / path.lstrip("/")
    limit, used = _read(folder / "memory.max").strip(), _read(folder / "memory.current").strip()
    return int(limit) - int(used) if limit.isdigit() and used.isdigit() else None


def _free_of_process():
    """What a limit of the process's address space (ulimit -v) leaves."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    size = _read("/proc/self/statm").split()
    if resource is None or limit == resource.RLIM_INFINITY or not size:
        return None
    return max(limit - int(size[0]) * os.sysconf("SC_PAGE_SIZE"), 0)


def _read(path):
    """Return the text of one of the system's files, "" where there is none."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""

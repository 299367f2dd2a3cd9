"""What the benchmarks share: timing side by side, the machine in words, tables, results as JSON."""

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
FLUSH_BYTES = 1 << 30  # written on a GPU before a call is timed: evicts what its cache holds, and lets Python run ahead


def seconds_of(variants, rounds, warm_up=1, device=None, at_most=math.inf):
    """Time calls side by side: each round calls every variant once, in turn, so that a busy machine is unfair to none.

    Args:
        variants: {name: callable}.
        rounds: rounds that count.
        warm_up: rounds before them.
        device: torch.device whose work is timed; None = the CPU. A GPU's own clock is read, with nothing of the tensors
            in its cache.
        at_most: seconds after which no further round is begun, if at least one has counted.
    Returns:
        {name: list of seconds, one for each round}.
    """
    timed, begin = _stopwatch(device), time.perf_counter()
    times = {name: [] for name in variants}
    for i in range(warm_up + rounds):
        if i > warm_up and time.perf_counter() - begin > at_most:
            break
        for name, call in variants.items():
            seconds = timed(call)
            if i >= warm_up:
                times[name].append(seconds)
    return times


def _stopwatch(device):
    """A function that gives the seconds of a call on a device."""
    if device is None or device.type != "cuda":
        return lambda call: _by_clock(call, device)
    import torch

    total = torch.cuda.get_device_properties(device).total_memory
    flush = torch.empty(min(FLUSH_BYTES, total // 16), dtype=torch.int8, device=device)
    return lambda call: _by_events(call, flush)


def _by_clock(call, device):
    start = now(device)
    call()
    return now(device) - start


def _by_events(call, flush):
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    flush.zero_()
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def now(device=None):
    """Return the time in seconds, when all that was asked of the device is done."""
    if device is not None and device.type != "cpu":
        import torch

        getattr(torch, device.type).synchronize()
    return time.perf_counter()


def mark(device):
    """Return a moment in a device's work, for `between`. A GPU is not waited for: it notes the moment when it comes to it."""
    if device.type == "cuda":
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    return now(device)


def between(first, second):
    """Return the seconds from one mark to another; a GPU has to have come to both."""
    return second - first if isinstance(first, float) else first.elapsed_time(second) / 1000


def ratio(above, below):
    """Median of the ratios of two lists of seconds, round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spread(values):
    """Return {"median", "low", "high", "count"} of numbers."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "count": len(values)}


def peak_memory_gb(device=None):
    """Largest memory so far, in GB: what tensors took of the GPU, or else what this process took of the machine."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def forget_peak_memory(device):
    """Let `peak_memory_gb` of a GPU begin anew: trying algorithms in the first steps takes memory that later steps do not."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def machine():
    """Say where the numbers come from."""
    import torch

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return {
        "cpu": _cpu_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip() or None,
        "date": time.strftime("%Y-%m-%d"),
    }


def _cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_table(headings, rows):
    """Print rows under headings: the first column left, the others right."""
    texts = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        first, *others = (
            f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def add_common_options(parser, name, devices=("cpu", "cuda", "mps")):
    """Add what every benchmark of tensors takes: --threads, --device, --json, --out."""
    parser.add_argument("--threads", type=int, default=None, help="of PyTorch (default: as it chooses)")
    parser.add_argument("--device", choices=devices, default="cpu")
    parser.add_argument("--json", action="store_true", help=f"write benchmarks/results/{name}-DATE.json")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="another folder for --json")


def report(name, options, results, as_json, out=RESULTS):
    """Print the machine; with `as_json`, write all to <out>/<name>-<date>.json."""
    facts = machine()
    print("; ".join(f"{key} {value}" for key, value in facts.items() if value is not None))
    if as_json:
        print(f"written to {write(name, options, results, out, facts)}")


def _without_folders(value):
    """Of a file its name alone: folders are this machine's affair."""
    return Path(value).name if isinstance(value, (str, Path)) and Path(value).is_absolute() else value


def write(name, options, results, out=RESULTS, facts=None):
    """Write all to <out>/<name>-<date>.json, over what is there; return the path."""
    facts = facts or machine()
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}-{facts['date']}.json"
    named = {key: _without_folders(value) for key, value in options.items() if key not in ("out", "json")}
    content = {"machine": facts, "options": named, "results": results}
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    return path

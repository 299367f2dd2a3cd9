"""What the benchmarks share: timing side by side, the machine in words, tables, results as JSON."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def seconds_of(variants, rounds, warm_up=1):
    """Time calls side by side: each round calls every variant once, in turn, so that a busy machine is unfair to none.

    Args:
        variants: {name: callable}.
        rounds: rounds that count.
        warm_up: rounds before them.
    Returns:
        {name: list of seconds, one for each round}.
    """
    times = {name: [] for name in variants}
    for i in range(warm_up + rounds):
        for name, call in variants.items():
            start = time.perf_counter()
            call()
            if i >= warm_up:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(above, below):
    """Median of the ratios of two lists of seconds, round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def peak_memory_gb():
    """Largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def machine():
    """Say where the numbers come from."""
    import torch

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS)
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
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


def report(name, options, results, as_json):
    """Print the machine; with `as_json`, write all to results/<name>-<date>.json."""
    facts = machine()
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    if as_json:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}-{facts['date']}.json"
        path.write_text(json.dumps({"machine": facts, "options": options, "results": results}, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")

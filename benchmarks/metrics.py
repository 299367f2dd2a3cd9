"""Seconds, core seconds and memory of the metrics, on random features and pictures; each in a process of its own.

The features resemble Inception's: not negative, most of their variation in 64 directions. For FID they come in parts; for the
others they are held: 0.41 GB for each set of 50,000 rows of 2,048. The first column of memory is the peak of the whole process,
the second is what the input took of it.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --only fid pr --rows 50000 --threads 2
"""

import argparse
import functools
import json
import subprocess
import sys
import time

import measure
import numpy as np
import torch

from sgtool import metrics

DIRECTIONS = 64
PART = 4096  # rows made at once
PICTURES = {"swd": 16384, "msssim": 10_000}  # of 32x32x3, the counts of swd16k and msssim10k
METRICS = ("fid", "kid", "kid-whole", "pr", "density", "memorization", *PICTURES)


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192, help="of features in each set (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=2048, help="of features (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=None, help="in each set (default: as the protocols have)")
    parser.add_argument("--only", nargs="+", choices=METRICS, default=METRICS, metavar="METRIC", help=", ".join(METRICS))
    parser.add_argument("--here", action="store_true", help="measure the one metric of --only in this process, print JSON")
    measure.add_common_options(parser, "metrics", devices=("cpu", "cuda"))
    return parser.parse_args(argv)


def parts_of_features(args, seed):
    """Yield random features `[PART, columns]` float32 until there are enough rows."""
    mix = torch.randn(DIRECTIONS, args.columns, generator=torch.Generator().manual_seed(0)) / 8
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, args.rows, PART):
        rows = min(PART, args.rows - first)
        part = torch.randn(rows, DIRECTIONS, generator=generator) @ mix
        yield part.add_(torch.randn(part.shape, generator=generator), alpha=0.3).relu_().to(args.device)


def features(args, seed):
    """Random features `[rows, columns]` float32, made in parts, so that the peak of memory is not here."""
    result, first = torch.empty(args.rows, args.columns, device=args.device), 0
    for part in parts_of_features(args, seed):
        result[first : first + len(part)] = part
        first += len(part)
    return result


class Clock:
    """Adds up the seconds, and the seconds of all cores, of calls."""

    def __init__(self, device):
        self.device, self.seconds, self.core_seconds = torch.device(device), 0.0, 0.0

    def __call__(self, call, *inputs, **options):
        begin, cores = measure.now(self.device), time.process_time()
        result = call(*inputs, **options)
        self.seconds += measure.now(self.device) - begin
        self.core_seconds += time.process_time() - cores
        return result


def measured(name, args):
    """Measure one metric in this process: {"seconds", "core_seconds", "memory_gb", "input_gb", "value"}."""
    clock, held = Clock(args.device), 0
    if name == "fid":
        statistics = [metrics.MeanAndCovariance(), metrics.MeanAndCovariance()]
        for seed, statistic in enumerate(statistics, 1):
            for part in parts_of_features(args, seed):
                clock(statistic.add, part)
                held = max(held, part.nbytes)
        value = clock(metrics.frechet_distance, *statistics[0].result(), *statistics[1].result())
    elif name in PICTURES:
        number = args.pictures or PICTURES[name]
        sets = [np.random.default_rng(seed).integers(0, 256, [number, 3, 32, 32], np.uint8) for seed in (1, 2)]
        value, held = clock({"swd": metrics.sliced_wasserstein, "msssim": metrics.ms_ssim}[name], *sets), 2 * sets[0].nbytes
    else:
        sets = [features(args, seed) for seed in ((1, 2, 3) if name == "memorization" else (1, 2))]
        value, held = clock(_of_features(name, args), *sets), len(sets) * sets[0].nbytes
    memory = {"memory_gb": measure.peak_memory_gb(torch.device(args.device)), "input_gb": held / 1e9}
    return {"seconds": clock.seconds, "core_seconds": clock.core_seconds} | memory | {"value": value}


def _of_features(name, args):
    return {
        "kid": functools.partial(metrics.kernel_distance, subset_size=min(1000, args.rows)),
        "kid-whole": functools.partial(metrics.kernel_distance, subset_size=None),
        "pr": metrics.precision_recall,
        "density": metrics.density_coverage,
        "memorization": lambda *sets: metrics.memorization(*sets)[:3],
    }[name]


def in_a_new_process(name, args):
    """What `measured` returns, from a process that has done nothing else."""
    options = ["--rows", args.rows, "--columns", args.columns, "--device", args.device]
    options += [x for key in ("pictures", "threads") if getattr(args, key) for x in (f"--{key}", getattr(args, key))]
    command = [sys.executable, __file__, "--here", "--only", name, *map(str, options)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(argv=None):
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.here:
        print(json.dumps(measured(args.only[0], args)))
        return
    results = {name: in_a_new_process(name, args) for name in args.only}
    keys = ("seconds", "core_seconds", "memory_gb", "input_gb")
    rows = [(name, *(f"{row[key]:.2f}" for key in keys)) for name, row in results.items()]
    measure.print_table(["", "seconds", "core seconds", "memory GB", "of it input"], rows)
    measure.report("metrics", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()

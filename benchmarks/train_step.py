"""Training speed: pictures a second, in all and in each phase, with random pictures held in memory.

The standing benchmark (the defaults): 32x32, channel_base 2048, channel_max 64, batch 32, mapping depth 2, z and w of 512, no
augmentation, lazy regularization on.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --resolution 64 --aug 0.5 --cycles 3
"""

import argparse
import dataclasses
import statistics
import time
from collections import defaultdict
from types import SimpleNamespace

import measure
import torch

from sgtool.training import step
from sgtool.training.resolve import Options, resolve
from sgtool.training.run import make_augment, set_backend
from sgtool.training.state import TrainState

CYCLE = 16  # steps after which all phases have run in their proportions
PHASES = {"g_main": "Gmain", "g_reg": "Greg", "d_main": "Dmain", "d_reg": "Dreg"}
REST = "EMA and rest"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32, help="pixels (default: %(default)s)")
    parser.add_argument("--channels", type=int, default=3, help="of the pictures (default: %(default)s)")
    parser.add_argument("--cbase", type=int, default=2048, help="(default: %(default)s)")
    parser.add_argument("--cmax", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--map-depth", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--aug", type=float, default=None, metavar="P", help="augment with this fixed p (default: none)")
    parser.add_argument("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto")
    parser.add_argument("--threads", type=int, default=None, help="of PyTorch (default: as it chooses)")
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], default="cpu")
    parser.add_argument("--cycles", type=int, default=6, help=f"of {CYCLE} steps that count (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/train_step-DATE.json")
    return parser.parse_args()


def configuration(args):
    """The project's own configuration for the options."""
    size = (args.resolution, args.resolution)
    data = SimpleNamespace(name="random", fingerprint="", resolution=size, channels=args.channels, label_dim=0)
    dataset = type("Random", (SimpleNamespace,), {"__len__": lambda self: 10000})(**vars(data))
    augmentation = {"aug": "noaug"} if args.aug is None else {"aug": "fixed", "p": args.aug}
    options = Options(cbase=args.cbase, cmax=args.cmax, batch=args.batch, map_depth=args.map_depth, **augmentation)
    return dataclasses.replace(resolve(options, dataset)[0], precision=args.precision)


def timed_phases(device, spent):
    """Have `run_phase` note its seconds in `spent[phase]`."""
    run_phase = step.run_phase

    def timed(phase, *others):
        start = now(device)
        run_phase(phase, *others)
        spent[PHASES[phase.__name__]].append(now(device) - start)

    step.run_phase = timed


def now(device):
    """Seconds, when all that was asked of the device is done."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
    return time.perf_counter()


def main():
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    config = configuration(args)
    set_backend(config, device)
    state = TrainState.fresh(config, device)
    augment = make_augment(config, device)
    images = torch.rand([args.batch, args.channels, args.resolution, args.resolution], device=device) * 2 - 1
    batch = step.Batch(images, torch.zeros([args.batch, 0], device=device))
    spent, cycles = defaultdict(list), []
    timed_phases(device, spent)
    for cycle in range(args.cycles + 1):
        if cycle == 1:  # the first one warms up
            spent.clear()
        begin = now(device)
        for _ in range(CYCLE):
            start, in_phases = now(device), total(spent)
            step.train_step(state, config, batch, augment)
            spent[REST].append(now(device) - start - (total(spent) - in_phases))
        cycles.append((now(device) - begin) / CYCLE)
    results = {"ms": {name: 1000 * statistics.median(times) for name, times in spent.items()}}
    print_phases(spent, results["ms"], args)
    rates = [args.batch / seconds for seconds in cycles[1:]]
    results |= {"img_per_s": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}
    results["peak_gb"] = measure.peak_memory_gb()
    print(
        "in all: {img_per_s:.1f} img/s ({slowest:.1f} to {fastest:.1f})".format(**results) + f", median of {args.cycles} cycles"
    )
    print(f"peak memory: {results['peak_gb']:.2f} GB")
    measure.report("train_step", vars(args), results, args.json)


def total(spent):
    """Seconds of all phases."""
    return sum(map(sum, spent.values()))


def print_phases(spent, ms, args):
    """A row for each phase: its median, how often it runs, and its share of the time."""
    rows = []
    for name in [name for name in (*PHASES.values(), REST) if name in spent]:
        alone = "-" if name == REST else f"{args.batch / ms[name] * 1000:.1f}"
        often = f"{len(spent[name]) // args.cycles}/{CYCLE}"
        rows.append((name, f"{ms[name]:.1f}", often, alone, f"{sum(spent[name]) / total(spent):.0%}"))
    measure.print_table(["phase", "ms", "steps", "img/s alone", "share"], rows)


if __name__ == "__main__":
    main()

"""How training scales over processes: pictures a second of N processes with a share of the cores each, beside one with all cores.

Both in turn, several times, so that what else the machine does meets both alike; the figure is the ratio of the medians. Random
pictures held in memory, as in train_step.py, whose defaults are taken.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --processes 2 --rounds 5 --json
"""

import argparse
import os
import statistics
import time

import measure
import torch

from sgtool.distributed import joined, launched
from sgtool.training.beginning import make_augment, set_backend
from sgtool.training.resolve import Options, resolve
from sgtool.training.shares import own_places
from sgtool.training.state import TrainState
from sgtool.training.step import Batch, train_step

CYCLE = 16  # steps after which all phases have run in their proportions


class Pictures:
    """What `resolve` asks of a dataset."""

    name, fingerprint, channels, label_dim, labels = "random", "random", 3, 0, None

    def __init__(self, resolution, number=1000):
        self.resolution, self.number = (resolution, resolution), number

    def __len__(self):
        return self.number


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32, help="pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="of all processes together (default: %(default)s)")
    parser.add_argument("--cbase", type=int, default=2048, help="(default: %(default)s)")
    parser.add_argument("--cmax", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--cycles", type=int, default=2, help=f"of {CYCLE} steps in a round (default: %(default)s)")
    measure.add_common_options(parser, "scaling", devices=("cpu", "cuda"))
    return parser.parse_args(argv)


def pictures_per_second(args, processes):
    """Train in this process, one of some, and return pictures a second of all of them."""
    torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    with joined(args.device) as world:
        device = torch.device(args.device, world.local_rank) if args.device == "cuda" else torch.device("cpu")
        options = Options(cfg="tiny", batch=args.batch, cbase=args.cbase, cmax=args.cmax, aug="noaug", gpus=processes)
        config, _ = resolve(options, Pictures(args.resolution))
        set_backend(config, device)
        state, augment = TrainState.fresh(config, device, world), make_augment(config, device)
        number = len(own_places(config, world))
        batch = Batch(
            torch.rand(number, 3, args.resolution, args.resolution, device=device) * 2 - 1, torch.zeros(number, 0, device=device)
        )
        for _ in range(CYCLE):
            train_step(state, config, batch, augment)
        world.barrier()
        start = time.perf_counter()
        for _ in range(args.cycles * CYCLE):
            train_step(state, config, batch, augment)
        float(state.pl_mean)  # waits for a GPU
        world.barrier()
        return args.cycles * CYCLE * args.batch / (time.perf_counter() - start)


def main(argv=None):
    args = arguments(argv)
    found = {1: [], args.processes: []}
    for _ in range(args.rounds):
        for processes, rates in found.items():
            rates.append(launched(processes, pictures_per_second, args, processes))
    results = {f"{processes} processes, img/s": measure.spread(rates) for processes, rates in found.items()}
    one, several = (statistics.median(rates) for rates in found.values())
    results["ratio"] = several / one
    if not args.json:
        for processes, rates in found.items():
            print(f"{processes} process{'es'[: 2 * (processes > 1)]}: {statistics.median(rates):.1f} pictures a second")
        print(f"ratio {several / one:.2f}")
    measure.report("scaling", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()

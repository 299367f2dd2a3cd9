"""Memory of training on a CPU: what is foretold before the first step, and the peak after some steps, each in a new process.

python benchmarks/memory.py
python benchmarks/memory.py --only tiny32 small64 --json
"""

import argparse
import json
import subprocess
import sys
from types import SimpleNamespace

import measure

SETTINGS = {  # name: (side, options of sgtool train)
    "tiny32": (32, {"cfg": "tiny"}),
    "tiny32-128": (32, {"cfg": "tiny", "batch": 128}),
    "small64": (64, {"batch": 8, "cbase": 2048}),
    "narrow128": (128, {"batch": 4, "cbase": 4096, "cmax": 128}),
    "narrow256": (256, {"batch": 4, "cbase": 2048, "cmax": 64}),
    "auto64": (64, {"batch": 8}),
}


class Pictures(SimpleNamespace):
    """As much of a dataset as planning looks at."""

    def __len__(self):
        return 1000


def arguments(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="settings (default: all)")
    parser.add_argument("--steps", type=int, default=2, help="the first has all four phases (default: %(default)s)")
    parser.add_argument("--here", help=argparse.SUPPRESS)  # measure one setting in this process
    measure.add_common_options(parser, "memory", devices=("cpu",))
    return parser.parse_args(argv)


def measured(name, steps):
    """Train a setting for some steps in this process; returns {"foretold", "activations", "peak"} in GB."""
    import torch

    from sgtool.memory import keep_freed_memory
    from sgtool.training.augment import AugmentPipe
    from sgtool.training.budget import foretell
    from sgtool.training.pipes import pipe_of
    from sgtool.training.plan import Plan
    from sgtool.training.reports import memory_gb
    from sgtool.training.resolve import Options, resolve
    from sgtool.training.state import TrainState
    from sgtool.training.step import Batch, train_step

    side, options = SETTINGS[name]
    data = Pictures(resolution=(side, side), channels=3, name="noise", fingerprint="", label_dim=0)
    config, reasons = resolve(Options(**options), data)
    plan = foretell(Plan(config, reasons, options, "", data, torch.device("cpu")))
    keep_freed_memory()
    state, pipe = TrainState.fresh(config, "cpu"), AugmentPipe(**pipe_of(config.augpipe))
    state.ada.p = 0.5
    for _ in range(steps):
        images = torch.rand(config.batch, 3, side, side) * 2 - 1
        batch = Batch(images, torch.zeros(config.batch, 0))
        train_step(state, config, batch, lambda images, p, draws: pipe(images, p, draws=draws))
    return {"foretold": plan.total / 1e9, "activations": plan.activations / 1e9, "peak": memory_gb(state.device)[0]}


def main(argv=None):
    """Measure each setting in a process of its own."""
    args = arguments(argv)
    if args.here:
        print(json.dumps(measured(args.here, args.steps)))
        return
    found = {}
    for name in args.only:
        line = [sys.executable, __file__, "--here", name, "--steps", str(args.steps)]
        found[name] = json.loads(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    columns = ("foretold", "activations", "peak")
    rows = [[name, *(f"{row[key]:.2f}" for key in columns)] for name, row in found.items()]
    for cells, row in zip(rows, found.values(), strict=True):
        cells.append(f"{row['peak'] / row['foretold']:.2f}")
    measure.print_table(["GB", "foretold", "of these, activations", "peak", "peak / foretold"], rows)
    measure.report("memory", vars(args), found, args.json, args.out)


if __name__ == "__main__":
    main()

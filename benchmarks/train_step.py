"""Training speed: pictures a second, in all and in each phase, with random pictures held in memory.

The standing benchmark (the defaults): 32x32, channel_base 2048, channel_max 64, batch 32, mapping depth 2, z and w of 512, no
augmentation, lazy regularization on. s/kimg are the seconds of training for 1000 real pictures: all phases, each as often as
it runs, averages and augmentation; without reading data, metrics and snapshots.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --resolution 64 --aug 0.5 --cycles 3
    python benchmarks/train_step.py --precision bf16 --profile
"""

import argparse
import contextlib
import statistics
from collections import defaultdict
from types import SimpleNamespace

import breakdown
import measure
import operations
import torch
import ways
from ceilings import Ceilings
from torch.profiler import ProfilerActivity, profile

from sgtool.networks import describe_precision
from sgtool.training import step
from sgtool.training.beginning import make_augment, set_backend
from sgtool.training.resolve import Options, resolve
from sgtool.training.state import TrainState

CYCLE = 16  # steps after which all phases have run in their proportions
PHASES = tuple(phase.name for phase in step.PHASES)
REST, WHOLE = "EMA and rest", "whole step"
PROFILED = CYCLE  # steps
LONGEST = 15  # kernels that are listed by name


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32, help="pixels (default: %(default)s)")
    parser.add_argument("--channels", type=int, default=3, help="of the pictures (default: %(default)s)")
    parser.add_argument("--cbase", type=int, default=2048, help="(default: %(default)s)")
    parser.add_argument("--cmax", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--batch-gpu", type=int, default=None, help="computed at a time (default: the batch)")
    parser.add_argument("--map-depth", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--aug", type=float, default=None, metavar="P", help="augment (bgc) with this fixed p (default: none)")
    parser.add_argument("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto")
    parser.add_argument("--cycles", type=int, default=6, help=f"of {CYCLE} steps that count (default: %(default)s)")
    ways.add_comparison(parser, "steps with all phases", 2)
    parser.add_argument("--profile", action="store_true", help="also say where the time goes, over one more cycle")
    measure.add_common_options(parser, "train_step")
    return parser.parse_args(argv)


def configuration(args):
    """The project's own configuration for the options."""
    size = (args.resolution, args.resolution)
    data = SimpleNamespace(name="random", fingerprint="", resolution=size, channels=args.channels, label_dim=0)
    dataset = type("Random", (SimpleNamespace,), {"__len__": lambda self: 10000})(**vars(data))
    augmentation = {"aug": "noaug"} if args.aug is None else {"aug": "fixed", "p": args.aug}
    widths = {"cbase": args.cbase, "cmax": args.cmax, "map_depth": args.map_depth}
    options = Options(batch=args.batch, batch_gpu=args.batch_gpu, precision=args.precision, **widths, **augmentation)
    return resolve(options, dataset)[0]


class Training:
    """A run without data, files and reports.

    Attributes:
        config, state, augment, batch: what `train_step` takes.
    """

    def __init__(self, args):
        self.device, self.config = torch.device(args.device), configuration(args)
        set_backend(self.config, self.device)
        self.state = TrainState.fresh(self.config, self.device)
        self.augment = make_augment(self.config, self.device)
        shape = [args.batch, args.channels, args.resolution, args.resolution]
        images = torch.rand(shape, device=self.device) * 2 - 1
        self.batch = step.Batch(images, torch.zeros([args.batch, 0], device=self.device))

    def step(self):
        step.train_step(self.state, self.config, self.batch, self.augment)

    def marked_step(self):
        """Do a step; return {phase, or whole: (mark before, mark after)}."""
        marks = {}
        with marked_phases(self.device, marks):
            start = measure.mark(self.device)
            self.step()
            marks[WHOLE] = start, measure.mark(self.device)
        return marks

    def cycle(self, spent):
        """Do a cycle, note each phase's seconds in `spent`, and return the seconds of a step."""
        start = measure.now(self.device)
        steps = [self.marked_step() for _ in range(CYCLE)]
        seconds = measure.now(self.device) - start
        for marks in steps:
            note(marks, spent)
        return seconds / CYCLE

    def full_step(self, spent):
        """Do a step in which every phase runs, and note its seconds. The steps' number stays, so that cycles stay whole."""
        before, self.state.step = self.state.step, 0
        marks = self.marked_step()
        measure.now(self.device)
        note(marks, spent)
        self.state.step = before

    def operations(self):
        """{phase: {dtype: operations}} of the dense layers for one real picture of a step that has the phase."""
        forward = operations.of_generator(self.state.G), operations.of_discriminator(self.state.D, self.batch.images)
        return operations.of_phases(self.config, *forward)


@contextlib.contextmanager
def marked_phases(device, marks):
    """Have `run_phase` note its begin and end in `marks[phase]`."""
    run_phase = step.run_phase

    def marked(phase, *others):
        start = measure.mark(device)
        run_phase(phase, *others)
        marks[phase.name] = start, measure.mark(device)

    step.run_phase = marked
    try:
        yield
    finally:
        step.run_phase = run_phase


def note(marks, spent):
    """Add each phase's seconds, and what is left of the step, to the lists in `spent`."""
    seconds = {name: measure.between(*pair) for name, pair in marks.items()}
    seconds[REST] = 2 * seconds[WHOLE] - sum(seconds.values())
    del seconds[WHOLE]
    for name, value in seconds.items():
        spent[name].append(value)


def measure_training(training, args):
    """Seconds, side by side with another way of computing the same.

    Returns:
        ({phase: seconds of each time it ran}, {phase: seconds the other way}, [seconds of a step in each cycle],
        largest memory of the project's own steps in GB).
    """
    spent, other, cycles, memory, another_way = defaultdict(list), defaultdict(list), [], None, ways.other_way(args)
    training.cycle(defaultdict(list))  # warms up
    measure.forget_peak_memory(training.device)
    for i in range(args.cycles):
        cycles.append(training.cycle(spent))
        memory = measure.peak_memory_gb(training.device) if memory is None else memory
        for _ in range(args.compared * i // args.cycles, args.compared * (i + 1) // args.cycles):  # spread over the cycles
            with another_way():
                if not other:
                    training.full_step(defaultdict(list))  # warms up
                training.full_step(other)
    return spent, other, cycles, memory


def of_a_step(seconds, often):
    """Mean seconds of a step, from {phase: seconds of each time} and {phase: how often it runs in a step}."""
    return sum(statistics.median(seconds[phase]) * share for phase, share in often.items())


def summary(training, args, spent, other, cycles, ceilings):
    """All figures as plain values."""
    often = {phase: len(times) / len(cycles) / CYCLE for phase, times in spent.items()}
    phases, config = training.operations(), training.config
    floor = ceilings.floor(operations.of_training(config, phases))  # seconds for a picture
    rates = measure.spread([args.batch / seconds for seconds in cycles])
    results = {"img_per_s": rates, "s_per_kimg": 1000 / rates["median"]}
    results["phases"] = {phase: {"ms": measure.spread([1000 * s for s in times])} for phase, times in spent.items()}
    for phase, row in results["phases"].items():
        row |= {"often": often[phase], "share": sum(spent[phase]) / sum(map(sum, spent.values()))}
        if phase in phases:
            row["gflop"] = args.batch * sum(phases[phase].values()) / 1e9
            row["of_floor"] = args.batch * ceilings.floor(phases[phase]) / statistics.median(spent[phase])
        if phase in other:
            row["other_ms"] = measure.spread([1000 * s for s in other[phase]])
    results["gflop_per_img"] = sum(operations.of_training(config, phases).values()) / 1e9
    results |= {"floor_img_per_s": 1 / floor, "of_floor": rates["median"] * floor, "ceilings_gflop_per_s": ceilings.by_name()}
    if other:
        results["ratio"] = of_a_step(other, often) / of_a_step(spent, often)
    return results


def print_summary(results, args):
    """A row for each phase, then what counts."""
    rows = []
    for name in [name for name in (*PHASES, REST) if name in results["phases"]]:
        row = results["phases"][name]
        ms = row["ms"]["median"]
        other = row["other_ms"]["median"] if "other_ms" in row else None
        rows.append((
            name, f"{ms:.1f}", f"{row['often'] * CYCLE:.0f}/{CYCLE}", f"{row['share']:.0%}",
            "-" if name == REST else f"{args.batch / ms * 1000:.1f}",
            f"{row['of_floor']:.0%}" if "of_floor" in row else "-",
            "-" if other is None else f"{other:.1f}", "-" if other is None else f"{other / ms:.1f}x",
        ))  # fmt: skip
    measure.print_table(["phase", "ms", "steps", "share", "img/s alone", "of floor", f"{args.against} ms", "faster"], rows)
    rate = "in all: {median:.1f} img/s ({low:.1f} to {high:.1f}), median of {count} cycles".format(**results["img_per_s"])
    print(rate + "; {s_per_kimg:.2f} s/kimg".format(**results))
    if "ratio" in results:
        print(f"{results['ratio']:.1f} times as fast as {ways.IN_WORDS[args.against]}")
    floor = "floor: {gflop_per_img:.2f} GFLOP/img in dense layers allow {floor_img_per_s:.1f} img/s; {of_floor:.0%} of that"
    print(floor.format(**results))


def profile_steps(training):
    """Look at a cycle with torch.profiler; {group: seconds} of the CPU, and on CUDA {kernel: (seconds, count)}."""
    on_cuda = training.device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_cuda else ProfilerActivity.CPU
    with profile(activities=[activity], record_shapes=not on_cuda) as profiler:
        start = measure.now(training.device)
        for _ in range(PROFILED):
            training.step()
        wall = measure.now(training.device) - start
    events = profiler.events()
    if not on_cuda:
        return {"groups": breakdown.by_group(events, wall)}
    kernels = breakdown.by_kernel(events)
    return {"groups": breakdown.by_kernel_group(kernels, wall), "kernels": dict(list(kernels.items())[:LONGEST])}


def print_profile(profiled):
    """Where the time of steps goes; profiling itself takes time, most of it outside the ops."""
    total = sum(profiled["groups"].values())
    print(f"\n{PROFILED} steps under the profiler: {total:.2f} s")
    measure.print_table(["", "s", "share"], [(name, f"{s:.3f}", f"{s / total:.0%}") for name, s in profiled["groups"].items()])
    if profiled.get("kernels"):
        rows = [(name[:90], f"{1000 * s:.2f}", n, f"{s / total:.1%}") for name, (s, n) in profiled["kernels"].items()]
        measure.print_table(["kernel", "ms", "calls", "share"], rows)
    print()


def main(argv=None):
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    training = Training(args)
    ceilings = Ceilings(training.device)
    dtypes = operations.of_training(training.config, training.operations())
    ceilings.measure(dtypes)
    spent, other, cycles, memory = measure_training(training, args)
    ceilings.measure(dtypes)
    results = summary(training, args, spent, other, cycles, ceilings) | {"peak_gb": memory}
    print_summary(results, args)
    words, cautions = describe_precision(training.state.G, args.precision, training.device)
    print("; ".join([f"computed in {words}", *cautions]))
    print(f"ceilings: {ceilings.in_words()}; peak memory: {memory:.2f} GB")
    if args.profile or training.device.type == "cuda":
        if args.json:
            measure.write("train_step", vars(args), results, args.out)  # profiling may take longer than there is time
        results["profile"] = profile_steps(training)
        print_profile(results["profile"])
    measure.report("train_step", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()

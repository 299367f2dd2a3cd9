"""Each op's path for this device beside its definition (impl="reference") and beside what the machine can do, in the same run.

python benchmarks/ops.py
python benchmarks/ops.py --size 4 64 256 --dtype bfloat16
python benchmarks/ops.py --device cuda

Resampling and activations move memory: GB/s, each byte of inputs and result counted once, and the share of what copying as many
bytes reaches. Convolutions multiply: GFLOP/s, and the share of the machine's best.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
import torch
from ceilings import Ceilings, copy_gb_per_s, copying

from sgtool.ops import bias_act, conv2d_resample, downsample2d, filter2d, modulated_conv2d, setup_filter, upsample2d

SIZES = {  # batch, channels, height and width of x; a word in the names of the cases that are measured there
    "cpu": [((8, 64, 64), ""), ((4, 512, 32), "conv2d")],
    "cuda": [((16, 64, 256), ""), ((4, 32, 1024), ", 4 taps"), ((16, 512, 64), "conv2d")],
}
DTYPES = {"cpu": "float32", "cuda": "float16"}  # what the networks take by themselves
TAPS = {4: [1, 3, 3, 1], 12: [1, 2, 4, 6, 9, 11, 11, 9, 6, 4, 2, 1]}  # of the networks; as many as those of the augmentation
CLAMP = 256  # of the networks
LIMITS = {"cpu": None, "cuda": 45}  # seconds; GPUs are lent by the minute
PER_ROW = {"cpu": 1.0, "cuda": 0.5}  # seconds, if the rounds are not done before


@dataclass
class Case:
    """An op on tensors.

    Attributes:
        call: `impl -> result`.
        inputs: tensors to differentiate, pictures first.
        operations: of the forward pass if the op multiplies; 0: it moves memory.
        keeps_result: the backward pass reads the result too.
        twice: the second derivative is an op of its own.
    """

    name: str
    call: Callable
    inputs: list
    operations: int = 0
    keeps_result: bool = False
    twice: bool = False


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", nargs=3, type=int, action="append", metavar=("BATCH", "CHANNELS", "PIXELS"),
        help="of the pictures that go in; may be repeated (default: those of networks)",
    )  # fmt: skip
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="(default: float32, on cuda float16)")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose names contain it")
    parser.add_argument("--rounds", type=int, default=15, help="that count (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=None, metavar="S", help="begin no further case after this long (default: on cuda 45)"
    )
    measure.add_common_options(parser, "ops", devices=("cpu", "cuda"))
    args = parser.parse_args(argv)
    args.dtype = args.dtype or DTYPES[args.device]
    args.seconds = args.seconds or LIMITS[args.device]
    return args


def cases(n, channels, size, dtype, device):
    """All cases on `[n, channels, size, size]`."""
    make = functools.partial(torch.randn, device=device, dtype=dtype)
    x = make(n, size, size, channels).permute(0, 3, 1, 2).requires_grad_(True)
    b = make(channels).requires_grad_(True)
    w = make(channels, channels, 3, 3).requires_grad_(True)
    styles = torch.randn(n, channels, device=device, requires_grad=True)
    found = [Case("bias_act lrelu", _partial(bias_act, x, b, act="lrelu", clamp=CLAMP), [x, b], keeps_result=True, twice=True)]
    for taps, values in TAPS.items():
        f = setup_filter(values, device=device)
        for op in (upsample2d, filter2d, downsample2d):
            found.append(Case(f"{op.__name__}, {taps} taps", _partial(op, x, f), [x]))
    f = setup_filter(TAPS[4], device=device)
    twice = device.type == "cpu"  # the definition needs kernels as large as pictures, which cuDNN is not made for
    resampling = {"": ({}, 1), " up 2": ({"up": 2}, 1), " down 2": ({"down": 2}, 4)}
    for suffix, (factors, fewer) in resampling.items():
        operations = 2 * w.numel() * n * size * size // fewer
        call = _partial(conv2d_resample, x, w, f=f if factors else None, padding=1, **factors)
        found.append(Case(f"conv2d_resample{suffix}", call, [x, w], operations, twice=twice))
        if "down" not in factors:
            call = _partial(modulated_conv2d, x, w, styles, padding=1, resample_filter=f if factors else None, **factors)
            found.append(Case(f"modulated_conv2d{suffix}", call, [x, w, styles], operations, twice=twice))
    return found


def _partial(op, *positional, **named):
    return lambda impl: op(*positional, **named, impl=impl)


def passes(case, impl):
    """{pass: callable} of a case; the graph for the backward passes is made once."""
    y = case.call(impl)
    dy = torch.randn_like(y).requires_grad_(True)
    calls = {
        "forward": lambda: case.call(impl),
        "backward": lambda: torch.autograd.grad(y, case.inputs, dy, retain_graph=True),
    }
    if case.twice:
        (dx,) = torch.autograd.grad(y, case.inputs[:1], dy, create_graph=True)
        ddx, others = torch.randn_like(dx), [dy, *case.inputs[1:]]
        calls["double"] = lambda: torch.autograd.grad(dx, others, ddx, retain_graph=True, allow_unused=True)
    return calls


def bytes_of(case, which):
    """Bytes that a pass has to read and to write, each once."""
    pictures, rest = _bytes(case.inputs[0]), sum(map(_bytes, case.inputs[1:]))
    with torch.no_grad():
        result = _bytes(case.call("auto"))
    total = pictures + result + (0 if which == "double" else rest)  # the second derivative goes from ddx to ddy
    return total + (result if case.keeps_result and which != "forward" else 0)


def _bytes(t):
    return t.numel() * t.element_size()


def time_case(case, rounds, device):
    """{pass: {"auto", "reference" and "copy": seconds of each round}}, and {pass: bytes copied}."""
    auto, reference = passes(case, "auto"), passes(case, "reference")
    times, copied = {}, {}
    for name in auto:
        variants = {"auto": auto[name], "reference": reference[name]}
        if not case.operations:
            variants["copy"], copied[name] = copying(bytes_of(case, name), device)
        times[name] = measure.seconds_of(variants, rounds, device=device, at_most=PER_ROW[device.type])
    return times, copied


def figures(case, which, times, copied, ceiling):
    """What is reported of a pass; see `time_case`. `ceiling` is in GFLOP/s."""
    values = {f"{impl}_s": measure.spread(times[impl]) for impl in ("auto", "reference")}
    values["ratio"] = measure.ratio(times["reference"], times["auto"])
    median = values["auto_s"]["median"]
    if case.operations:
        values["gflop_per_s"] = case.operations * (1 if which == "forward" else 2) / median / 1e9
        values["share"] = values["gflop_per_s"] / ceiling
    else:
        values["gb_per_s"] = bytes_of(case, which) / median / 1e9
        values["share"] = measure.ratio(times["copy"], times["auto"]) * bytes_of(case, which) / copied
    return values


def measure_size(size, word, args, ceiling, late):
    """{"<case> <pass>": figures} of the cases with a word in their names; those that begin too late are left out, and named."""
    device, found, left_out = torch.device(args.device), {}, []
    torch.manual_seed(0)
    for case in cases(*size, getattr(torch, args.dtype), device):
        if args.only not in case.name or word not in case.name:
            continue
        if late():
            left_out.append(case.name)
            continue
        times, copied = time_case(case, args.rounds, device)
        for which in times:
            found[f"{case.name} {which}"] = figures(case, which, times[which], copied.get(which), ceiling)
    if left_out:
        print(f"left out, the time was up: {', '.join(left_out)}")
    return found


def print_size(size, dtype, found):
    n, channels, pixels = size
    for unit, share in (("gb_per_s", "of copying"), ("gflop_per_s", "of ceiling")):
        rows = [
            (name, _ms(row["auto_s"]), _ms(row["reference_s"]), f"{row['ratio']:.1f}x", f"{row[unit]:.1f}", f"{row['share']:.0%}")
            for name, row in found.items()
            if unit in row
        ]
        if rows:
            what = {"gb_per_s": "GB/s", "gflop_per_s": "GFLOP/s"}[unit]
            measure.print_table(
                [f"[{n}, {channels}, {pixels}, {pixels}] {dtype}", "ms", "reference", "faster", what, share], rows
            )
            print()


def _ms(seconds):
    return f"{1000 * seconds['median']:.3g}"


def first_results():
    """Seconds from the first call of an op to its result, in new processes: with an empty cache of kernels, and a full one."""
    script = Path(__file__).with_name("first_kernel.py")
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for cache in ("cold", "warm"):
            environment = os.environ | {"SGTOOL_CACHE": folder}
            done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{script.name} failed: {done.stderr.strip()}")
            runs[cache] = json.loads(done.stdout.splitlines()[-1])
    return runs


def main(argv=None):
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    device, begin = torch.device(args.device), time.perf_counter()
    results = {"copy_gb_per_s": copy_gb_per_s(device)}
    ceilings = Ceilings(device)
    ceilings.measure([torch.float32, torch.float16 if args.dtype == "float16" else torch.bfloat16])
    results["gflop_per_s"] = ceilings.by_name()
    print(f"ceilings: copy {results['copy_gb_per_s']:.1f} GB/s; {ceilings.in_words()}")
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True  # as in training
        results["first_results"] = first_results()
        for cache, seconds in results["first_results"].items():
            print(f"kernels, {cache} cache: " + ", ".join(f"{op} {value:.3f} s" for op, value in seconds.items()))
    print()
    for size, word in [(size, "") for size in args.size or []] or SIZES[args.device]:
        late = lambda: args.seconds is not None and time.perf_counter() - begin > args.seconds
        found = measure_size(size, word, args, results["gflop_per_s"][args.dtype], late)
        print_size(size, args.dtype, found)
        results[str(list(size))] = found
    measure.report("ops", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()

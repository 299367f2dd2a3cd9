"""Pictures a second that a generator makes, from seed to uint8, beside what the machine can do and beside the ops' definitions.

python benchmarks/generate.py
python benchmarks/generate.py --size tiny 64 --pictures 64
python benchmarks/generate.py --size full 256 --precision bf16
"""

import argparse
import contextlib
import itertools
import statistics

import measure
import operations
import torch
import ways
from ceilings import Ceilings

from sgtool.latents import generate
from sgtool.memory import keep_freed_memory
from sgtool.networks import build_generator, set_precision

WIDTHS = {"tiny": (2048, 64, 128), "full": (16384, 512, 512)}  # channel_base, channel_max, z and w
PIXELS = {"cpu": 1 << 16, "mps": 1 << 18, "cuda": 1 << 22}  # of a round, if --pictures is not given


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", nargs=2, action="append", metavar=("WIDTH", "PIXELS"),
        help=f"network ({' or '.join(WIDTHS)}) and resolution; may be repeated (default: tiny 32, full 32, full 256)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=int, default=None, help="a round (default on a CPU: 64 at 32 pixels, 4 at 256)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--precision", choices=["auto", "fp32", "fp16", "bf16"], default="auto")
    ways.add_comparison(parser, "rounds", 1)
    measure.add_common_options(parser, "generate")
    args = parser.parse_args(argv)
    for width, pixels in args.size or []:
        if width not in WIDTHS or not pixels.isdigit():
            parser.error(f"--size {width} {pixels}: say {' or '.join(WIDTHS)}, and a number of pixels")
    return args


def make(width, pixels, device, precision):
    base, most, latent = WIDTHS[width]
    torch.manual_seed(0)
    synthesis = {"channel_base": base, "channel_max": most, "num_fp16_res": 4, "conv_clamp": 256}
    kwargs = {"z_dim": latent, "c_dim": 0, "w_dim": latent, "img_resolution": pixels, "img_channels": 3}
    G = build_generator(**kwargs, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=synthesis)
    set_precision(G, precision)
    return G.to(device).eval().requires_grad_(False)


def time_rounds(G, count, args):
    """Seconds of rounds of `count` pictures: the project's own, and the other way, in turn as long as there are those."""

    def one_round(way):
        with way():
            if sum(1 for _ in itertools.islice(generate(G, range(count)), count)) != count:
                raise RuntimeError("pictures are missing")

    own, other = lambda: one_round(contextlib.nullcontext), lambda: one_round(ways.other_way(args))
    times = measure.seconds_of({"own": own, "other": other}, args.compared) if args.compared else {"own": [], "other": []}
    more = measure.seconds_of({"own": own}, max(args.rounds - args.compared, 0), warm_up=0 if args.compared else 1)
    return times, times["own"] + more["own"]


def figures(G, count, times, every, ceilings):
    """All figures of a network as plain values."""
    needed = operations.of_generator(G)
    ceilings.measure(needed)
    floor = ceilings.floor(needed)
    rates = measure.spread([count / seconds for seconds in every])
    result = {"pictures": count, "img_per_s": rates, "gflop_per_img": sum(needed.values()) / 1e9}
    result |= {"floor_img_per_s": 1 / floor, "of_floor": rates["median"] * floor}
    if times["other"]:
        result["other_img_per_s"] = count / statistics.median(times["other"])
        result["ratio"] = measure.ratio(times["other"], times["own"])
    return result


def main(argv=None):
    args = arguments(argv)
    ways.other_way(args)  # says what --against is
    if args.threads:
        torch.set_num_threads(args.threads)
    device, rows, results = torch.device(args.device), [], {}
    ceilings = Ceilings(device)
    if device.type == "cpu":
        keep_freed_memory()  # as `sgtool generate` does
    for width, pixels in args.size or [("tiny", "32"), ("full", "32"), ("full", "256")]:
        G = make(width, int(pixels), device, args.precision)
        count = args.pictures or max(PIXELS[args.device] // int(pixels) ** 2, 4)
        result = results[f"{width} {pixels}"] = figures(G, count, *time_rounds(G, count, args), ceilings)
        rows.append(row(f"{width} {pixels}x{pixels}", result))
    headings = ["network", "pictures", "img/s", "from", "to", "GFLOP/img", "floor img/s", "of floor", args.against, "faster"]
    measure.print_table(headings, rows)
    print(f"ceilings: {ceilings.in_words()}; peak memory: {measure.peak_memory_gb(device):.2f} GB")
    results["ceilings_gflop_per_s"], results["peak_gb"] = ceilings.by_name(), measure.peak_memory_gb(device)
    measure.report("generate", vars(args), results, args.json, args.out)


def row(name, result):
    rates = [f"{result['img_per_s'][key]:.1f}" for key in ("median", "low", "high")]
    floor = [f"{result['gflop_per_img']:.2f}", f"{result['floor_img_per_s']:.1f}", f"{result['of_floor']:.0%}"]
    other = [f"{result['other_img_per_s']:.1f}", f"{result['ratio']:.1f}x"] if "ratio" in result else ["-", "-"]
    return (name, result["pictures"], *rates, *floor, *other)


if __name__ == "__main__":
    main()

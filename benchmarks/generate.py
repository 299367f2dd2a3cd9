"""Pictures a second that a generator makes, from seed to uint8.

python benchmarks/generate.py
python benchmarks/generate.py --size tiny 64 --pictures 64
"""

import argparse
import itertools
import statistics
import time

import measure
import torch

from sgtool.latents import generate
from sgtool.networks import build_generator

WIDTHS = {"tiny": (2048, 64, 128), "full": (16384, 512, 512)}  # channel_base, channel_max, z and w


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", nargs=2, action="append", metavar=("WIDTH", "PIXELS"),
        help=f"network ({' or '.join(WIDTHS)}) and resolution; may be repeated (default: tiny 32, full 32, full 256)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=int, default=None, help="a round (default: 64 at 32 pixels, 4 at 256)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="of PyTorch (default: as it chooses)")
    parser.add_argument("--device", choices=["cpu", "cuda", "mps"], default="cpu")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/generate-DATE.json")
    return parser.parse_args()


def make(width, pixels, device):
    base, most, latent = WIDTHS[width]
    torch.manual_seed(0)
    synthesis = {"channel_base": base, "channel_max": most, "num_fp16_res": 4, "conv_clamp": 256}
    kwargs = {"z_dim": latent, "c_dim": 0, "w_dim": latent, "img_resolution": pixels, "img_channels": 3}
    G = build_generator(**kwargs, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=synthesis)
    return G.to(device).eval().requires_grad_(False)


def main():
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    rows, results = [], {}
    for width, pixels in args.size or [("tiny", "32"), ("full", "32"), ("full", "256")]:
        G, pixels = make(width, int(pixels), args.device), int(pixels)
        count = args.pictures or max(64 * 32 * 32 // pixels**2, 4)
        rates = []
        for _ in range(args.rounds + 1):
            start = time.perf_counter()
            made = sum(1 for _ in itertools.islice(generate(G, range(count)), count))
            rates.append(made / (time.perf_counter() - start))
        rate = statistics.median(rates[1:])
        rows.append((f"{width} {pixels}x{pixels}", count, f"{rate:.1f}"))
        results[f"{width} {pixels}"] = rate
    measure.print_table(["network", "pictures", "img/s"], rows)
    print(f"peak memory: {measure.peak_memory_gb():.2f} GB")
    measure.report("generate", vars(args), results, args.json)


if __name__ == "__main__":
    main()

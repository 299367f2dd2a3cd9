"""The page of a long run: its size, the seconds to write it for the first time and again, and to read its numbers.

A run folder is simulated: 25,000 kimg in 6,250 ticks, 126 snapshots with sheets of 7168x4096 pixels, which look like photographs
(smooth, with grain; eight different ones under all the names). Nothing is trained.

    python benchmarks/report.py
    python benchmarks/report.py --ticks 100 --sheets 5 --cell 64 --keep /tmp/simulated
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
from PIL import Image

from sgtool.reporting import Report, write_report
from sgtool.reporting.history import History

COLUMNS = (
    "Loss/G/loss", "Loss/D/loss", "Loss/G/reg", "Loss/D/reg", "Loss/scores/real", "Loss/scores/fake", "Loss/signs/real",
    "Loss/signs/fake", "Loss/r1_penalty", "Loss/pl_penalty", "Gradients/G/norm", "Gradients/D/norm", "Health/real_minus_heldout",
    "Health/diversity", "Progress/rt", "Progress/augment", "Progress/skipped_steps", "Timing/sec_per_tick", "Timing/sec_per_kimg",
    "Timing/data_sec", "Timing/maintenance_sec", "Timing/total_sec", "Timing/reports/page", "Timing/reports/metrics",
    "Resources/cpu_mem_gb", "Resources/peak_gpu_mem_gb",
)  # fmt: skip
DIFFERENT = 8
METRICS = ("fid50k_full", "kid50k_full", "swd16k", "msssim10k")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=6250, help="of 4 kimg (default: %(default)s)")
    parser.add_argument("--sheets", type=int, default=126, help="of generated pictures (default: %(default)s)")
    parser.add_argument("--cell", type=int, default=1024, help="pixels of a picture's side (default: %(default)s)")
    parser.add_argument("--keep", metavar="DIR", help="make the folder here and leave it (default: a temporary one)")
    measure.add_common_options(parser, "report", devices=("cpu",))
    return parser.parse_args(argv)


def sheet(path, cell, seed):
    """A sheet of about 7680x4320 pixels: smooth random pictures with grain, as photographs are."""
    rng = np.random.RandomState(seed)
    columns, rows = max(7680 // cell, 1), max(4320 // cell, 1)
    coarse = Image.fromarray(rng.randint(0, 256, [rows * 12, columns * 12, 3]).astype(np.uint8))
    smooth = coarse.resize((columns * cell, rows * cell), Image.Resampling.BICUBIC)
    grain = rng.randint(0, 8, [256, 256, 3]).astype(np.uint8)
    pixels = np.asarray(smooth).astype(np.uint16)
    pixels += np.tile(grain, [-(-pixels.shape[0] // 256), -(-pixels.shape[1] // 256), 1])[: pixels.shape[0], : pixels.shape[1]]
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, compress_level=1)


def simulate(folder, args):
    """Fill a run folder."""
    rng = np.random.RandomState(0)
    values = np.cumsum(rng.randn(args.ticks, len(COLUMNS)), axis=0) / 30 + 5
    with open(folder / "stats.jsonl", "w", encoding="utf-8") as file:
        for i, row in enumerate(values):
            stats = {name: {"num": 4000, "mean": value, "std": 0.1234567890123} for name, value in zip(COLUMNS, row, strict=True)}
            file.write(json.dumps(stats | {"nimg": 4000 * (i + 1), "timestamp": 1.8e9 + 60 * i}) + "\n")
    each = max(4 * args.ticks // max(args.sheets - 1, 1), 1)
    for name in METRICS:
        with open(folder / f"metric-{name}.jsonl", "w", encoding="utf-8") as file:
            for i in range(args.sheets):
                value = 100 / (i + 1) + rng.rand()
                line = {
                    "metric": name,
                    "results": {name: value},
                    "intervals": {name: [value - 1, value + 1]},
                    "nimg": 1000 * each * i,
                }
                file.write(json.dumps(line) + "\n")
    with open(folder / "events.jsonl", "w", encoding="utf-8") as file:
        for i in range(40):
            what = {"kind": ("resume", "change", "rollback", "memory")[i % 4], "text": "something happened " * 5}
            file.write(json.dumps(what | {"nimg": 4000 * args.ticks * i // 40, "timestamp": 1.8e9 + i}) + "\n")
    config = {
        "dataset": "simulated",
        "height": args.cell,
        "width": args.cell,
        "kimg": 4 * args.ticks,
        "aug": "ada",
        "target": 0.6,
    }
    (folder / "training_options.json").write_text(json.dumps({"config": config, "reasons": {}}), encoding="utf-8")
    (folder / "log.txt").write_text("tick 1\n" * args.ticks + "Warning: something\n", encoding="utf-8")
    names = ["fakes_init.png", "reals.png", *(f"fakes{each * i:06d}.png" for i in range(args.sheets))]
    for i, name in enumerate(names):
        if i < DIFFERENT:
            sheet(folder / name, args.cell, i)
        else:
            os.link(folder / names[i % DIFFERENT], folder / name)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measured(folder):
    """Return what the page of a folder takes, as {name: number}."""
    found = {"read": seconds(History(folder).refresh), "first": seconds(lambda: write_report(folder))}
    found["again"] = seconds(lambda: write_report(folder))
    report = Report(folder)
    found["resumed"] = seconds(report.write)
    found["tick"] = seconds(report.write)
    return found | {"bytes": (folder / "report.html").stat().st_size}


def main(argv=None):
    args = arguments(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "stats.jsonl").exists():
            simulate(folder, args)
        found = measured(folder)
    words = {
        "read": "s to read stats.jsonl", "first": "s, sgtool report for the first time", "again": "s, sgtool report again",
        "resumed": "s, the first page of a run gone on with", "tick": "s, the next page while training",
        "bytes": "bytes, the page",
    }  # fmt: skip
    for name, value in found.items():
        print(f"{value:12,.3f}  {words[name]}" if name != "bytes" else f"{value:12,d}  {words[name]}")
    measure.report("report", vars(args), found, args.json, args.out)


if __name__ == "__main__":
    main()

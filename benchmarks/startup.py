"""Seconds until `sgtool --help` and the help of each command answer, and what importing the rest takes.

python benchmarks/startup.py
"""

import argparse
import statistics
import subprocess
import sys

import measure

from sgtool.cli import COMMANDS


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="that count (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/startup-DATE.json")
    return parser.parse_args()


def python(*arguments):
    return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)


def main():
    args = arguments()
    variants = {"python alone": python("-c", "pass"), "sgtool --help": python("-m", "sgtool", "--help")}
    variants |= {f"sgtool {name} --help": python("-m", "sgtool", name, "--help") for name in COMMANDS}
    times = measure.seconds_of(variants, args.rounds)
    modules = ("torch", "sgtool.datasets.prepare", "sgtool.latents", "sgtool.training.run")
    times |= measure.seconds_of({f"import {name}": python("-c", f"import {name}") for name in modules}, max(args.rounds // 3, 1))
    medians = {name: statistics.median(values) for name, values in times.items()}
    measure.print_table(["", "seconds"], [(name, f"{value:.2f}") for name, value in medians.items()])
    measure.report("startup", vars(args), medians, args.json)


if __name__ == "__main__":
    main()

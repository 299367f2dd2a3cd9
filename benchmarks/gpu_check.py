"""All that needs a GPU, in one go and under nine minutes: tests, compute-sanitizer, benchmarks; a summary as JSON and as a table.

PYTHONPATH=. python benchmarks/gpu_check.py      (or: make gpu-check)

Each step has its own time limit, and a step that fails does not stop those after it. Needs the checkout, PyTorch, pytest and
the packages of sgtool[cu12] or sgtool[cu13]; no network. Writes gpu-check.json and gpu-check.log to $OUT, by default
benchmarks/results/gpu. Exit code 1 if anything failed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure

from sgtool.ops import cuda

ROOT = Path(__file__).parents[1]
TOTAL = 520  # seconds for all steps together
TRAIN = ["benchmarks/train_step.py", "--device", "cuda", "--cycles", "1", "--aug", "0.5", "--json"]  # as the published times


@dataclass
class Step:
    """A command and how long it may take."""

    name: str
    command: list
    seconds: int
    variables: dict
    needs: str = ""  # a program that has to be on the PATH; without it the step is left out


def steps():
    """What is run, in this order: what is worth most first."""
    sanitizer = ["compute-sanitizer", "--error-exitcode", "9", "--tool"]
    every = [sys.executable, "tests/gpu/every_kernel.py"]
    alone = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # each tensor in memory of its own, so that reading past its end is noticed
    pytest = ["-m", "pytest", "tests/gpu", "-q", "-W", "default", "-p", "no:cacheprovider", "--durations", "5", "-rs"]
    return [
        Step("kernels against the definition, each once", [sys.executable, *pytest, "-k", "every_kernel"], 100, {}),
        Step("tests on the GPU", [sys.executable, *pytest, "-k", "not every_kernel"], 150, {}),
        Step("benchmark ops", [sys.executable, "benchmarks/ops.py", "--device", "cuda", "--json"], 60, {}),
        Step("benchmark train 256", [sys.executable, *TRAIN, *train_options(256)], 70, {}),
        Step("benchmark train 1024", [sys.executable, *TRAIN, *train_options(1024)], 90, {}),
        Step("benchmark generate", [sys.executable, "benchmarks/generate.py", "--device", "cuda", "--json"], 40, {}),
        Step("memcheck", [*sanitizer, "memcheck", *every], 100, alone, "compute-sanitizer"),
        Step("racecheck", [*sanitizer, "racecheck", *every, "upfirdn2d"], 60, alone, "compute-sanitizer"),
    ]


def train_options(resolution):
    """Width and batch of the preset `auto` at a resolution (see sgtool/training/presets.py)."""
    batch, base = {256: (16, 16384), 1024: (4, 32768)}[resolution]
    sizes = {"--resolution": resolution, "--batch": batch, "--cbase": base, "--cmax": 512}
    return [str(word) for pair in sizes.items() for word in pair]


def run(step, limit, environment, log):
    """Run a step; return {"status": ok, failed, late or left out, "seconds": ..., "end": last lines}."""
    if step.needs and not shutil.which(step.needs):
        return {"status": "left out", "seconds": 0.0, "end": f"{step.needs} is not on the PATH"}
    if limit < 10:
        return {"status": "late", "seconds": 0.0, "end": "no time was left"}
    start = time.perf_counter()
    with subprocess.Popen(
        step.command, cwd=ROOT, env=environment | step.variables, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            text = process.communicate(timeout=limit)[0]
            status = "failed" if process.returncode else "ok"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # what it started too, or the GPU stays taken
            status, text = "late", process.communicate()[0]
    seconds = time.perf_counter() - start
    log.write(f"==== {step.name}: {status} after {seconds:.0f} s: {' '.join(map(str, step.command))}\n{text}\n")
    log.flush()
    print(f"{step.name}: {status} ({seconds:.0f} s)", flush=True)
    if status != "ok":
        print("\n".join(text.splitlines()[-40:]), flush=True)
    return {"status": status, "seconds": round(seconds, 1), "end": "\n".join(text.splitlines()[-25:])}


def files():
    """{path: content} of the results that lie in benchmarks/results."""
    return {path: path.read_text(encoding="utf-8") for path in measure.RESULTS.glob("*.json")}


def new_results(before):
    """What benchmarks wrote since `before = files()`; the folder is put back as it was, so that runs do not mix."""
    found = {path: text for path, text in files().items() if before.get(path) != text}
    for path in found:
        if path in before:
            path.write_text(before[path], encoding="utf-8")
        else:
            path.unlink()
    return {path.stem: json.loads(text) for path, text in sorted(found.items())}


def card():
    """Name, driver and memory of the GPUs, in nvidia-smi's words."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    except OSError as error:
        return [f"nvidia-smi: {error}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="steps whose names contain it")
    args = parser.parse_args()
    if reason := cuda.unavailable():
        sys.exit(f"{reason} There is nothing to check.")
    folder = Path(os.environ.get("OUT") or measure.RESULTS / "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    begin, results = time.perf_counter(), {}
    summary = {"machine": measure.machine(), "gpus": card(), "steps": results}
    with tempfile.TemporaryDirectory() as cache, open(folder / "gpu-check.log", "w", encoding="utf-8") as log:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "SGTOOL_CACHE": cache, "PYTHONUNBUFFERED": "1"}
        for step in steps():
            if args.only not in step.name:
                continue
            before = files()
            left = TOTAL - (time.perf_counter() - begin)
            results[step.name] = run(step, min(step.seconds, left), environment, log)
            results[step.name]["results"] = new_results(before)
            (folder / "gpu-check.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print("\n".join(["", *summary["gpus"]]))
    measure.print_table(["step", "", "seconds"], [(name, r["status"], f"{r['seconds']:.0f}") for name, r in results.items()])
    print(f"in all {time.perf_counter() - begin:.0f} s; written to {folder}")
    sys.exit(any(r["status"] in ("failed", "late") for r in results.values()))


if __name__ == "__main__":
    main()

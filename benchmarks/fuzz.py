"""Open many thousand broken model files, and see that nothing breaks but the file.

Real files of every format are changed at random (mutations.py) and loaded, or inspected, in processes that watch themselves:
Python's audit hook stops and records anything but reading that file; memory, time and the kind of error are
measured. A file may load or be refused by a UserError; all else is a finding, and its bytes are kept.

    python benchmarks/fuzz.py --inputs 100000 --processes 2 --seed 1
    python benchmarks/fuzz.py --seed 1 --show 4711      # that one input again, with its trace
"""

import argparse
import collections
import gc
import json
import os
import platform
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "snapshots" / "hostile")]

import audit  # noqa: E402
import messages  # noqa: E402
import mutations  # noqa: E402
import originals  # noqa: E402

SECONDS = 10  # a load longer than this is a finding
WAYS = (audit.load, audit.inspect)  # in turn
ROOM = 24 << 20  # bytes of memory beyond twice an honest load, for the arenas of malloc


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="changed files to open (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="that work at the same time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="files to change, by their names (default: all)")
    parser.add_argument("--small", action="store_true", help="only files made on the spot, no reference data")
    parser.add_argument("--found", type=Path, default=Path("work/fuzz"), help="folder for findings (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--show", type=int, metavar="N", help="open input N and say what happens")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def changed(files, seed, number):
    """Input `number`: (name of the original, its changed bytes)."""
    rng = random.Random(f"{seed}/{number}")
    weights = [1 if len(file.data) < 100_000 else 0.25 for file in files.values()]
    (name,) = rng.choices(list(files), weights)
    file = files[name]
    others = [other.data for other in files.values() if other.kind == file.kind]
    return name, mutations.mutate(file.kind, file.data, rng, others)


# The processes that open files.
def work(args):
    """Open inputs; print a line of JSON before and after each."""
    files = originals.all_files(args.small, tuple(args.only))
    audit.warm_up()
    audit.LIMIT_SECONDS = SECONDS
    watch = audit.Watch()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        honest = {name: _honest(file.data, path, watch) for name, file in files.items()}
        say({"honest": honest})
        audit.limit_memory()
        gc.freeze()  # what is there stays: collecting looks at what is new only
        for i in range(args.first + args.worker, args.first + args.inputs, args.processes):
            say({"begins": i})
            name, data = changed(files, args.seed, i)
            record = opened(data, path, watch, WAYS[i % len(WAYS)]) | {"number": i, "of": name, "path": str(path)}
            say(record | {"findings": findings(record, honest[name])})


def _honest(data, path, watch):
    """What an unchanged file costs, the second time."""
    opened(data, path, watch)
    return opened(data, path, watch)


def opened(data, path, watch, open_file=audit.load):
    """Write bytes to a file and open it under the watch; see `audit.examine`."""
    path.write_bytes(data)
    made = set(os.listdir(path.parent))
    record = audit.examine(open_file, path, watch)
    record["made"] = sorted(set(os.listdir(path.parent)) - made)
    return record


def findings(record, honest):
    """What may not happen and did: a list of words."""
    found = []
    if record["outcome"] == "error":
        found.append(record["message"].splitlines()[0][:200])
    found += [f"event {event}" for event in record["events"]]
    found += [f"file made: {name}" for name in record["made"]]
    if record["outcome"] == "refused":
        found += [f"message: {problem}" for problem in messages.problems(record["message"], record["path"])]
    if record["seconds"] > SECONDS:
        found.append(f"{record['seconds']:.1f} seconds")
    if record["peak"] > 2 * honest["peak"] + ROOM:
        found.append(f"{record['peak'] >> 20} MB of memory, an honest file takes {honest['peak'] >> 20}")
    return found


def say(entry):
    print(json.dumps(entry), flush=True)


# The process that watches them.
class Worker(threading.Thread):
    """Runs a share of the inputs, in a new process where one dies, and puts what it says into a queue."""

    def __init__(self, share, args, out):
        super().__init__(daemon=True)
        self.share, self.args, self.out = share, args, out

    def run(self):
        args = self.args
        first, end = args.first, args.first + args.inputs
        while first + self.share < end:
            lost = self._process(first, end - first)
            if lost is None:
                break
            self.out.put(lost)
            if lost["number"] is None:
                break
            first = lost["number"] + args.processes - self.share
        self.out.put({"ends": self.share})

    def _process(self, first, count):
        """Returns the record of the input that the process died of, or None."""
        args = self.args
        options = {
            "--inputs": count,
            "--processes": args.processes,
            "--seed": args.seed,
            "--first": first,
            "--worker": self.share,
        }
        command = [sys.executable, str(Path(__file__)), *(str(word) for option in options.items() for word in option)]
        command += ["--small"] * args.small + (["--only", *args.only] if args.only else [])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
        ):
            begun = None
            for line in process.stdout:
                entry = json.loads(line)
                begun = entry.get("begins") if "begins" in entry else None
                if "begins" not in entry:
                    self.out.put(entry)
            code = process.wait()
            errors.seek(0)
            told = errors.read()[-2000:]
        if code == 0:
            return None
        crash = {"number": begun, "of": "?", "outcome": "crash", "message": told, "seconds": 0, "peak": 0}
        return crash | {"findings": [f"the process ended with code {code}"]}


class Tally:
    """What has been seen so far."""

    def __init__(self):
        self.outcomes = collections.defaultdict(collections.Counter)
        self.reasons, self.slowest, self.largest = collections.Counter(), {}, {}
        self.findings, self.honest, self.count = [], {}, 0

    def add(self, entry):
        self.count += 1
        of = entry["of"]
        self.outcomes[of][entry["outcome"]] += 1
        self.slowest[of] = max(self.slowest.get(of, 0), entry["seconds"])
        self.largest[of] = max(self.largest.get(of, 0), entry["peak"])
        if entry["outcome"] == "refused":
            self.reasons[" ".join(entry["message"].split()[1:5])] += 1
        if entry["findings"]:
            self.findings.append({key: entry[key] for key in ("number", "of", "outcome", "message", "findings")})

    def result(self, args, seconds):
        rows = {}
        for of, outcomes in sorted(self.outcomes.items()):
            honest = self.honest.get(of, {"seconds": 0, "peak": 0})
            rows[of] = dict(outcomes) | {
                "largest_seconds": round(self.slowest[of], 3),
                "honest_seconds": round(honest["seconds"], 3),
                "largest_mb": round(self.largest[of] / 2**20, 1),
                "honest_mb": round(honest["peak"] / 2**20, 1),
            }
        return {
            "inputs": self.count,
            "seed": args.seed,
            "first": args.first,
            "processes": args.processes,
            "seconds": round(seconds),
            "python": platform.python_version(),
            "machine": platform.platform(),
            "outcomes": dict(sum((counter for counter in self.outcomes.values()), collections.Counter())),
            "findings": self.findings,
            "originals": rows,
            "refusals_begin_with": dict(self.reasons.most_common(40)),
        }


def run(args):
    """Open all inputs. Returns the result as a dict."""
    out, tally, begin, told = queue.Queue(), Tally(), time.monotonic(), 0.0
    for share in range(args.processes):
        Worker(share, args, out).start()
    running = args.processes
    while running:
        try:
            entry = out.get(timeout=60)
        except queue.Empty:
            continue
        if "ends" in entry:
            running -= 1
        elif "honest" in entry:
            tally.honest = entry["honest"]
        elif entry["number"] is None:
            raise SystemExit(f"the process that opens files did not begin:\n{entry['message']}")
        else:
            tally.add(entry)
            keep(entry, args)
        now = time.monotonic()
        if now - told > 5 or not running:
            told = now
            print(progress(tally, args, now - begin), file=sys.stderr, flush=True)
    return tally.result(args, time.monotonic() - begin)


def keep(entry, args):
    """Keep the bytes of a finding."""
    if entry["findings"]:
        _, data = changed(originals.all_files(args.small, tuple(args.only)), args.seed, entry["number"])
        args.found.mkdir(parents=True, exist_ok=True)
        path = args.found / f"{args.seed}-{entry['number']}.bin"
        path.write_bytes(data)
        print(f"{path}: {'; '.join(entry['findings'])[:300]}", file=sys.stderr)


def progress(tally, args, seconds):
    rate = max(tally.count, 1) / seconds
    left = (args.inputs - tally.count) / rate / 60
    return f"{tally.count:,} of {args.inputs:,} inputs, {rate:.0f} a second, {left:.1f} min left, {len(tally.findings)} findings"


def show(args):
    """Open one input, here, and tell."""
    name, data = changed(originals.all_files(args.small, tuple(args.only)), args.seed, args.show)
    args.found.mkdir(parents=True, exist_ok=True)
    path = args.found / f"{args.seed}-{args.show}.bin"
    path.write_bytes(data)
    print(f"input {args.show}, from {name}, {len(data):,} bytes: {path}")
    audit.warm_up()
    print(json.dumps(audit.examine(WAYS[args.show % len(WAYS)], path, audit.Watch()), indent=1).replace("\\n", "\n"))


def main(given=None):
    args = arguments(given)
    if args.worker is not None:
        return work(args)
    if args.show is not None:
        return show(args)
    result = run(args)
    text = json.dumps(result, indent=1)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return result


if __name__ == "__main__":
    sys.exit(bool((main() or {}).get("findings")))

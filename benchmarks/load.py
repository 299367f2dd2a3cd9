"""Seconds and memory to open a 1024x1024 config-f snapshot (random weights) in the layout of stylegan2-ada-pytorch, and others.

python benchmarks/load.py
python benchmarks/load.py --resolution 256

Each load is a process of its own. Memory is what the load added at its peak to that of a process that had imported everything, as
a multiple of the file (Linux only).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

sys.path.append(str(Path(__file__).parents[1] / "tests" / "snapshots"))
LOAD = """
import json, sys, time
from sgtool import snapshots
from sgtool.snapshots import opened
kind, path = sys.argv[1:]
def peak():  # of this program: what getrusage tells goes back to before it was started
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
before, start = peak(), time.perf_counter()
if kind == "description":
    with opened(path) as contents:
        assert contents.networks["G_ema"].state, "no tensors"
elif kind == "G_ema":
    assert snapshots.load(path, networks=()).D is None, "D was loaded"
else:
    assert snapshots.load(path).D is not None, "no D"
print(json.dumps([time.perf_counter() - start, peak() - before]))
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024, help="of the pictures (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="loads of each kind (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/load-DATE.json")
    return parser.parse_args()


def write_files(folder, resolution):
    """Write one snapshot in several formats; return {name: path}."""
    import makers  # stands beside the tests, which use it too

    from sgtool.networks import build_discriminator, build_generator
    from sgtool.snapshots import Snapshot, safetensors_file, save

    shape = {"img_resolution": resolution, "img_channels": 3}
    G, G_ema = (build_generator(z_dim=512, c_dim=0, w_dim=512, **shape, synthesis_kwargs={}).requires_grad_(False) for _ in "ab")
    D = build_discriminator(c_dim=0, **shape).requires_grad_(False)
    paths = {name: folder / name for name in ("NVIDIA's pickle", "sgtool's snapshot", "safetensors")}
    makers.write_nvidia(paths["NVIDIA's pickle"], {"G": G, "D": D, "G_ema": G_ema}, augment_p=0.3)
    snapshot = Snapshot(G_ema, G, D)
    save(snapshot, paths["sgtool's snapshot"])
    safetensors_file.write(snapshot, paths["safetensors"], ("G_ema", "G", "D"))
    return paths


def loaded(kind, path):
    """(seconds, bytes) of one load in a process of its own."""
    out = subprocess.run([sys.executable, "-c", LOAD, kind, str(path)], capture_output=True, check=True, text=True).stdout
    return json.loads(out)


def main():
    args = arguments()
    results, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_files(Path(folder), args.resolution).items():
            size = path.stat().st_size
            for kind in ("description", "G_ema", "all networks"):
                runs = [loaded(kind, path) for _ in range(args.rounds)]
                seconds, held = min(seconds for seconds, _ in runs), max(held for _, held in runs)
                results[f"{name}, {kind}"] = {"seconds": seconds, "peak_bytes": held, "file_bytes": size}
                rows.append(
                    (name, f"{size / 1e6:.0f} MB", kind, f"{seconds:.2f} s", f"{held / 1e6:.0f} MB", f"{held / size:.2f}")
                )
    measure.print_table(["file", "size", "what is loaded", "time", "memory", "of file"], rows)
    measure.report("load", vars(args), results, args.json)


if __name__ == "__main__":
    main()

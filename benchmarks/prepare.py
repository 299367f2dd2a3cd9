"""sgtool prepare: pictures per second and memory, beside the same work done plainly with Pillow; and reading for training.

    python benchmarks/prepare.py --json

Photographs of 1600x1200 are made of noise at all scales, which compresses like a photograph; sprites are cut from one sheet.
Each run is a process of its own, so that starting it and its workers is counted.
"""

import argparse
import contextlib
import ctypes
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import measure
import numpy as np
from PIL import Image

from sgtool.datasets import open_dataset
from sgtool.datasets.png import encode_png

PHOTO, SPRITE, SMALL = (1600, 1200), 24, 16  # pixels
BATCH, KEPT_BYTES = 64, 1 << 30
POLL_SECONDS = 0.1
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--sprites", type=int, default=10_000)
    parser.add_argument("--small", type=int, default=100_000, help="pictures for the measurement of memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/prepare-DATE.json")
    parser.add_argument("--out", type=Path, default=measure.RESULTS, metavar="DIR", help="another folder for --json")
    return parser.parse_args(argv)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def photograph(random):
    """Noise of equal power at every scale, in three channels that go together, as in photographs: uint8 `[H, W, 3]`."""
    width, height = PHOTO
    picture = np.zeros([height, width, 3], np.float32)
    side = 4
    while side < width:
        noise = random.normal(size=[side * 3 // 4, side, 1]) + 0.3 * random.normal(size=[side * 3 // 4, side, 3])
        for channel in range(3):
            layer = Image.fromarray(noise[:, :, channel].astype(np.float32))
            picture[:, :, channel] += np.asarray(layer.resize(PHOTO, Image.Resampling.BICUBIC)) * min(1.0, 16 / side) ** 0.5
        side *= 2
    return (128 + 40 * picture).clip(0, 255).astype(np.uint8)


def make_photographs(folder, number):
    """Write JPEG files: a dozen different ones, again and again."""
    folder.mkdir()
    random = np.random.RandomState(0)
    files = []
    for _ in range(min(number, 12)):
        buffer = io.BytesIO()
        Image.fromarray(photograph(random)).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    for i in range(number):
        (folder / f"{i:05d}.jpg").write_bytes(files[i % len(files)])
    return sum(map(len, files)) / len(files)


def make_sheet(path, number):
    """Write a sprite sheet with transparent parts, 100 sprites in a row."""
    random = np.random.RandomState(0)
    cells = random.randint(0, 256, [number // 100, SPRITE, 100 * SPRITE, 4], np.uint8)
    cells[..., 3] = 255 * (cells[..., 3] > 100)
    Image.fromarray(cells.reshape(-1, 100 * SPRITE, 4)).save(path)


def make_small(path, number):
    """Write a zip of small pictures."""
    random = np.random.RandomState(0)
    files = [encode_png(picture) for picture in random.randint(0, 256, [100, SMALL, SMALL, 3], np.uint8)]
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(number):
            archive.writestr(f"{i:07d}.png", files[i % 100])


# ---------------------------------------------------------------------------------------------------------------------
# What is measured


def command(*options):
    """Run `sgtool prepare` with options."""
    subprocess.run([sys.executable, "-m", "sgtool", "prepare", *map(str, options), "--force"], check=True, capture_output=True)


def plainly(folder, dest, side=256):
    """Crop and resize every file of a folder with Pillow, one after the other, into a zip of PNG files."""
    with zipfile.ZipFile(dest, "w", zipfile.ZIP_STORED) as archive:
        for i, path in enumerate(sorted(folder.iterdir())):
            with Image.open(path) as image:
                crop = min(image.size)
                left, top = (image.width - crop) // 2, (image.height - crop) // 2
                box = (left, top, left + crop, top + crop)
                small = image.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            small.save(buffer, "PNG", compress_level=0)
            archive.writestr(f"{i:08d}.png", buffer.getvalue())


def largest_difference(folder, dest, side=256):
    """Mean absolute difference, of 255, between a dataset and the full-quality way; the largest of some pictures."""
    dataset, worst = open_dataset(dest), 0.0
    for i, path in enumerate(sorted(folder.iterdir())[:12]):
        with Image.open(path) as image:
            crop = min(image.size)
            left, top = (image.width - crop) // 2, (image.height - crop) // 2
            whole = image.crop((left, top, left + crop, top + crop)).resize((side, side), Image.Resampling.LANCZOS)
        worst = max(worst, float(np.abs(dataset[i][0].transpose(1, 2, 0).astype(int) - np.asarray(whole)).mean()))
    return worst


def family(process):
    """A process and all that it started."""
    found = [process]
    for number in found:
        try:
            for task in os.listdir(f"/proc/{number}/task"):
                found += map(int, Path(f"/proc/{number}/task/{task}/children").read_text().split())
        except OSError:  # it has just ended
            continue
    return found


def memory_of(process):
    """Megabytes that a process and all that it started take together; what they share is counted once."""
    total = 0
    for number in family(process):
        try:
            text = Path(f"/proc/{number}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1000


def peak_memory(*options):
    """Largest memory of a run with its workers, in MB, and its seconds. Linux only: None elsewhere."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    start, peak = time.perf_counter(), 0.0
    arguments = [sys.executable, "-m", "sgtool", "prepare", *map(str, options), "--force"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(POLL_SECONDS)
    if process.returncode:
        sys.exit("sgtool prepare failed while its memory was measured")
    return {"megabytes": peak, "seconds": time.perf_counter() - start}


def read_all(dataset):
    for i in range(len(dataset)):
        dataset[i]


def read_batches(dataset):
    for start in range(0, len(dataset), BATCH):
        dataset.batch(range(start, min(start + BATCH, len(dataset))))


def core_seconds(call):
    """Seconds that all cores spent on a call and on what it started: other programs do not count. Linux only: None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # workers that outlive their parent are ours to wait for
    others, before = set(family(os.getpid())), own_core_seconds()
    call()
    for process in set(family(os.getpid())) - others:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)
    return own_core_seconds() - before


def own_core_seconds():
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure_preparing(folder, args):
    """Return {name: (number of pictures, seconds of each round, core seconds)}."""
    crop = ("--resolution", 256, "--transform", "center-crop")
    cells = ("--tile", SPRITE, "--resolution", 32, "--transform", "pad")
    calls = {
        "photographs": lambda: command(folder / "photos", folder / "photos.zip", *crop),
        "photographs, plainly": lambda: plainly(folder / "photos", folder / "plain.zip"),
        "sprites": lambda: command(folder / "sheet.png", folder / "sprites.zip", *cells),
    }
    times = measure.seconds_of(calls, args.rounds, warm_up=0)
    numbers = {"sprites": args.sprites}
    return {name: (numbers.get(name, args.photos), times[name], core_seconds(call)) for name, call in calls.items()}


def measure_reading(path, rounds):
    """As `measure_preparing`, for the pictures of a dataset: from the file, and from memory."""
    dataset, kept = open_dataset(path), open_dataset(path)
    if not kept.keep(KEPT_BYTES):
        sys.exit(f"{path} is too large to be kept in memory")
    calls = {
        "read 64x64 from a zip": lambda: read_all(dataset),
        "read 64x64 from memory": lambda: read_batches(kept),  # the first time, which does not count, from the zip
    }
    times = measure.seconds_of(calls, rounds)
    return {name: (len(dataset), times[name], core_seconds(call)) for name, call in calls.items()}


def main(argv=None):
    args = arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        size = make_photographs(folder / "photos", args.photos)
        make_sheet(folder / "sheet.png", args.sprites)
        make_small(folder / "small.zip", args.small)
        measured = measure_preparing(folder, args)
        command(folder / "small.zip", folder / "train.zip", "--resolution", 64, "--max-images", 10_000)
        measured |= measure_reading(folder / "train.zip", args.rounds)
        results = {
            name: {"seconds": measure.spread(times), "per_s": measure.spread([number / s for s in times]), "core_seconds": cores}
            for name, (number, times, cores) in measured.items()
        }
        results["ratio"] = measure.ratio(measured["photographs, plainly"][1], measured["photographs"][1])
        results["jpeg_bytes"] = size
        results["difference"] = largest_difference(folder / "photos", folder / "photos.zip")
        results["memory"] = peak_memory(folder / "small.zip", folder / "small-out.zip")
    show(args, measured, results)
    measure.report("prepare", vars(args), results, args.json, args.out)


def show(args, measured, results):
    """Print the results."""
    rows = [
        (
            name,
            *(f"{results[name][key]['median']:.2f}" for key in ("seconds", "per_s")),
            "" if cores is None else f"{cores:.2f}",
        )
        for name, (_, _, cores) in measured.items()
    ]
    measure.print_table(["", "seconds", "pictures/s", "core seconds"], rows)
    print(f"photographs: {results['ratio']:.2f} times as fast as plainly; difference at most {results['difference']:.2f} of 255")
    if results["memory"]:
        print(f"{args.small} small pictures: {results['memory']['megabytes']:.0f} MB, {results['memory']['seconds']:.0f} s")


if __name__ == "__main__":
    main()

"""What to expect of few pictures: sprites of 32x32, 100, 500 and 2,000 of them, from nothing and from a trained network.

Splits a dataset of at least 8,000 pictures (docs/recipes/cryptopunks.md): 2,000 to train on, of which each run takes its
subset, and the rest, which no run is trained on. Two sources for transfer learning are trained: on that rest with colours
exchanged and mirrored (the same kind of picture, none the same), and on handwritten digits (another kind). Then for each way
and number one short training, judged by 2,000 pictures of its G_ema: the sliced Wasserstein distance to 2,000 of the rest,
MS-SSIM, and how near they are to the training pictures, beside 2,000 others of the rest (docs/metrics.md). The same line goes on
where it was stopped.

    python benchmarks/small_data.py --data punks.zip --detector discriminator:model.pkl --folder work
"""

import argparse
import io
import json
import zlib
from pathlib import Path

import measure
import numpy as np

from sgtool import images, snapshots
from sgtool.datasets import open_dataset
from sgtool.datasets.archive import ZipPart, picture_name
from sgtool.datasets.prepare import prepare
from sgtool.latents import latents_of_seeds
from sgtool.latents.sheet import write_sheet
from sgtool.measuring.own_detectors import open_own
from sgtool.metrics import diversity, memorization, sliced_wasserstein
from sgtool.training.pictures import render
from sgtool.training.run import train

POOL, COUNT, COLUMNS = 2000, 2000, 16
NETWORK = {"cfg": "tiny", "cbase": 1024, "cmax": 32}
COMMON = {"gamma": 0.5, "tick": 4, "snap": 2, "metrics": (), "workers": 1, "device": "cpu"}
WAYS = {  # name: what the table says, options, source
    "scratch": ("from nothing, no augmentation", {"aug": "noaug"}, None),
    "fixed": ("from nothing, --aug fixed --p 0.3", {"aug": "fixed", "p": 0.3}, None),
    "digits": ("from digits, ADA", {}, "digits"),
    "recoloured": ("from recoloured sprites, ADA", {}, "recoloured"),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="dataset of sprites")
    parser.add_argument("--detector", required=True, help="as in sgtool metrics, of a model of all the data")
    parser.add_argument("--folder", type=Path, required=True, help="where data and runs are kept")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 500, 2000], help="pictures (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--kimg", type=int, default=24, help="length of each training (default: %(default)s)")
    parser.add_argument("--source-kimg", type=int, nargs=2, default=[48, 24], help="of recoloured, digits (default: %(default)s)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of the trainings (default: %(default)s)")
    parser.add_argument("--measure", action="store_true", help="measure what is there, train nothing")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/small_data-DATE.json")
    return parser.parse_args()


def write_dataset(path, pictures):
    """Write uint8 pictures `[N, C, H, W]` as a dataset without labels."""
    part, entries = ZipPart(path), []
    for i, picture in enumerate(pictures):
        file = io.BytesIO()
        images.to_pil(picture.transpose(1, 2, 0)).save(file, "PNG")
        data, name = file.getvalue(), picture_name(i)
        part.add(name, data)
        entries.append((name, len(data), zlib.crc32(data)))
    part.finish(entries, {"dataset.json": json.dumps({"labels": None}).encode()})


def split(data, folder):
    """Write pool.zip, rest.zip, recoloured.zip and digits.zip into the folder, unless they are there."""
    if not (folder / "recoloured.zip").exists():
        dataset = open_dataset(data)
        order = np.random.RandomState(0).permutation(len(dataset))
        rest = dataset.batch(np.sort(order[POOL:]))
        write_dataset(folder / "pool.zip", dataset.batch(np.sort(order[:POOL])))
        write_dataset(folder / "rest.zip", rest)
        write_dataset(folder / "recoloured.zip", rest[:, [1, 2, 0], :, ::-1])
    if not (folder / "digits.zip").exists():
        prepare("demo:digits", folder / "digits.zip", resolution=(32, 32), channels=3)


def trained(folder, name, kimg, **options):
    """Train the run `name`, or go on with it, to its end; return the snapshot there."""
    (folder / "runs" / name).mkdir(parents=True, exist_ok=True)
    found = snapshot_at(folder, name, kimg)
    if found is None:
        begun = [path.parent for path in (folder / "runs" / name).glob("*/checkpoint.pkl")]
        if begun:
            train(resume=begun[0], kimg=kimg, device="cpu")
        else:
            train(outdir=folder / "runs" / name, kimg=kimg, **COMMON, **options)
        found = snapshot_at(folder, name, kimg)
    return found


def snapshot_at(folder, name, kimg):
    """The snapshot of a run at `kimg`, or None."""
    return next((folder / "runs" / name).glob(f"*/network-snapshot-{kimg:06d}.pkl"), None)


def run_all(args):
    """Train the sources and every cell that is asked for."""
    folder, sources = args.folder, {}
    for size in args.sizes:
        for way in args.ways:
            _, options, source = WAYS[way]
            if source is not None and source not in sources:
                kimg = dict(zip(("recoloured", "digits"), args.source_kimg, strict=True))[source]
                given = {"data": folder / f"{source}.zip", "precision": args.precision, **NETWORK}
                sources[source] = trained(folder, f"source-{source}", kimg, **given)
            start = NETWORK if source is None else {"cfg": "tiny", "resume": str(sources[source])}
            given = {"data": folder / "pool.zip", "subset": size, "precision": args.precision}
            trained(folder, f"{way}-{size}", args.kimg, **given, **start, **options)


class Judge:
    """Measures a generator against pictures that no run has seen, and against its training pictures."""

    def __init__(self, args):
        rest = open_dataset(args.folder / "rest.zip")
        self.pool = open_dataset(args.folder / "pool.zip")
        order = np.random.RandomState(1).permutation(len(rest))
        self.unseen, self.others, held_out = (rest.batch(order[i * COUNT : (i + 1) * COUNT]) for i in range(3))
        self.features = open_own(args.detector, self.unseen.shape[1:]).features
        self.held_out = self._rows(held_out)

    def _rows(self, pictures):
        import torch

        parts = [self.features(torch.from_numpy(pictures[i : i + 100])) for i in range(0, len(pictures), 100)]
        return torch.cat(parts)

    def __call__(self, pictures, size):
        """{"swd", "msssim", "copying", "near_share", "distance_ratio"} of pictures `[N, C, H, W]`, of a training with `size`."""
        subset = self.pool.subset(size, 0) if size < len(self.pool) else self.pool
        near = memorization(self._rows(subset.batch(range(size))), self._rows(pictures), self.held_out)
        values = {"swd": sliced_wasserstein(self.unseen, pictures), "msssim": diversity(pictures, pairs=1000)}
        return values | {name: getattr(near, name) for name in ("copying", "near_share", "distance_ratio")}


def measured(args):
    """Return {name of the cell: values} and {name: first pictures}, of the cells that are there; real pictures first."""
    judge = Judge(args)
    results = {"other real pictures": judge(judge.others, POOL)}
    for size in args.sizes:
        copies = judge.pool.subset(size, 0).batch(np.arange(COUNT) % size) if size < POOL else judge.pool.batch(range(POOL))
        results[f"the {size} themselves"] = judge(copies, size)
    rows = {"real": judge.unseen[:COLUMNS].transpose(0, 2, 3, 1)}
    for size in args.sizes:
        for way in args.ways:
            path = snapshot_at(args.folder, f"{way}-{size}", args.kimg)
            if path is not None:
                G = snapshots.load(path).G_ema
                pictures = render(G, latents_of_seeds(range(COUNT), G.z_dim), None)
                results[f"{way}-{size}"] = judge(pictures.transpose(0, 3, 1, 2), size)
                rows[f"{size}, {WAYS[way][0]}"] = pictures[:COLUMNS]
    return results, rows


def main():
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    split(args.data, args.folder)
    if not args.measure:
        run_all(args)
    results, rows = measured(args)
    names = {"swd": ".1f", "msssim": ".2f", "copying": ".1f", "near_share": ".1%", "distance_ratio": ".2f"}
    table = [(cell, *(format(values[name], form) for name, form in names.items())) for cell, values in results.items()]
    measure.print_table([f"{args.kimg} kimg", *names], table)
    size = rows["real"].shape[1:3]
    write_sheet(
        args.folder / "small_data.png", (list(row) for row in rows.values()), COLUMNS, size, 3, {"program": "small_data.py"},
        number_of_rows=len(rows), enlarge=2, gap=2, row_labels=list(rows),
    )  # fmt: skip
    settings = vars(args) | {"folder": args.folder.name, "data": Path(args.data).name, "detector": Path(args.detector).name}
    measure.report("small_data", settings, results, args.json)


if __name__ == "__main__":
    main()

"""Do the metrics order real pictures as everybody would? Harmed pictures, a training from its start, a collapsed generator.

Harmed: one half of the pictures against the other half with noise, blur, or fewer and fewer pictures. The Frechet distance, by
the discriminator of a model and, with --inception, by Inception-v3 with random weights; beside it the kernel distance and the
sliced Wasserstein distance.

Training: all snapshots of a training with classes against its data. The detector is a small network that reads the classes,
trained here; it has seen no generated picture. And the last generator collapsed in two ways: few latents, or all near their mean.

    python benchmarks/orders.py --data punks.zip --network punks.pkl --inception 128
    python benchmarks/orders.py --run runs/00000-digits-cond-tiny1
"""

import argparse
import itertools
from pathlib import Path

import measure
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sgtool import metrics, snapshots
from sgtool.datasets import open_dataset
from sgtool.detectors import InceptionV3
from sgtool.latents import generate
from sgtool.measuring.own_detectors import open_own
from sgtool.training.folders import read_options

HARMS = {  # how much, from none to most
    "noise": (0, 4, 10, 25, 60),  # standard deviation in grey levels
    "blur": (0, 0.4, 0.7, 1.2, 2.5),  # standard deviation in pixels
    "fewer": (1, 4, 16, 64, 256),  # how often each picture that is left occurs
}
BATCH = 256
FEW = 8  # latents of a collapsed generator
NEAR = 0.05  # of the distance from the mean latent that is left, of another


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="PATH", help="pictures that are harmed: a dataset")
    parser.add_argument("--network", metavar="MODEL", help="model of these pictures, whose discriminator looks at them")
    parser.add_argument("--pictures", type=int, default=2000, help="in each set (default: %(default)s)")
    parser.add_argument(
        "--inception", type=int, default=0, metavar="N", help="pictures that Inception-v3 looks at (default: none)"
    )
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="run folder of a training with classes, whose snapshots are judged"
    )
    parser.add_argument("--epochs", type=int, default=15, help="of the network that reads classes (default: %(default)s)")
    measure.add_common_options(parser, "orders", devices=("cpu",))
    return parser.parse_args(argv)


def harmed(pictures, kind, amount, seed=0):
    """Return pictures `[N, C, H, W]` uint8, harmed; an amount of 0, or of 1 for fewer, leaves them as they are."""
    if kind == "fewer":
        return pictures[np.arange(len(pictures)) // amount]
    if kind == "blur":
        changed = gaussian_filter(pictures.astype(np.float32), (0, 0, amount, amount))
    else:
        changed = pictures + np.random.default_rng(seed).normal(0, amount, pictures.shape)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def in_batches(network, pictures):
    """Features of pictures `[N, C, H, W]` uint8, `[N, D]`."""
    with torch.inference_mode():
        return torch.cat([network(torch.from_numpy(pictures[i : i + BATCH])).float() for i in range(0, len(pictures), BATCH)])


def rises(values):
    """Is each value larger than the one before?"""
    return all(before < after for before, after in itertools.pairwise(values))


def orders_of_harm(args):
    """Measure all harms: {harm: {"amounts", number: values, "rises": {number: bool}}}."""
    dataset = open_dataset(args.data)
    chosen = np.random.default_rng(0).permutation(len(dataset))[: 2 * args.pictures]
    pictures = np.stack([dataset[i][0] for i in chosen])
    if len(pictures) < 2 * args.pictures:
        raise SystemExit(f"{args.data} has {len(dataset)} pictures. Give --pictures {len(dataset) // 2} or fewer.")
    real, other = pictures[: args.pictures], pictures[args.pictures :]
    numbers = {
        "FID by D": (open_own(f"discriminator:{args.network}", real.shape[1:]).features, metrics.frechet_distance_of, len(real)),
        "KID by D": (open_own(f"discriminator:{args.network}", real.shape[1:]).features, _kernel, len(real)),
        "SWD": (lambda batch: batch, lambda a, b: metrics.sliced_wasserstein(a, b, projections=128), len(real)),
    }
    if args.inception:
        torch.manual_seed(0)
        numbers["FID by a random Inception"] = InceptionV3().eval(), metrics.frechet_distance_of, args.inception
    return {kind: _of_one_harm(kind, real, other, numbers) for kind in HARMS}


def _kernel(a, b):
    return metrics.kernel_distance(a, b, subset_size=None)


def _of_one_harm(kind, real, other, numbers):
    row = {"amounts": HARMS[kind]}
    for name, (network, distance, count) in numbers.items():
        sets = [harmed(other[:count], kind, amount) for amount in HARMS[kind]]
        if name == "SWD":
            row[name] = [distance(real, pictures) for pictures in sets]
        else:
            expected = in_batches(network, real[:count])
            row[name] = [distance(expected, in_batches(network, pictures)) for pictures in sets]
    return row | {"rises": {name: rises(row[name]) for name in numbers}}


class Reader(torch.nn.Module):
    """A small network that reads the class of a picture; its features are what the last layer sees."""

    def __init__(self, channels, classes):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(32, 64, 3, padding=1, stride=2),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(4),
            torch.nn.Flatten(),
            torch.nn.Linear(1024, 64),
            torch.nn.ReLU(),
        )
        self.last = torch.nn.Linear(64, classes)

    def forward(self, pictures):
        """Return features `[N, 64]` of pictures, uint8."""
        return self.body(pictures.float() / 127.5 - 1)


def trained_reader(pictures, labels, epochs):
    """Train on all pictures but every tenth; return the network and the share of those that it reads rightly."""
    torch.manual_seed(0)
    reader = Reader(pictures.shape[1], int(labels.max()) + 1)
    pictures, labels = torch.from_numpy(pictures), torch.from_numpy(labels)
    unseen = torch.arange(len(labels)) % 10 == 0
    seen = (~unseen).nonzero().squeeze(1)
    optimizer = torch.optim.Adam(reader.parameters(), lr=2e-3)
    for _ in range(epochs):
        for part in seen[torch.randperm(len(seen))].split(64):
            loss = torch.nn.functional.cross_entropy(reader.last(reader(pictures[part])), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.inference_mode():
        read = reader.last(reader(pictures[unseen])).argmax(dim=1)
    return reader.eval(), float((read == labels[unseen]).double().mean())


def collapsed(G, how, number, labels):
    """Pictures of a generator that has collapsed: it knows few latents, or its w stay near their mean; None: that has not."""
    if how == "few":
        seeds = [i % FEW for i in range(number)]
        return _pictures(generate(G, seeds, labels))
    return _pictures(generate(G, range(number), labels, truncation_psi=NEAR if how == "near" else 1.0))


def _pictures(made):
    return np.stack([picture.transpose(2, 0, 1) for picture in made])


def judged(made, real, reader):
    """All numbers of generated pictures."""
    features, expected = in_batches(reader, made), in_batches(reader, real)
    precision, recall = metrics.precision_recall(expected, features)
    density, coverage = metrics.density_coverage(expected, features)
    return {
        "FID": metrics.frechet_distance_of(expected, features),
        "KID": _kernel(expected, features),
        "SWD": metrics.sliced_wasserstein(real, made),
        "MS-SSIM": metrics.diversity(made, pairs=2000),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def orders_of_training(args):
    """Judge all snapshots of a run, and its last generator collapsed."""
    dataset = open_dataset(read_options(args.run)["data"])
    real, labels = np.stack([dataset[i][0] for i in range(len(dataset))]), np.asarray(dataset.labels, np.int64)
    reader, share = trained_reader(real, labels, args.epochs)
    paths = sorted(args.run.glob("network-snapshot-*.pkl"))
    rows = {}
    for path in paths:
        G = snapshots.load(path).G_ema
        rows[path.stem.removeprefix("network-snapshot-").lstrip("0") or "0"] = judged(
            collapsed(G, None, len(real), labels), real, reader
        )
    harm = {how: judged(collapsed(G, how, len(real), labels), real, reader) for how in ("few", "near")}
    halves = np.random.default_rng(0).permutation(len(real))
    half = judged(real[halves[: len(real) // 2]], real[halves[len(real) // 2 :]], reader)
    return {"read": share, "half against half": half, "kimg": rows, "collapsed": harm}


def print_training(found):
    """Print the snapshots, the collapsed generators and the real pictures below one another."""
    rows = {f"kimg {name}": row for name, row in found["kimg"].items()}
    rows |= {f"collapsed: {name}": row for name, row in found["collapsed"].items()}
    rows["real: half against half"] = found["half against half"]
    headings = list(rows["real: half against half"])
    measure.print_table(["", *headings], [(name, *(f"{row[key]:.4g}" for key in headings)) for name, row in rows.items()])
    print(f"the detector reads {found['read']:.1%} of unseen pictures rightly")


def main(argv=None):
    """Measure, print, write."""
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    results = {}
    if args.data:
        results["harm"] = orders_of_harm(args)
        for kind, row in results["harm"].items():
            cells = [
                (name, *(f"{x:.4g}" for x in row[name]), "rises" if row["rises"][name] else "DOES NOT RISE")
                for name in row["rises"]
            ]
            measure.print_table([kind, *map(str, row["amounts"]), ""], cells)
    if args.run:
        results["training"] = orders_of_training(args)
        print_training(results["training"])
    measure.report("orders", vars(args), results, args.json, args.out)


if __name__ == "__main__":
    main()

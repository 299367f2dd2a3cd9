"""What half precision costs in quality: the same training in each type, from the same seed, judged alike.

Trains on handwritten digits (demo:digits) and judges 1,000 pictures of G_ema: the share that a linear classifier, fitted on the
real digits, reads as the label asked for; the spread inside a class (mean pairwise RMS distance of pixels over that of the real
ones); and the sliced Wasserstein distance. The trainings run one after the other.

    python benchmarks/quality.py
    python benchmarks/quality.py --kimg 20 --precision fp32 bf16 --seeds 0 1
"""

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

import measure
import numpy as np
from sklearn.linear_model import LogisticRegression

from sgtool import snapshots
from sgtool.datasets import open_dataset
from sgtool.datasets.prepare import prepare
from sgtool.latents import generate
from sgtool.training.run import train

RECIPE = {  # of docs/recipes/small-data.md
    "cfg": "tiny", "cond": True, "aug": "noaug", "gamma": 1.0, "glr": 0.0012, "dlr": 0.003, "z_dim": 16, "w_dim": 16,
    "mbstd_group": 32, "pl_weight": 0.0, "style_mixing_prob": 0.0, "snap": 1000, "metrics": ("swd",),
}  # fmt: skip
PICTURES = 1000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kimg", type=int, default=60, help="length of each training (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=8, help="pixels (default: %(default)s)")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the trainings (default: 0)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/quality-DATE.json")
    return parser.parse_args()


def spread(pictures, classes):
    """Mean over classes of the mean pairwise RMS distance of at most 100 pictures of the class."""
    distances = []
    for number in np.unique(classes):
        flat = pictures[classes == number][:100].reshape(-1, pictures[0].size).astype(np.float64)
        squares = ((flat[:, None] - flat[None]) ** 2).mean(axis=2)
        distances.append(np.sqrt(squares[np.triu_indices(len(flat), 1)]).mean())
    return float(np.mean(distances))


class Judge:
    """Knows the real digits."""

    def __init__(self, dataset):
        self.real = np.stack([dataset[i][0] for i in range(len(dataset))])
        self.labels = np.asarray(dataset.labels)
        self.reader = LogisticRegression(C=0.1, max_iter=2000).fit(self._rows(self.real), self.labels)

    def __call__(self, G):
        """{"read": share, "spread": ratio} of a generator."""
        classes = np.arange(PICTURES) % 10
        made = np.stack([picture.transpose(2, 0, 1) for picture in generate(G, range(PICTURES), classes)])
        read = float((self.reader.predict(self._rows(made)) == classes).mean())
        return {"read": read, "spread": spread(made, classes) / spread(self.real, self.labels)}

    @staticmethod
    def _rows(pictures):
        return pictures.reshape(len(pictures), -1) / 255


def judged_training(data, judge, folder, precision, seed, args):
    """Train once; return what the judge says, the distance, and the speed."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = train(data=str(data), outdir=str(folder), kimg=args.kimg, precision=precision, seed=seed, device="cpu", **RECIPE)
    rows = [json.loads(line) for line in (run / "metric-swd.jsonl").read_text(encoding="utf-8").splitlines()]
    ticks = [json.loads(line) for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = [tick["Timing/sec_per_kimg"]["mean"] for tick in ticks[1:]]
    return judge(snapshots.load(run).G_ema) | {"swd": rows[-1]["results"]["swd"], "s_per_kimg": float(np.median(seconds))}


def main():
    args = arguments()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "digits.zip"
        prepare("demo:digits", data, resolution=(args.resolution, args.resolution))
        judge = Judge(open_dataset(data))
        for seed in args.seeds:
            for precision in args.precision:
                results[f"{precision}, seed {seed}"] = judged_training(data, judge, folder, precision, seed, args)
    rows = [
        (name, f"{r['read']:.1%}", f"{r['spread']:.2f}", f"{r['swd']:.1f}", f"{r['s_per_kimg']:.2f}")
        for name, r in results.items()
    ]
    measure.print_table([f"{args.kimg} kimg at {args.resolution}x{args.resolution}", "read", "spread", "swd", "s/kimg"], rows)
    measure.report("quality", vars(args), results, args.json)


if __name__ == "__main__":
    main()

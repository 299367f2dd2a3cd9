"""In-training metrics that need no download, on a small fixed sample, in seconds."""

import time

import numpy as np
import torch

from sgtool.errors import UserError
from sgtool.latents import latents_of_seeds
from sgtool.measuring.protocols import parse
from sgtool.metrics import diversity, sliced_wasserstein_levels
from sgtool.training.best import note, words
from sgtool.training.lines import append_line, keep_until
from sgtool.training.pictures import render
from sgtool.training.saving import snapshot_name

MOST_PICTURES = 1000
MOST_PIXELS = {"cpu": 1 << 21}  # of the generated sample; elsewhere GPU_PIXELS
GPU_PIXELS = 1 << 26
PAIRS = 500  # of MS-SSIM


def swd(fakes, reals):
    """Sliced Wasserstein distance of fakes to reals, x 1000; the mean over levels and each level."""
    levels = sliced_wasserstein_levels(reals, fakes)
    return {"swd": float(np.mean(list(levels.values()))), **{f"swd_{width}x{height}": v for (height, width), v in levels.items()}}


def msssim(fakes, reals):
    """Mean MS-SSIM of random pairs of fakes (lower = more varied), and of reals to compare with."""
    return {"msssim": diversity(fakes, pairs=PAIRS), "msssim_reals": diversity(reals, pairs=PAIRS)}


METRICS = {"swd": swd, "msssim": msssim}


def check_metrics(names):
    """Return the metrics of a run, each once: names of `METRICS`, and protocols.

    Raises:
        UserError: a name is no metric's; says which is the nearest.
    """
    for name in names:
        if name not in METRICS:
            try:
                parse(name)
            except UserError as error:
                raise UserError(f"{error.message} And quick ones while training: {', '.join(METRICS)}.") from error
    return tuple(dict.fromkeys(names))


class Metrics:
    """Measures the metrics of a run with each snapshot: a line in metric-NAME.jsonl, the best value kept.

    Args:
        folder: the run folder.
        dataset: `ImageDataset`; reals are a fixed random sample of it.
        config: `TrainConfig`.
        device: of the networks.
        log: prints a line.
    """

    def __init__(self, folder, dataset, config, device, log, nimg=0):
        self.folder, self.names, self.log = folder, [name for name in config.metrics if name in METRICS], log
        if not self.names:
            return
        height, width = dataset.resolution
        pixels = MOST_PIXELS.get(torch.device(device).type, GPU_PIXELS)
        count = max(min(len(dataset), MOST_PICTURES, pixels // (height * width)), 8)
        order = np.random.RandomState(config.seed).permutation(len(dataset))
        chosen = np.resize(order, count)
        self.reals = np.stack([dataset[int(i)][0] for i in chosen])
        self.z = latents_of_seeds(range(count), config.z_dim)
        self.c = torch.from_numpy(dataset.label_vectors(chosen)) if config.c_dim else None
        for name in self.names:
            keep_until(self.path(name), nimg)

    def path(self, name):
        """Where the values of a metric are kept."""
        return self.folder / f"metric-{name}.jsonl"

    def __call__(self, state, tick):
        if not tick.is_snapshot or not self.names:
            return
        fakes = render(state.G_ema, self.z, self.c).transpose(0, 3, 1, 2)
        told = []
        for name in self.names:
            start = time.perf_counter()
            results = METRICS[name](fakes, self.reals)
            values = {"metric": name, "results": results, "num": len(fakes), "nimg": state.nimg}
            values |= {"snapshot_pkl": snapshot_name(state), "total_time": time.perf_counter() - start, "timestamp": time.time()}
            append_line(self.path(name), values)
            told.append(self._note_best(state, name, results))
        self.log("metrics on {} pictures: {}".format(len(fakes), ", ".join(told)))

    def _note_best(self, state, name, results):
        text = f"{name} {results[name]:.4g}"
        if name == "msssim":
            return f"{text} (reals {results['msssim_reals']:.4g})"
        better = note(state.best, {name: results[name]}, state.nimg, snapshot_name(state))
        return text + words(state.best, name, better)

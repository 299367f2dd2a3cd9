"""Projection: seconds for one picture and for many, and how close generated and real pictures are met in W, W+ and by tuning.

python benchmarks/project.py --network model.pkl --pictures 20
python benchmarks/project.py --network model.pkl --real heldout.zip --perceptual pixels
python benchmarks/project.py --network model.pkl --only time
"""

import argparse
import sys
import time

import measure
import numpy as np
import torch

from sgtool import images
from sgtool.datasets import open_dataset
from sgtool.latents.model import open_model
from sgtool.latents.perceptual import KINDS, choose
from sgtool.latents.projection.search import Search
from sgtool.latents.projection.settings import Settings
from sgtool.latents.projection.tuning import Tuning
from sgtool.latents.seeds import latents_of_seeds, one_hot
from sgtool.metrics.similarity import psnr, ssim

PARTS = ("time", "generated", "real")
TIMED = (1, 16)  # pictures
FIRST_SEED = 1000
WARM_UP = 3  # steps


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", required=True, help="model to project into")
    parser.add_argument("--real", help="dataset of pictures that it was not trained on (default: that part is left out)")
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    parser.add_argument("--pictures", type=int, default=20, help="for each figure of quality (default: %(default)s)")
    parser.add_argument("--num-steps", type=int, default=1000, help="of a search (default: %(default)s)")
    parser.add_argument(
        "--timed-steps", type=int, default=100, help="from which the time of all is reckoned (default: %(default)s)"
    )
    parser.add_argument("--tuning-steps", type=int, default=Settings.tuning_steps, help="(default: %(default)s)")
    parser.add_argument("--tuning-rate", type=float, default=None, help="(default: as `sgtool project` chooses it)")
    parser.add_argument("--trunc", type=float, nargs="+", default=[0.7, 1.0], help="of generated pictures (default: 0.7 and 1)")
    parser.add_argument("--perceptual", choices=KINDS, default="auto")
    measure.add_common_options(parser, "project")
    return parser.parse_args(argv)


class Bench:
    """A model, a distance, and what was asked for."""

    def __init__(self, args):
        self.args, self.device = args, torch.device(args.device)
        model = open_model(args.network, networks=("D",), device=args.device, precision="fp32")
        self.G = model.G
        self.distance = choose(args.perceptual, model.D, img_channels=self.G.img_channels, device=self.device)

    def generated(self, number, psi):
        """Pictures of seeds, their classes in turn, as they come out of a file: `[N, C, H, W]` and labels (or None)."""
        G = self.G
        c = one_hot([i % G.c_dim if G.c_dim else None for i in range(number)], G.c_dim).to(self.device)
        z = latents_of_seeds(range(FIRST_SEED, FIRST_SEED + number), G.z_dim).to(self.device)
        with torch.no_grad():
            img = G.synthesis(G.mapping(z, c, truncation_psi=psi), noise_mode="const")
        return self.of_files(images.to_uint8(img)), c if G.c_dim else None

    def real(self, number):
        """The first pictures of the dataset, without labels."""
        dataset = open_dataset(self.args.real)
        pictures = [dataset[i][0] for i in range(min(number, len(dataset)))]
        return self.of_files(np.stack(pictures).transpose(0, 2, 3, 1))

    def of_files(self, pictures):
        return images.to_float(torch.from_numpy(pictures).permute(0, 3, 1, 2)).to(self.device)

    def search(self, targets, labels, **settings):
        return Search(self.G, targets, self.distance, Settings(**settings), labels)


def seconds_a_step(bench, number):
    """Seconds (of the clock, of the processor) of a step with `number` pictures."""
    steps = bench.args.timed_steps
    search = bench.search(*bench.generated(number, 1.0), num_steps=WARM_UP + steps)
    for _ in range(WARM_UP):
        search.step()
    start, used = measure.now(bench.device), time.process_time()
    while not search.finished:
        search.step()
    return (measure.now(bench.device) - start) / steps, (time.process_time() - used) / steps


def times(bench):
    """Seconds of whole searches, reckoned from some steps; many pictures beside one."""
    result, steps = {}, bench.args.num_steps
    for number in TIMED:
        wall, cpu = seconds_a_step(bench, number)
        result[str(number)] = {"s": wall * steps, "cpu_s": cpu * steps, "ms_a_step": wall * 1000, "cpu_ms_a_step": cpu * 1000}
    one, many = (result[str(number)]["s"] for number in TIMED)
    return result | {"ratio": many / one}


def scores(targets, pictures):
    """PSNR and SSIM as spreads."""
    pair = [images.to_uint8(img) for img in (targets, pictures)]
    return {"psnr": measure.spread(psnr(*pair).tolist()), "ssim": measure.spread(ssim(*pair).tolist())}


def quality(bench, targets, labels=None, tuned=False):
    """Scores in W and W+, with the optimised noise maps and with the network's own; and after tuning around W."""
    result = {}
    for space in ("w", "w+"):
        search = bench.search(targets, labels, space=space, num_steps=bench.args.num_steps)
        while not search.finished:
            search.step()
        result[space] = scores(targets, search.pictures())
        result[f"{space}, own noise"] = scores(targets, search.pictures(own_noise=True))
        if space == "w" and tuned:
            result["tuned each"] = scores(targets, torch.cat(list(tuned_each(bench, search, targets))))
            result["tuned together"] = scores(targets, tune(bench, search.ws(), targets))
    return result


def tune(bench, ws, targets, noises=None):
    """Pictures of the latents after tuning one network around them."""
    settings = Settings(tuning_steps=bench.args.tuning_steps, tuning_learning_rate=bench.args.tuning_rate)
    tuning = Tuning(bench.G, ws, targets, bench.distance, settings, noises)
    while not tuning.finished:
        tuning.step()
    return tuning.pictures()


def tuned_each(bench, search, targets):
    ws, noises = search.ws(), search.noises()
    for i in range(len(targets)):
        own = {name: maps[i : i + 1] for name, maps in noises.items()}
        yield tune(bench, ws[i : i + 1], targets[i : i + 1], own)


def main(argv=None):
    args = arguments(argv)
    if args.only == "real" and not args.real:
        sys.exit("--only real: give the pictures with --real DATASET.")
    if args.threads:
        torch.set_num_threads(args.threads)
    bench, results = Bench(args), {}
    print(bench.distance.note)
    if args.only in (None, "time"):
        results["time"] = times(bench)
        print_times(results["time"], args.num_steps)
    cases = {}
    if args.only in (None, "generated"):
        cases |= {f"generated, psi {psi:g}": (*bench.generated(args.pictures, psi), False) for psi in args.trunc}
    if args.only in (None, "real") and args.real:
        cases |= {"real": (bench.real(args.pictures), None, True)}
    for name, case in cases.items():
        results[name] = quality(bench, *case)
        print_quality(name, results[name])
    measure.report("project", {**vars(args), "distance": bench.distance.name}, results, args.json, args.out)


def print_times(result, steps):
    rows = [(number, *(f"{result[number][key]:.1f}" for key in ("s", "cpu_s", "ms_a_step"))) for number in map(str, TIMED)]
    measure.print_table(["pictures", f"s for {steps} steps", "of processor", "ms a step"], rows)
    print(f"{TIMED[1]} pictures take {result['ratio']:.1f} times as long as one")


def print_quality(name, result):
    rows = []
    for how, row in result.items():
        psnrs = [f"{row['psnr'][key]:.1f}" for key in ("median", "low", "high")]
        rows.append((how, *psnrs, f"{row['ssim']['median']:.3f}"))
    measure.print_table([name, "PSNR median, dB", "lowest", "highest", "SSIM median"], rows)


if __name__ == "__main__":
    main()

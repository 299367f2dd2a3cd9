"""Inception-v3: pictures a second beside torch-fidelity's module, with the same random weights, in the same run.

    python benchmarks/inception.py
    python benchmarks/inception.py --pictures 32 --size 256 --rounds 5 --json

Needs torch-fidelity, whose package wants torchvision but whose module does not: pip install --no-deps torch-fidelity
"""

import argparse
import importlib
import importlib.util
import sys
import types
from unittest import mock

import measure
import torch

from sgtool.detectors import InceptionV3
from sgtool.detectors.inception_blocks import Conv
from sgtool.detectors.inception_layouts import fold

FARTHEST = 1e-4  # of the largest feature


def arguments(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=8, help="in a batch (default: %(default)s)")
    parser.add_argument("--size", type=int, default=32, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    measure.add_common_options(parser, "inception")
    return parser.parse_args(argv)


def theirs():
    """Return torch-fidelity's module with random weights. Its package is not imported, which would import torchvision."""
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        raise SystemExit("torch-fidelity is not installed. Run: pip install --no-deps torch-fidelity")
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["torch_fidelity"] = package
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    extractor = module.FeatureExtractorInceptionV3
    with mock.patch.object(extractor, "load_state_dict"), mock.patch.object(torch, "load"):
        network = extractor("measured", ["2048"], "none")
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.3, 1.3)
    return network


def ours_like(network):
    """Return sgtool's network with the weights of torch-fidelity's."""
    ours = InceptionV3()
    pairs = [module for module in network.modules() if hasattr(module, "bn")]
    convs = [module for module in ours.modules() if isinstance(module, Conv)]
    with torch.no_grad():
        for conv, pair in zip(convs, pairs, strict=True):
            weight, bias = fold(pair.conv.weight, pair.bn.bias, pair.bn.running_mean, pair.bn.running_var, pair.bn.weight)
            conv.weight.copy_(weight)
            conv.bias.copy_(bias)
    return ours.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def compare(args):
    """Time both networks in turn, after comparing their features."""
    device, other = torch.device(args.device), theirs()
    ours, other = ours_like(other).to(device), other.to(device)
    img = torch.randint(0, 256, (args.pictures, 3, args.size, args.size), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        expected = other(img)[0]
        apart = ((ours(img) - expected).abs().max() / expected.abs().max()).item()
        if not apart <= FARTHEST:
            raise SystemExit(f"The two networks differ by {apart:.2g} of the largest feature, more than {FARTHEST:g}.")
        times = measure.seconds_of(
            {"sgtool": lambda: ours(img), "torch-fidelity": lambda: other(img)}, args.rounds, device=device
        )
    rates = {name: measure.spread([args.pictures / seconds for seconds in row]) for name, row in times.items()}
    ratio = measure.ratio(times["torch-fidelity"], times["sgtool"])
    return {"pictures_per_s": rates, "ratio": ratio, "difference": apart}


def main(argv=None):
    """Measure, print, write."""
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    result = compare(args)
    rates = result["pictures_per_s"]
    rows = [(name, *(f"{row[key]:.2f}" for key in ("median", "low", "high"))) for name, row in rates.items()]
    measure.print_table(["pictures a second", "median", "lowest", "highest"], rows)
    print(f"sgtool is {result['ratio']:.2f} times as fast; features differ by {result['difference']:.1g} of the largest")
    measure.report("inception", vars(args), result, args.json, args.out)


if __name__ == "__main__":
    main()

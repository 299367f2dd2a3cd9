"""Which tensors of one network fit into another: by name and shape, a layer as a whole."""

import re
from dataclasses import dataclass

import torch

NOT_LEARNED = "resample_filter"  # follows from the description of the network


@dataclass
class Fit:
    """What a network takes from a trained one.

    Attributes:
        copied: names of tensors that are taken as they are.
        columns: {name: how many leading columns are taken; the others are new}.
        fresh: names that begin anew.
        unused: names in the trained network that are left behind.
    """

    copied: list
    columns: dict
    fresh: list
    unused: list


def fit(expected, found, z_dims=None):
    """Compare two networks.

    A layer's weights and biases are copied together or not at all; a noise map has the size of the picture and counts alone.
    In the first layer of the mapping network, whose input is z beside the embedded label, the columns of z are taken if only
    the label's part differs. Its weights are scaled by 1 / sqrt(inputs) at run time, so its output keeps its variance.

    Args:
        expected: {name: shape} of the network to be filled.
        found: {name: shape} of the trained one.
        z_dims: widths of z in both, if they are generators.
    Returns:
        `Fit`; names are in the order of the networks. Filters are not mentioned.
    """
    layers = {}
    for key in expected:
        layers.setdefault(_layer(key), []).append(key)
    result = Fit([], {}, [], [])
    for layer, keys in layers.items():
        fitting = {key for key in keys if found.get(key) == expected[key]}
        if layer == "mapping.fc0" and z_dims:
            if z_dims[0] != z_dims[1]:
                fitting = set()
            elif _differs_in_inputs(expected, found):
                result.columns["mapping.fc0.weight"] = z_dims[0]
                result.copied += [key for key in keys if key in fitting]
                continue
        is_whole = fitting.issuperset(key for key in keys if not _counts_alone(key))
        for key in keys:
            if key.endswith(NOT_LEARNED):
                continue
            (result.copied if key in fitting and is_whole else result.fresh).append(key)
    result.unused = [key for key in found if key not in expected and not key.endswith(NOT_LEARNED)]
    return result


def _layer(key):
    return key.rpartition(".")[0]


def _counts_alone(key):
    return key.endswith((NOT_LEARNED, "noise_const", "w_avg"))


def _differs_in_inputs(expected, found):
    key = "mapping.fc0.weight"
    one, two = expected[key], found.get(key)
    return two is not None and one[0] == two[0] and one[1] != two[1]


@torch.no_grad()
def copy_fitting(network, tensors, fit):
    """Fill what fits of a network, in place, from {name: tensor}."""
    places = network.state_dict()
    for key in fit.copied:
        places[key].copy_(tensors[key])
    for key, count in fit.columns.items():
        places[key][:, :count].copy_(tensors[key][:, :count])


def describe_fit(fit):
    """Tell a `Fit` in one line, whole blocks by their name: "copied: mapping, synthesis.b4; new: synthesis.b8"."""
    network = [*fit.copied, *fit.columns, *fit.fresh]
    if not (fit.columns or fit.fresh or fit.unused):
        return "copied whole"
    parts = {
        "copied": fit.copied,
        "in part": [f"{key} (the {count} columns of z)" for key, count in fit.columns.items()],
        "new": fit.fresh,
        "left behind": fit.unused,
    }
    known = {"copied": network, "new": network, "left behind": [*network, *fit.unused]}
    words = {what: together(keys, known[what]) if what in known else keys for what, keys in parts.items()}
    return "; ".join(f"{what}: {', '.join(keys)}" for what, keys in words.items() if keys)


def together(keys, all_keys):
    """Shorten a list of dotted names: parts of the network that are whole among `all_keys` by their own name alone.

    A layer that has its own weights in the list is named so even if those of a layer inside it (`affine`) are not. Noise
    maps, one a layer, are counted where they do not go with their layer.
    """
    chosen = set(keys)
    rest = [key for key in all_keys if not key.endswith("noise_const")]
    names, covered = [], ()
    for key in rest:
        if key in chosen and not key.startswith(covered or "\0"):
            names.append(_widest(key, chosen, rest))
            covered = (*covered, names[-1] + ".")
    maps = [key for key in keys if key.endswith("noise_const") and not key.startswith(covered or "\0")]
    return _runs(names) + ([f"{len(maps)} noise map{'s' if len(maps) > 1 else ''} (noise_const)"] if maps else [])


def _runs(names):
    """Write three or more layers that differ by a number which counts up as "mapping.fc1 to fc3"."""
    found = []  # (stem, first number, last number); a name without a number has no stem
    for name in names:
        match = re.fullmatch(r"(.*fc)([0-9]+)", name)
        stem, number = (match[1], int(match[2])) if match else (None, name)
        if match and found and found[-1][0] == stem and found[-1][2] == number - 1:
            found[-1] = (stem, found[-1][1], number)
        else:
            found.append((stem, number, number))
    words = []
    for stem, first, last in found:
        if stem is None:
            words.append(first)
        elif last - first < 2:
            words += [f"{stem}{number}" for number in range(first, last + 1)]
        else:
            words.append(f"{stem}{first} to fc{last}")
    return words


def _widest(key, chosen, all_keys):
    """Return the name of the largest part around `key` whose tensors are all chosen; else of its layer, or the key itself."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        prefix = ".".join(parts[:count]) + "."
        if chosen.issuperset(other for other in all_keys if other.startswith(prefix)):
            return prefix[:-1]
    layer = _layer(key)
    own = [other for other in all_keys if _layer(other) == layer]
    return layer if f"{layer}.weight" in own and chosen.issuperset(own) else key

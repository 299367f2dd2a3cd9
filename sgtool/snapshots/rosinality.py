"""Files of rosinality's stylegan2-pytorch and of its forks: of the converter, of the trainer, a generator alone."""

import math

import torch

from sgtool.networks import PictureShape
from sgtool.snapshots import statedict
from sgtool.snapshots.contents import Contents, Packed
from sgtool.snapshots.inert import Inert
from sgtool.snapshots.infer import DEFAULT_FILTER, MOST_BLOCKS, Unlike, count, read_filter, taps_of
from sgtool.snapshots.layouts import cannot_hold, check_default, chosen, networks_in, write_tensors
from sgtool.snapshots.lazy import is_tensor, without_axes
from sgtool.snapshots.plain import number, plain
from sgtool.snapshots.rosinality_names import discriminator_rows, generator_rows
from sgtool.snapshots.spans import Refused

GENERATOR, DISCRIMINATOR = "input.input", "final_conv.0.weight"  # a tensor by which each is known
WAVELETS = ("iwt", "dwt")  # parts of SWAGAN's networks, which the same repository has
ITERATIONS = ("iter", "iteration", "step")  # names under which trainers keep their counter


def recognise(value):
    """Whether what a file holds is a network of rosinality's repository.

    Args:
        value: what the file holds: {"g_ema": {name: tensor}, ...} or {name: tensor}, see `layouts.networks_in`.
    """
    return any(map(_kind, networks_in(value).values()))


def describe(value, format_name="rosinality"):
    """Return the `Contents` of a value that was recognised.

    Args:
        value: see `recognise`.
        format_name: of the file.
    Raises:
        Refused: a network is not complete, or its tensors contradict each other.
    """
    contents = Contents(format_name, {})
    found = networks_in(value)
    for name in ("G_ema", "G", "", "D"):
        if name in found:
            _add(contents, name, found[name], value.get("latent_avg"))
    options = value.get("args")
    options = plain(options.state if isinstance(options, Inert) else options)
    contents.config = options if isinstance(options, dict) else {}
    contents.augment_p = max(number(value.get("ada_aug_p")) or 0.0, 0.0)
    contents.nimg = _images(value, contents.config)
    return contents


def write(snapshot, path, names=("G_ema", "G", "D")):
    """Write what rosinality's converter writes: {"g_ema": ..., "g": ..., "d": ..., "latent_avg": ...}.

    Args:
        snapshot: a `Snapshot`.
        path: the file; an older one stays as it is until the new one is complete.
        names: which networks to write, of those that are there.
    Returns:
        list of sentences on what the file does not keep.
    Raises:
        UserError: the format cannot hold one of them; or the disk is full.
    """
    networks = chosen(snapshot, names)
    notes, value = [], {}
    for name, network in networks.items():
        notes += _check_writable(path, name, network)
        value[name.lower()] = _renamed(network, name)
    means = {name: G.mapping.w_avg for name, G in networks.items() if name != "D" and G.mapping.w_avg_beta is not None}
    if means:
        value["latent_avg"] = next(iter(means.values()))
    if any(not torch.equal(mean, value["latent_avg"]) for mean in means.values()):
        notes.append("G: its w_avg is not kept; such a file has one, which is that of G_ema.")
    write_tensors(value, path)
    return notes


def _kind(state):
    """Return "G" or "D" for the state dict of a generator or discriminator, "" for others."""
    return "G" if GENERATOR in state and "conv1.conv.weight" in state else "D" if DISCRIMINATOR in state else ""


def _add(contents, name, state, latent_avg):
    """Add one network to the contents."""
    kind = _kind(state)
    name = name or {"G": "G_ema", "D": "D"}.get(kind, "")
    if kind != name[:1]:
        contents.notes.append(f"What the file has as {name} is no StyleGAN2 network of that kind, and is left out.")
        return
    if kind == "G":
        rows = generator_rows(count(state, "style.{}.weight", 1), _doublings(state, "convs.{}.conv.weight", 2))
    else:
        rows = discriminator_rows(_doublings(state, "convs.{}.conv1.0.weight", 1, first=1))
    foreign = sorted(state.keys() - {row.theirs for row in rows} - {"latent_avg"})
    try:
        if foreign:
            raise Unlike(_variant(kind, foreign))
        contents.networks[name] = _packed(state, rows, kind, contents, latent_avg)
    except Unlike as other:
        contents.networks[name] = Packed({}, state, str(other))


def _variant(kind, foreign):
    """Say what a network is, from the names that rosinality's StyleGAN2 has not."""
    what = "generator" if kind == "G" else "discriminator"
    if any(part in WAVELETS for name in foreign for part in name.split(".")):
        return f"a SWAGAN {what} (wavelets)"
    return f"a {what} with a part that StyleGAN2 has not, {foreign[0][:80]!r}"


def _packed(state, rows, kind, contents, latent_avg):
    """Bring a network to NVIDIA's names and describe it."""
    taps = _filter(state, rows)
    named = {row.ours: without_axes(row.theirs, state[row.theirs], row.axes) for row in rows if row.theirs in state}
    named = {name: source for name, source in named.items() if not name.endswith("resample_filter")}
    latent_avg = state.get("latent_avg", latent_avg)
    if kind == "G" and is_tensor(latent_avg):
        named["mapping.w_avg"] = without_axes("latent_avg", latent_avg, range(len(latent_avg.shape) - 1))
    packed = statedict.packed(named, contents.networks, contents.notes)
    if taps != DEFAULT_FILTER and not packed.unsupported:
        packed.init.setdefault("synthesis_kwargs" if kind == "G" else "block_kwargs", {})["resample_filter"] = taps
    return packed


def _filter(state, rows):
    """Return the taps of the resampling filter, which has to be the same in all layers."""
    kernels = [(row, read_filter(state[row.theirs])) for row in rows if row.filter_gain and row.theirs in state]
    found = [taps_of(kernel) for _, kernel in kernels] or [DEFAULT_FILTER]
    if any(taps != found[0] for taps in found):
        raise Unlike("a network with different resampling filters in its layers")
    if any(not math.isclose(float(kernel.sum()), row.filter_gain, rel_tol=1e-3) for row, kernel in kernels):
        raise Unlike("a network with resampling filters of a scale of their own")
    return found[0]


def _doublings(state, name, each, first=0):
    """Count the blocks above the first, for the name of a weight and the number of those in a block."""
    number = count(state, name, first)
    if number % each or number // each > MOST_BLOCKS - 1:
        raise Refused(f"holds a network with {number} upsampling layers, which is none of rosinality's. Give another file.")
    return number // each


def _images(value, options):
    """Return the number of real images shown, where the file tells: iterations times batch of a run in one process."""
    iterations = next((value[name] for name in ITERATIONS if name in value), None)
    numbers = (iterations, options.get("batch"))
    if options.get("distributed") or any(type(number) is not int or not 0 <= number < 2**40 for number in numbers):
        return 0
    return math.prod(numbers)


def _renamed(network, name):
    """Return the state dict of a network under rosinality's names, filters included."""
    doublings = PictureShape.of(network.img_resolution).doublings
    rows = discriminator_rows(doublings) if name == "D" else generator_rows(network.mapping.num_layers, doublings)
    state = network.state_dict()
    return {row.theirs: _theirs(state[row.ours], row) for row in rows}


def _theirs(tensor, row):
    """Bring one of our tensors to the form that it has there."""
    if row.filter_gain:
        return (torch.outer(tensor, tensor) if tensor.ndim == 1 else tensor) * row.filter_gain
    for axis in row.axes:
        tensor = tensor.unsqueeze(axis)
    return tensor


def _check_writable(path, name, network):
    """Check that the format can hold a network.

    Returns:
        list of sentences on what the file does not keep.
    Raises:
        UserError: it cannot, and why.
    """
    size = PictureShape.of(network.img_resolution)
    checks = {
        f"{network.c_dim} labels": network.c_dim != 0,
        f"{network.img_channels} picture channels": network.img_channels != 3,
        f"pictures of {size.width}x{size.height} pixels": (size.base_height, size.base_width) != (4, 4) or size.doublings == 0,
        **(_odd_discriminator(network) if name == "D" else _odd_generator(network)),
    }
    found = [what for what, has in checks.items() if has]
    if found:
        raise cannot_hold(path, name, found[0], "a rosinality file")
    return check_default(path, name, network, "a rosinality file")


def _odd_generator(network):
    """Return {what rosinality's generator has not: whether this one has it}."""
    keywords, first = network.init_kwargs["synthesis_kwargs"], network.synthesis.b4.conv1
    widths = {tuple(layer.weight.shape) for key, layer in network.mapping.named_children() if key.startswith("fc")}
    return {
        f"the architecture {keywords.get('architecture')}": keywords.get("architecture", "skip") != "skip",
        "mapping layers of different widths": widths != {(network.w_dim, network.w_dim)},
        "no noise inputs": not first.use_noise,
        "kernels that are not 3x3": first.weight.shape[-1] != 3,
    }


def _odd_discriminator(network):
    """Return {what rosinality's discriminator has not: whether this one has it}."""
    architecture = network.init_kwargs.get("architecture", "resnet")
    maps = 0 if network.b4.mbstd is None else network.b4.mbstd.num_channels
    return {f"the architecture {architecture}": architecture != "resnet", f"{maps} minibatch-std maps": maps != 1}

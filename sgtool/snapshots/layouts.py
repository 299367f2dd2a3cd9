"""Where in a file of bare tensors the networks are, and writing such files."""

import io

import torch

from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.snapshots.lazy import is_tensor

NAMES = {
    **dict.fromkeys(("G_ema", "g_ema", "generator_ema", "netG_ema"), "G_ema"),
    **dict.fromkeys(("G", "g", "generator", "netG"), "G"),
    **dict.fromkeys(("D", "d", "discriminator", "netD"), "D"),
}
WRAPPERS = ("params_ema", "state_dict", "model_state_dict", "model", "params")  # the averaged weights first
DEPTH = 3  # of wrappers around wrappers, and of "module." before names


def networks_in(value):
    """Find the state dicts in what a file holds.

    They may be values of keys such as "g_ema" or "G", have names that begin with "G_ema.", or be the file itself; be
    wrapped in a "state_dict"; and have names that begin with "module.", as `DataParallel` makes them.

    Args:
        value: what the file holds.
    Returns:
        {"G_ema" | "G" | "D" | "": {name: tensor or Stored}}; "" is the only one, where nothing says which it is.
    """
    for _ in range(DEPTH + 1):
        if not isinstance(value, dict):
            return {}
        named = {NAMES[key]: _tensors(item) for key, item in value.items() if key in NAMES and isinstance(item, dict)}
        if any(named.values()):
            return {key: state for key, state in named.items() if state}
        inner = [value[key] for key in WRAPPERS if isinstance(value.get(key), dict)]
        if not inner:
            return _split(_tensors(value))
        value = inner[0]
    return {}


def _tensors(value):
    """Return the tensors of a dict that have names, without a common "module."."""
    state = {key: item for key, item in value.items() if isinstance(key, str) and is_tensor(item)}
    for _ in range(DEPTH):
        if not state or not all(name.startswith("module.") for name in state):
            break
        state = {name.removeprefix("module."): item for name, item in state.items()}
    return state


def _split(state):
    """Share out tensors whose names begin with that of a network. Names without a dot are no network's."""
    heads = {name.partition(".")[0] for name in state if "." in name}
    if not heads or not heads <= NAMES.keys():
        return {"": state} if state else {}
    found = {}
    for name, item in state.items():
        head, _, rest = name.partition(".")
        found.setdefault(NAMES.get(head), {})[rest] = item
    return {key: _tensors(part) for key, part in found.items() if key is not None}


def chosen(snapshot, names):
    """Return {name: network} of those of a `Snapshot` that are to be written, of those that are there.

    Args:
        snapshot: a `Snapshot`.
        names: of "G_ema", "G" and "D".
    """
    networks = {name: getattr(snapshot, name) for name in ("G_ema", "G", "D") if name in names}
    return {name: network for name, network in networks.items() if network is not None}


def check_default(path, name, network, format_name):
    """Check that a network is as files without a description have to assume.

    Args:
        path, format_name: for messages.
        name: "G_ema", "G" or "D".
        network: the module.
    Returns:
        list of sentences on what the file does not keep.
    Raises:
        UserError: what the file cannot say decides the pictures.
    """
    found = []
    for module in network.modules():
        if getattr(module, "activation", "lrelu") not in ("lrelu", "linear"):
            found.append(f"the activation {module.activation}")
    mapping = getattr(network, "mapping", None)
    first = getattr(mapping, "fc0", None)
    if first is not None and first.bias_gain != 0.01:
        found.append(f"a learning rate factor of {first.bias_gain:g} in the mapping network")
    mbstd = getattr(getattr(network, "b4", None), "mbstd", None)
    if mbstd is not None and mbstd.group_size != 4:
        found.append(f"minibatch-std groups of {mbstd.group_size or 'the whole batch'}")
    if found:
        raise cannot_hold(path, name, found[0], format_name)
    clamps = sorted({module.conv_clamp for module in network.modules() if getattr(module, "conv_clamp", None) is not None})
    return [f"{name}: the clamp at {clamps[0]:g} is not kept; such a file has none."] if clamps else []


def cannot_hold(path, name, what, format_name):
    """Return the UserError for a network that a format cannot hold."""
    text = f"{path} was not written: {name} has {what}, which {format_name} cannot hold."
    return UserError(f"{text} Choose sgtool's own format (.pkl) or safetensors.")


def write_tensors(value, path):
    """Write a nested dict of tensors as a `torch.save` archive, whole or not at all.

    The archive is made in memory: torch's writer, given a file, hides why a write failed.

    Raises:
        UserError: the file cannot be written, for instance on a full disk.
    """
    archive = io.BytesIO()
    torch.save(_bare(value), archive)
    with atomic_write(path) as file:
        file.write(archive.getbuffer())


def _bare(value):
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    return bare(value)


def bare(tensor):
    """Return a contiguous CPU tensor that has its storage to itself, without its gradient."""
    tensor = tensor.detach().cpu().contiguous()
    alone = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
    return tensor if alone and type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor).clone()

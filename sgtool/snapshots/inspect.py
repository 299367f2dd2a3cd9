"""What a model file holds, as plain values: from its description alone, without reading its tensors."""

import math

from sgtool.files import sha256_of
from sgtool.networks import PictureShape
from sgtool.snapshots.contents import check_state, laid_out
from sgtool.snapshots.formats import FORMATS, opened

STYLEGAN2_BUFFERS = {"resample_filter", "noise_const", "w_avg", "lod"}  # last parts of names
ALIAS_FREE_BUFFERS = {"freqs", "phases", "transform", "up_filter", "down_filter", "magnitude_ema"}
BUFFERS = STYLEGAN2_BUFFERS | ALIAS_FREE_BUFFERS  # everything else is a parameter
WIDTHS = {"channel_base": 32768, "channel_max": 512}  # keywords that give the feature maps, and their defaults
MOST_VALUES, MOST_LEVELS = 10_000, 20  # of training options and the like; what a file holds beyond is left out
KINDS = {"G_ema": "generator", "G": "generator", "D": "discriminator"}  # in the order in which they are told


def inspect(path):
    """Describe a model file.

    Args:
        path: the file, from `find`.
    Returns:
        A dict that `json.dumps(..., allow_nan=False)` takes:
            file, bytes, sha256; format (a name in `FORMATS`), program (in words);
            resolution [width, height] in pixels, channels, c_dim, class_names (None if there are none or they are not known);
            nimg, kimg, augment_p, config (training options), dataset, notes (sentences);
            networks {"G_ema" | "G" | "D": dict}: kind, unsupported (what it is if it cannot be run, else ""), parameters and
            buffers (how many numbers), init (its keywords), tensors (list of name, shape, type, count, is_parameter), and if
            it can be run z_dim, w_dim, num_ws, mapping_layers (generators), architecture, widths (feature maps of each block,
            smallest first), conv_clamp, num_fp16_res.
    Raises:
        UserError: it cannot be opened, or a network does not fit its description.
    """
    with opened(path) as contents:
        there = [name for name in KINDS if name in contents.networks]
        networks = {name: _network(path, name, contents.networks[name], contents.exact) for name in there}
        about = {name: getattr(contents, name) for name in ("config", "dataset", "notes")}
    about = {name: _finite(value) for name, value in about.items()}
    numbers = {"nimg": _finite(contents.nimg), "augment_p": _finite(contents.augment_p)}
    numbers["kimg"] = numbers["nimg"] / 1000 if isinstance(numbers["nimg"], int) else None
    file = {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    program = {"format": contents.format, "program": FORMATS[contents.format]}
    return file | program | _pictures(networks, about["dataset"]) | numbers | about | {"networks": networks}


def _pictures(networks, dataset):
    """What the first network says about pictures and labels."""
    init = next((network["init"] for network in networks.values()), {})
    size, c_dim, names = (init.get("img_resolution"), init.get("c_dim", 0), dataset.get("class_names"))
    size = size if isinstance(size, list) else [size, size]
    known = isinstance(names, list) and isinstance(c_dim, int) and 0 < c_dim == len(names)
    return {
        "resolution": size[::-1],
        "channels": init.get("img_channels"),
        "c_dim": c_dim,
        "class_names": [str(name) for name in names] if known else None,
    }


def _network(path, name, packed, exact):
    """Describe one network, after holding its tensors against its description."""
    tensors = [_tensor(key, tensor) for key, tensor in packed.state.items()]
    parameters, buffers = (sum(t["count"] for t in tensors if t["is_parameter"] == is_one) for is_one in (True, False))
    facts = {"kind": KINDS[name], "unsupported": packed.unsupported, "parameters": parameters, "buffers": buffers}
    facts["init"] = _finite(packed.init)
    if not packed.unsupported:
        network = laid_out(path, name, packed)
        check_state(path, name, network.state_dict(), packed.state, exact)
        facts |= _traits(network)
    return facts | {"tensors": tensors}


def _tensor(name, tensor):
    kind = {"type": str(tensor.dtype).removeprefix("torch."), "is_parameter": str(name).rpartition(".")[2] not in BUFFERS}
    return {"name": str(name), "shape": list(tensor.shape), "count": math.prod(tensor.shape), **kind}


def _traits(network):
    """What is to be said about a network that can be run, which is laid out without memory."""
    init, shape = network.init_kwargs, PictureShape.of(network.img_resolution)
    if not hasattr(network, "synthesis"):
        blocks, default = init, "resnet"
        traits = {"cmap_dim": network.b4.cmap_dim}
    else:
        blocks, default = init.get("synthesis_kwargs") or {}, "skip"
        traits = {name: getattr(network, name) for name in ("z_dim", "w_dim", "num_ws")}
        traits["mapping_layers"] = network.mapping.num_layers
    widths = shape.channels(*(blocks.get(*item) for item in WIDTHS.items()), blocks.get("channels"))
    plain = {"conv_clamp": blocks.get("conv_clamp"), "num_fp16_res": blocks.get("num_fp16_res", 0)}
    return _finite(traits | {"architecture": blocks.get("architecture", default), "widths": widths} | plain)


def _finite(value):
    """Copy plain values so that JSON can hold them: finite, with str keys, and not more than `MOST_VALUES` of them.

    A value may hold another one many times over, or itself; written out, a small file could become endless.
    """
    return _copy(value, [MOST_VALUES], 0)


def _copy(value, left, depth):
    left[0] -= 1
    if left[0] < 0 or depth > MOST_LEVELS:
        return "..."
    if isinstance(value, dict):
        return {str(key): _copy(item, left, depth + 1) for key, item in _first(value.items(), left, ("...", "..."))}
    if isinstance(value, (list, tuple)):
        return [_copy(item, left, depth + 1) for item in _first(value, left, "...")]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bool, str, type(None))) or isinstance(value, int) and abs(value) < 2**63:
        return value
    return f"<{type(value).__name__}>"


def _first(items, left, last):
    """Yield items as long as values are left, then `last` in the place of the rest."""
    for item in items:
        if left[0] <= 0:
            yield last
            return
        yield item

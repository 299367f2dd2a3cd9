"""Safetensors files: a JSON header that says where each tensor is, then the tensors. With or without sgtool's description.

The layout is that of the safetensors project, version 1: the header's length in 8 bytes (little-endian), the header, and the
data, which the tensors fill without a gap. sgtool's description is JSON in the header's metadata, under "sgtool".
"""

import json
import math

import torch

from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.snapshots import rosinality, statedict
from sgtool.snapshots.contents import BUILDERS, Contents, Packed
from sgtool.snapshots.layouts import bare, chosen
from sgtool.snapshots.plain import CHECKS, option, plain
from sgtool.snapshots.spans import Refused, Stored, damaged

KEY, VERSION = "sgtool", 1  # of the metadata
HEADER_LIMIT = 2**20  # bytes; a large G, G_ema and D have 70 KB
DIGITS = 19  # of a whole number
TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
TYPE_NAMES = {dtype: name for name, dtype in TYPES.items()}


def recognise(span):
    """Whether a file begins like a safetensors file: a length that fits, then a JSON object.

    Args:
        span: the file.
    """
    return len(span) > 9 and span.read(8, 1) == b"{" and _header_size(span) <= len(span) - 8


def describe(path, span):
    """Return the `Contents` of a safetensors file.

    Args:
        path: not used; the readers of files have it for messages.
        span: the file.
    Raises:
        Refused: it is damaged, newer than this version, or holds no StyleGAN2 network.
    """
    metadata, tensors = parts_of(span)
    if KEY in metadata:
        return _described(plain(_json(metadata[KEY], "its description")), tensors)
    if rosinality.recognise(tensors):
        return rosinality.describe(tensors, "safetensors")
    if statedict.recognise(tensors):
        return statedict.describe(tensors, "safetensors")
    held = ", ".join(repr(name[:60]) for name in list(tensors)[:3]) or "nothing"
    raise Refused(f"is a safetensors file, but not of a StyleGAN2 model: it holds {held}. Give one of a StyleGAN2 network.")


def parts_of(span):
    """Return the metadata {text: text} and the tensors {name: Stored} of a safetensors file.

    Raises:
        Refused: it is damaged.
    """
    header = _header(span)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged("its metadata are not text")
    return metadata, _tensors(header, span.part(8 + _header_size(span), len(span) - 8 - _header_size(span)))


def write(snapshot, path, names=("G_ema", "G", "D")):
    """Write networks with the description that rebuilds them, whole or not at all.

    Args:
        snapshot: a `Snapshot`; its networks have `init_kwargs`.
        path: the file; an older one stays as it is until the new one is complete.
        names: which networks to write, of those that are there.
    Returns:
        list of sentences on what the file does not keep: none. (Tuples in the configuration come back as lists.)
    Raises:
        UserError: the configuration has something that is no JSON; or the disk is full.
    """
    networks = chosen(snapshot, names)
    description = {"version": VERSION, "networks": {name: network.init_kwargs for name, network in networks.items()}}
    description |= {name: getattr(snapshot, name) for name in ("augment_p", "nimg", "config", "dataset")}
    try:
        metadata = {"format": "pt", KEY: json.dumps(description)}
    except TypeError as error:
        raise UserError(f"{path} was not written: safetensors cannot hold the configuration ({error}).") from error
    tensors = {f"{name}.{key}": item for name, network in networks.items() for key, item in network.state_dict().items()}
    tensors = dict(sorted(tensors.items(), key=lambda pair: -pair[1].element_size()))  # so that each is aligned
    header, end = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(bare(tensor).reshape(-1).view(torch.uint8).numpy())
    return []


def _header_size(span):
    return int.from_bytes(span.read(0, 8), "little")


def _header(span):
    """Return the header as a dict."""
    size = _header_size(span)
    if size > HEADER_LIMIT:
        raise Refused(f"has a header of {size:,} bytes, which no StyleGAN2 model needs. Give another file.")
    header = _json(span.read(8, size), "its header")
    if not isinstance(header, dict):
        raise damaged("its header is no JSON object")
    return header


def _tensors(header, data):
    """Return {name: Stored} for what the header lists; the tensors have to fill `data` without a gap."""
    tensors, ranges = {}, []
    for name, entry in header.items():
        dtype, shape, start, end = _entry(name, entry)
        if end - start != math.prod(shape) * dtype.itemsize:
            raise damaged(f"{name[:60]!r} has {end - start} bytes, and its shape is {shape[:9]}")
        tensors[name] = Stored(data.part(start, end - start), dtype, tuple(shape))
        ranges.append((start, end))
    reached = 0
    for start, end in sorted(ranges):
        if start != reached:
            raise damaged("its tensors overlap or leave a gap")
        reached = end
    if reached != len(data):
        raise damaged(f"it has {len(data)} bytes of data, and its tensors have {reached}")
    return tensors


def _entry(name, entry):
    """Return (dtype, shape, start, end) of one tensor."""
    entry = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and len(shape) <= 64
    if not lists or any(type(n) is not int or n < 0 for n in (*shape, *offsets)) or offsets[0] > offsets[1]:
        raise damaged(f"it does not say where {name[:60]!r} is")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Refused(f"has a tensor of type {str(kind)[:20]!r}, which this version of sgtool does not read. Save it as F32.")
    return TYPES[kind], shape, *offsets


def _described(description, tensors):
    """Return the `Contents` that sgtool's description and the tensors make."""
    version = _checked(description, "version", int, 0)
    if version > VERSION:
        raise Refused(f"was written by a newer sgtool (description {version}; this one reads {VERSION}). Upgrade sgtool.")
    inits = _checked(description, "networks", dict, {})
    states = {name: {} for name in inits}
    for name, tensor in tensors.items():
        network, _, rest = name.partition(".")
        if network not in states:
            raise damaged(f"{name[:60]!r} belongs to no network")
        states[network][rest] = tensor
    unknown = sorted(inits.keys() - BUILDERS.keys())
    if unknown or not all(isinstance(init, dict) for init in inits.values()):
        raise damaged(f"it describes no network as {unknown[0][:60]!r}" if unknown else "it describes a network by no keywords")
    _check_options(inits)
    return Contents(
        "safetensors",
        {name: Packed(init, states[name]) for name, init in inits.items()},
        augment_p=_probability(description),
        nimg=_checked(description, "nimg", int, 0),
        config=_checked(description, "config", dict, {}),
        dataset=_checked(description, "dataset", dict, {}),
    )


def _check_options(keywords):
    """Look at the options in nested keywords, such as activations, that only running the network would find impossible."""
    for key, value in keywords.items():
        if isinstance(value, dict):
            _check_options(value)
        elif key in CHECKS:
            option(key, value, default=None)


def _probability(description):
    p = _checked(description, "augment_p", (int, float), 0.0)
    if not 0 <= p < math.inf:
        raise damaged(f"augment_p in its description is {p:g}")
    return float(p)


def _checked(description, key, kind, default):
    value = description.get(key, default) if isinstance(description, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise damaged(f"{key} in its description is of the type {type(value).__name__}")
    return value


def _json(text, what):
    """Read JSON without keys given twice, numbers of endless digits, or text that is no Unicode."""
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        reason = "it is nested without end" if isinstance(error, RecursionError) else str(error)[:100]
        raise damaged(f"{what} cannot be read ({reason})") from error


def _unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _whole(text):
    if len(text) > DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)

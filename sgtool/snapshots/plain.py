"""Options of a foreign file: as plain values, checked, and brought together with what its tensors tell."""

import itertools
import math

import torch

from sgtool.networks import PictureShape
from sgtool.ops import ACTIVATIONS
from sgtool.snapshots.infer import discriminator_keywords, shape_of
from sgtool.snapshots.lazy import read
from sgtool.snapshots.spans import Stored, damaged

MOST_VALUES = 100_000  # honest files have some hundreds
DEEPEST = 30
SMALL = 64  # arrays with at most so many numbers become numbers, larger ones are no options
ABSENT = object()


def plain(value):
    """Return `value` as dicts, lists, numbers, str, bool and None. Objects and large arrays in it are left out.

    Returns:
        A copy; `ABSENT` if `value` itself is nothing of that.
    Raises:
        Refused: it is nested without end, or a few references make it grow beyond measure.
    """
    return _plain(value, 0, itertools.count())


def _plain(value, depth, count):
    if depth > DEEPEST or next(count) > MOST_VALUES:
        raise damaged("its options are nested without end")
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        items = {str(key): _plain(item, depth + 1, count) for key, item in value.items() if isinstance(key, (str, int))}
        return {key: item for key, item in items.items() if item is not ABSENT}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [item for item in (_plain(item, depth + 1, count) for item in value) if item is not ABSENT]
    if isinstance(value, (Stored, torch.Tensor)) and math.prod(value.shape) <= SMALL and not value.dtype.is_complex:
        return read(value).tolist()
    return ABSENT


def number(value):
    """Return a number, or a tensor of one number, as float; None for anything else, infinities and NaN too."""
    value = plain(value)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if _is_number(value) else None


def option(key, *sources, default):
    """Return the first value of an option that is there, after a look at it.

    Args:
        key: its name, in `CHECKS`.
        sources: values in the order in which they are believed; `ABSENT` where there is none.
        default: if there is none at all.
    Raises:
        Refused: it is of the wrong kind.
    """
    value = next((source for source in sources if source is not ABSENT), default)
    if not CHECKS[key](value):
        raise damaged(f"its option {key} is {brief(value)}")
    return value


def named_widths(inferred, base, maximum, img_resolution):
    """Return the file's own numbers for the feature maps, where they give the widths that the tensors have.

    Args:
        inferred: keywords inferred from the tensors.
        base, maximum: channel_base and channel_max as the file has them; `ABSENT` = the published default.
        img_resolution: int or [height, width].
    Returns:
        The two keywords, or an empty dict where they would give other widths.
    """
    if "channels" in inferred:
        return {}
    named = {
        "channel_base": option("channel_base", base, default=32768),
        "channel_max": option("channel_max", maximum, default=512),
    }
    levels = PictureShape.of(img_resolution).levels
    ways = [[min(way["channel_base"] // level.resolution, way["channel_max"]) for level in levels] for way in (inferred, named)]
    return named if ways[0] == ways[1] else {}


def judge_keywords(state, img_resolution):
    """Infer the keywords of a discriminator, also of one whose label map has an embedding and no layers.

    Args, Returns, Raises: as `infer.discriminator_keywords`.
    """
    if "mapping.embed.weight" not in state or "mapping.fc0.weight" in state:
        return discriminator_keywords(state, img_resolution)
    cmap_dim, c_dim = shape_of(state, "mapping.embed.weight", 2)
    init = discriminator_keywords({k: v for k, v in state.items() if not k.startswith("mapping.")}, img_resolution)
    return init | {"c_dim": c_dim, "cmap_dim": cmap_dim, "mapping_kwargs": {"num_layers": 0}}


def brief(value):
    """Return a value as text for a message, cut to a length that fits."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def _is_count(value):
    return type(value) is int and 0 <= value < 2**31


def _is_filter(value):
    """Whether it is a list of taps, or of rows of taps."""
    rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    regular = all(isinstance(row, list) and 0 < len(row) == len(rows[0]) <= 64 for row in rows) and len(rows) <= 64
    return regular and all(_is_number(tap) for row in rows for tap in row) and sum(map(sum, rows)) != 0


CHECKS = {
    "activation": lambda value: isinstance(value, str) and value in ACTIVATIONS,
    "channel_base": _is_count,
    "channel_max": _is_count,
    "conv_clamp": lambda value: value is None or _is_number(value) and value >= 0,
    "freeze_layers": _is_count,
    "lr_multiplier": lambda value: _is_number(value) and value != 0,
    "mbstd_group_size": lambda value: value is None or _is_count(value) and value > 0,
    "num_fp16_res": _is_count,
    "resample_filter": _is_filter,
    "w_avg_beta": lambda value: value is None or _is_number(value),
}

"""Networks from keyword arguments, in either spelling that NVIDIA's repositories use."""

import copy
import math

from sgtool.networks.stylegan2 import Discriminator, Generator
from sgtool.ops import ACTIVATIONS

PERFORMANCE_HINTS = ("fp16_channels_last", "channels_last", "fused_modconv_default")  # they change no result; ours decide alone
GENERATOR_KEYWORDS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
SG3_SYNTHESIS_DEFAULTS = {"num_fp16_res": 4, "conv_clamp": 256}
SG3_MAPPING_DEFAULTS = {"w_avg_beta": 0.998}
ARCHITECTURES = ("skip", "resnet", "orig")


def build_generator(**kwargs):
    """Build a `Generator`.

    With `synthesis_kwargs`, the keywords are read as stylegan2-ada-pytorch's, with its defaults (no clamp, no half
    precision, w_avg_beta 0.995). Without, synthesis keywords are expected flat beside the others, as in the StyleGAN3
    repository's StyleGAN2, with its defaults (clamp 256, half precision in the top 4 resolutions, w_avg_beta 0.998).

    Args:
        kwargs: of `Generator`; see there. `img_resolution` is an int or (height, width).
    Returns:
        A `Generator` in training mode. Its `init_kwargs` (plain containers) make the same network again.
    Raises:
        ValueError: a keyword is unknown, or a value is impossible.
    """
    kwargs = copy.deepcopy(kwargs)
    if "synthesis_kwargs" not in kwargs:
        flat = {name: kwargs.pop(name) for name in list(kwargs) if name not in GENERATOR_KEYWORDS}
        kwargs["synthesis_kwargs"] = {**SG3_SYNTHESIS_DEFAULTS, **flat}
        kwargs["mapping_kwargs"] = {**SG3_MAPPING_DEFAULTS, **kwargs.get("mapping_kwargs", {})}
    return _build(Generator, kwargs)


def build_discriminator(**kwargs):
    """Build a `Discriminator`.

    Args:
        kwargs: of `Discriminator`; see there. `img_resolution` is an int or (height, width).
    Returns:
        A `Discriminator` in training mode. Its `init_kwargs` (plain containers) make the same network again.
    Raises:
        ValueError: a keyword is unknown, or a value is impossible.
    """
    return _build(Discriminator, copy.deepcopy(kwargs))


def _build(network, kwargs):
    kwargs = _plain(kwargs)
    for part in (kwargs, *(value for value in kwargs.values() if isinstance(value, dict))):
        _check_values(part)
    try:
        built = network(**kwargs)
    except TypeError as error:
        raise ValueError(f"{network.__name__}: {error}") from error
    built.init_kwargs = kwargs
    return built


def _check_values(part):
    """Raise ValueError for values that would build a network and fail only when it runs."""
    for key, allowed in {"architecture": ARCHITECTURES, "activation": tuple(ACTIVATIONS)}.items():
        if key in part and part[key] not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}, not {part[key]!r}")
    for key in ("conv_clamp", "w_avg_beta", "lr_multiplier"):
        value = part.get(key)
        if value is not None and (type(value) not in (int, float) or not 0 <= value < math.inf):
            raise ValueError(f"{key} must be a number from 0 on, not {value!r}")
    for key in ("mbstd_group_size", "mbstd_num_channels", "num_fp16_res", "freeze_layers"):
        value = part.get(key)
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{key} must be a whole number from 0 on, not {value!r}")


def _plain(value):
    """Drop the hints that change no result, and make plain dicts and lists of what comes from other programs."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if key not in PERFORMANCE_HINTS}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value

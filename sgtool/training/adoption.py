"""Trained networks as a run takes them over: their keywords, but for what the run decides."""

import copy
import inspect

from sgtool.networks import PictureShape
from sgtool.networks.stylegan2 import Discriminator, DiscriminatorEpilogue, MappingNetwork, SynthesisNetwork
from sgtool.training.config import W_AVG_BETA

FEATURE_MAPS = ("channel_base", "channel_max")


def decided_fields(G, D, options):
    """Return the fields of `TrainConfig` that the keywords of trained networks decide, unless an option says otherwise.

    Args:
        G: keywords of `build_generator` in the nested spelling, as in `init_kwargs`.
        D: of `build_discriminator`, or None.
        options: `Options`.
    Returns:
        {field: value}. Where the feature maps are listed block by block, `channel_base` and `channel_max` are None; if one
        of them is asked for, the list does not count and they are left out.
    """
    synthesis = _complete(SynthesisNetwork, G.get("synthesis_kwargs"))
    fields = {
        "z_dim": G["z_dim"],
        "w_dim": G["w_dim"],
        "map_depth": _complete(MappingNetwork, G.get("mapping_kwargs"))["num_layers"],
        "num_fp16_res": synthesis["num_fp16_res"],
        "conv_clamp": synthesis.get("conv_clamp"),
    }
    if synthesis["channels"] is None or (options.cbase is None and options.cmax is None):
        fields |= feature_maps(SynthesisNetwork, synthesis)
    if D is not None:
        fields["d_architecture"] = _complete(Discriminator, D)["architecture"]
        fields["mbstd_group"] = _complete(DiscriminatorEpilogue, D.get("epilogue_kwargs"))["mbstd_group_size"]
    return fields


def feature_maps(network, kwargs):
    """Return {"channel_base", "channel_max"} of a SynthesisNetwork's or a Discriminator's keywords; None if they are listed."""
    kwargs = _complete(network, kwargs)
    return {name: kwargs[name] if kwargs["channels"] is None else None for name in FEATURE_MAPS}


def adopt(config, options, G, D):
    """Return the run's networks: {"generator", "discriminator"}, the keywords of trained ones made to fit the configuration.

    Whatever the configuration does not name stays as it is in them. Adopting what was adopted changes nothing.

    Args:
        config: `TrainConfig`, its fields of networks chosen.
        options: `Options`.
        G, D: as in `decided_fields`; D None = one is made after G.
    """
    D = _discriminator_like(G) if D is None else D
    before = decided_fields(G, None, options)
    chosen = {name: getattr(config, name) for name in ("num_fp16_res", "conv_clamp")}
    replaced = options.fp32 or any(before[name] != value for name, value in chosen.items())
    return {"generator": _generator(config, G, chosen), "discriminator": _discriminator(config, options, D, chosen, replaced)}


def _generator(config, G, half):
    G = copy.deepcopy(G)
    maps = {name: getattr(config, name) for name in FEATURE_MAPS}
    return {
        **G,
        "z_dim": config.z_dim,
        "c_dim": config.c_dim,
        "w_dim": config.w_dim,
        "img_resolution": config.img_resolution,
        "img_channels": config.channels,
        "mapping_kwargs": {**(G.get("mapping_kwargs") or {}), "num_layers": config.map_depth, "w_avg_beta": W_AVG_BETA},
        "synthesis_kwargs": _with_feature_maps({**(G.get("synthesis_kwargs") or {}), **half}, maps, config.img_resolution),
    }


def _discriminator(config, options, D, half, replaced):
    D = copy.deepcopy(D)
    if not D.get("cmap_dim"):
        D.pop("cmap_dim", None)  # 0 is what a discriminator without labels has; with labels it follows from the feature maps
    maps = feature_maps(Discriminator, D)
    asked = {"channel_base": options.cbase, "channel_max": options.cmax}
    if any(asked.values()):
        maps = {name: asked[name] or maps[name] or getattr(config, name) for name in FEATURE_MAPS}
    D |= {
        "c_dim": config.c_dim,
        "img_resolution": config.img_resolution,
        "img_channels": config.channels,
        "architecture": config.d_architecture,
        "block_kwargs": {**(D.get("block_kwargs") or {}), "freeze_layers": config.freezed},
        "epilogue_kwargs": {**(D.get("epilogue_kwargs") or {}), "mbstd_group_size": config.mbstd_group},
    }
    return _with_feature_maps(D | half if replaced else D, maps, config.img_resolution)


def _discriminator_like(G):
    """Keywords of a discriminator with a generator's feature maps, filter and precision."""
    synthesis = G.get("synthesis_kwargs") or {}
    names = (*FEATURE_MAPS, "channels", "num_fp16_res", "conv_clamp")
    blocks = {name: synthesis[name] for name in ("resample_filter",) if name in synthesis}
    return {name: synthesis[name] for name in names if name in synthesis} | {"block_kwargs": blocks}


def _with_feature_maps(kwargs, maps, img_resolution):
    """Follow channel_base and channel_max, or, where they are None, the list, cut or continued for the pictures' size."""
    if maps["channel_base"] is not None:
        return {name: value for name, value in kwargs.items() if name != "channels"} | maps
    kwargs = {name: value for name, value in kwargs.items() if name not in FEATURE_MAPS}
    count = len(PictureShape.of(img_resolution).levels)
    return kwargs | {"channels": continued(kwargs["channels"], count)}


def continued(channels, count):
    """Cut a list of feature maps, smallest block first, to `count` blocks, or halve on: [8, 6] for 4 is [8, 6, 3, 1]."""
    channels = list(channels[:count])
    while len(channels) < count:
        channels.append(max(channels[-1] // 2, 1))
    return channels


def _complete(network, kwargs):
    """Keywords with the defaults of those that are not given."""
    parameters = inspect.signature(network.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty} | (kwargs or {})

"""Snapshots of NVIDIA's PyTorch repositories: stylegan2-ada-pytorch, and StyleGAN2 in the StyleGAN3 repository.

A snapshot is a dict of networks and options. A network is the attribute dict of a module, of its submodules and so on, with
the arguments it was made with. Shapes come from the tensors, what shapes do not tell from the attributes, then from the
arguments, then from the defaults of the repository that wrote it.
"""

import itertools
from pathlib import PurePath

import torch

from sgtool.snapshots.contents import Contents, Packed
from sgtool.snapshots.inert import Inert, shown
from sgtool.snapshots.infer import Unlike, generator_keywords
from sgtool.snapshots.plain import ABSENT, brief, judge_keywords, named_widths, number, option, plain
from sgtool.snapshots.spans import Refused, Stored, damaged

ADA, SG3 = "stylegan2-ada-pytorch", "stylegan3"
DEFAULTS = {
    ADA: {"num_fp16_res": 0, "conv_clamp": None, "w_avg_beta": 0.995},
    SG3: {"num_fp16_res": 4, "conv_clamp": 256, "w_avg_beta": 0.998},
}
NETWORKS = ("G_ema", "G", "D")  # D last: the generator tells the picture's size
WIDTHS = ("channel_base", "channel_max")
LABEL_MAP = ("num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta")
BLOCK = ("architecture", "resample_filter", "conv_clamp", "use_noise", "activation", "kernel_size")
ARGUMENTS = {  # in the order of the constructors
    "G": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"),
    "D": (
        *("c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max", "num_fp16_res"),
        *("conv_clamp", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs"),
    ),
}
KNOWN = {  # by keyword: the options in it that are read, or that the tensors tell
    "mapping_kwargs": LABEL_MAP,
    "synthesis_kwargs": (*WIDTHS, "num_fp16_res", *BLOCK),
    "block_kwargs": (*BLOCK, "freeze_layers"),
    "epilogue_kwargs": ("mbstd_group_size", "mbstd_num_channels", "activation", "architecture", "conv_clamp"),
}
HINTS = ("class_name", "fp16_channels_last", "channels_last", "fused_modconv_default")  # change no result
OF_FORKS = ("square", "init_res", "size", "verbose")  # StyleGAN-Human, eps696: the tensors tell what they say
MOST_PARTS = 100_000  # modules and tensors; the largest published networks have some hundreds
DEEPEST = 16


def recognise(value):
    """Whether what was unpickled is a snapshot of these, or one of their networks alone."""
    parts = value.values() if isinstance(value, dict) else [value]
    return any(_is_module(part) for part in parts)


def describe(value):
    """Return the `Contents` of what was unpickled.

    Raises:
        Refused: it is damaged, or holds neither a generator nor a discriminator.
    """
    parts = value if isinstance(value, dict) else {_role(value): value}
    nets = {name: parts[name] for name in NETWORKS if _is_module(parts.get(name))}
    if not nets:
        found = sorted({_class(part) for part in parts.values() if _is_module(part)})
        raise Refused(f"holds {', '.join(found)[:200]}, but none of G, D and G_ema. Give a snapshot of StyleGAN2.")
    networks, notes, resolution = {}, [], None
    for name, net in nets.items():
        networks[name] = _packed(name, net, resolution, notes)
        if name != "D" and not networks[name].unsupported:
            resolution = networks[name].init["img_resolution"]
    layouts = [_layout(net, _arguments(name, net)) for name, net in nets.items()]
    contents = Contents(SG3 if SG3 in layouts else ADA, networks, notes=list(dict.fromkeys(notes)))
    _add_facts(contents, parts)
    return contents


# What the networks are.


def _is_module(value):
    return isinstance(value, Inert) and value.kind == "persistent"


def _class(net):
    name = net.name.rpartition(".")[2][:60]
    return name if name.isidentifier() else "an object without a name"


def _children(net, kind="_modules"):
    children = net.state.get(kind)
    return children if isinstance(children, dict) else {}


def _role(net):
    """Tell under which name a network that is alone belongs."""
    if "discriminator" in _class(net).lower():
        return "D"
    return "G_ema" if "generator" in _class(net).lower() or "synthesis" in _children(net) else ""


def _packed(name, net, resolution, notes):
    """Describe one network; a generator's `resolution` helps to describe D."""
    state = dict(_tensors(net, "", 0, itertools.count()))
    given = _arguments(name, net)
    kind = _other_kind(name, net, state)
    if kind:
        return Packed(given, state, unsupported=kind)
    try:
        init = _discriminator(net, state, given, resolution) if name == "D" else _generator(net, state, given)
    except Unlike as unlike:
        return Packed(given, state, unsupported=str(unlike))
    strange = _strange(name, given)
    idle = [key for key, value in strange.items() if key in OF_FORKS or value is None or value is False]
    if idle:
        notes.append(
            f"Options of another program were left out, as they change nothing here: {', '.join(sorted(map(shown, idle)))}."
        )
    odd = [f"{shown(key)}={brief(value)}" for key, value in strange.items() if key not in idle]
    return Packed(init, state, unsupported=f"a variant of StyleGAN2 (with {', '.join(odd)})" if odd else "")


def _tensors(net, prefix, depth, count):
    """Yield (dotted name, tensor) of a module and all below it."""
    if depth > DEEPEST:
        raise damaged("its modules are nested without end")
    transient = net.state.get("_non_persistent_buffers_set")
    transient = transient if isinstance(transient, (set, frozenset, list, tuple, dict)) else ()
    for kind in ("_parameters", "_buffers", "_modules"):
        for name, value in _children(net, kind).items():
            if next(count) > MOST_PARTS or not isinstance(name, str):
                raise damaged("its modules are not those of a network")
            if isinstance(value, Inert) and kind == "_modules":
                yield from _tensors(value, f"{prefix}{name}.", depth + 1, count)
            elif isinstance(value, (Stored, torch.Tensor)) and kind != "_modules":
                if kind == "_parameters" or name not in transient:
                    yield prefix + name, value
            elif value is not None:
                raise damaged(f"{brief(prefix + name)} is not a tensor")


def _other_kind(name, net, state):
    """Say what a network is if it is not StyleGAN2's; "" if it is."""
    synthesis, thing = _children(net).get("synthesis"), "discriminator" if name == "D" else "generator"
    if "Model" in _children(net):
        return f"an R3GAN {thing}"
    if isinstance(synthesis, Inert) and _class(synthesis).lower().startswith("fastgan"):
        return f"a FastGAN {thing} (of Projected GAN)"
    if "synthesis.input.freqs" in state:
        if "mapping.embed_proj.weight" in state or _class(net) == "SuperresGenerator":
            return f"a StyleGAN-XL {thing}"
        kernels = [tensor.shape[-1] for key, tensor in state.items() if key.startswith("synthesis.L") and len(tensor.shape) == 4]
        return f"a StyleGAN3-{'t' if any(n > 1 for n in kernels) else 'r'} (alias-free) {thing}"
    needed = ("b4.conv.weight", "b4.fc.weight") if name == "D" else ("synthesis.b4.const", "mapping.fc0.weight")
    return "" if all(key in state for key in needed) else f"{_class(net)}, not a {thing} of StyleGAN2"


# With which keywords they are built.


def _arguments(name, net):
    """Return the arguments that a network was made with, by name, as plain values."""
    order = ARGUMENTS["D" if name == "D" else "G"]
    given, named = (net.state.get(key) for key in ("_init_args", "_init_kwargs"))
    given = list(given) if isinstance(given, (list, tuple)) else []
    surplus = {f"argument {i + 1}": value for i, value in enumerate(given) if i >= len(order)}
    arguments = dict(zip(order, given, strict=False)) | surplus | (named if isinstance(named, dict) else {})
    arguments = {str(key): plain(value) for key, value in arguments.items()}
    return {key: "an object" if value is ABSENT else value for key, value in arguments.items() if key not in HINTS}


def _nested(given, key):
    """Return one of the dicts among arguments."""
    value = given.get(key)
    return value if isinstance(value, dict) else {}


def _strange(name, given):
    """Return the options that are not known, {name: value}."""
    flat = () if name == "D" else KNOWN["synthesis_kwargs"]
    strange = {key: given[key] for key in given if key not in (*ARGUMENTS["D" if name == "D" else "G"], *flat)}
    for group, known in KNOWN.items():
        strange |= {key: value for key, value in _nested(given, group).items() if key not in (*known, *HINTS)}
    return strange


def _attribute(net, path, name):
    """Return an attribute of a module below `net` as a plain value; `ABSENT` if there is none."""
    for part in path.split("."):
        net = _children(net).get(part)
        if not isinstance(net, Inert):
            return ABSENT
    return plain(net.state.get(name, ABSENT))


def _layout(net, given):
    """Tell which repository's classes a network is of: the newer ones note their widths, and take synthesis options flat."""
    noted = [_attribute(net, path, "in_features") for path in ("mapping.fc0", "b4.fc")]
    flat = "synthesis" in _children(net) and any(key in given for key in KNOWN["synthesis_kwargs"])
    return SG3 if flat or any(value is not ABSENT for value in noted) else ADA


def _generator(net, state, given):
    """Return the keywords of `build_generator`."""
    init, defaults = generator_keywords(state), DEFAULTS[_layout(net, given)]
    options = {key: value for key, value in given.items() if key in KNOWN["synthesis_kwargs"]}
    options |= _nested(given, "synthesis_kwargs")
    synthesis, layer = init["synthesis_kwargs"], "synthesis.b4.conv1"
    synthesis |= _widths(synthesis, options, init["img_resolution"])
    synthesis |= _computing(net, "synthesis", layer, options, defaults) | _activation(net, layer, options)
    average = _attribute(net, "mapping", "w_avg_beta"), _nested(given, "mapping_kwargs").get("w_avg_beta", ABSENT)
    init["mapping_kwargs"] |= _label_map(net, given)
    init["mapping_kwargs"]["w_avg_beta"] = option("w_avg_beta", *average, default=defaults["w_avg_beta"])
    return init


def _discriminator(net, state, given, resolution):
    """Return the keywords of `build_discriminator`."""
    init, defaults = judge_keywords(state, resolution), DEFAULTS[_layout(net, given)]
    block, epilogue = _nested(given, "block_kwargs"), _nested(given, "epilogue_kwargs")
    init |= _widths(init, given, init["img_resolution"]) | _computing(net, "b4", "b4.conv", given, defaults)
    group = _attribute(net, "b4.mbstd", "group_size"), epilogue.get("mbstd_group_size", ABSENT)
    epilogue = {"mbstd_group_size": option("mbstd_group_size", *group, default=4)} | _activation(net, "b4.conv", epilogue)
    init["epilogue_kwargs"] = init.get("epilogue_kwargs", {}) | epilogue
    frozen = option("freeze_layers", block.get("freeze_layers", ABSENT), default=0)
    block = _activation(net, "b8.conv0", block) | ({"freeze_layers": frozen} if frozen else {})
    if block:
        init["block_kwargs"] = init.get("block_kwargs", {}) | block
    if "mapping_kwargs" in init:
        init["mapping_kwargs"] |= _label_map(net, given)
    return init


def _widths(inferred, options, resolution):
    return named_widths(inferred, *(options.get(key, ABSENT) for key in WIDTHS), resolution)


def _computing(net, whole, layer, given, defaults):
    """Return the options of precision."""
    half = _attribute(net, whole, "num_fp16_res"), given.get("num_fp16_res", ABSENT)
    clamp = _attribute(net, layer, "conv_clamp"), given.get("conv_clamp", ABSENT)
    return {
        "num_fp16_res": option("num_fp16_res", *half, default=defaults["num_fp16_res"]),
        "conv_clamp": option("conv_clamp", *clamp, default=defaults["conv_clamp"]),
    }


def _activation(net, layer, given):
    """Return the activation, if it is not the usual one."""
    name = option("activation", _attribute(net, layer, "activation"), given.get("activation", ABSENT), default="lrelu")
    return {} if name == "lrelu" else {"activation": name}


def _label_map(net, given):
    """Return the options of a mapping network that its tensors do not tell."""
    given = _nested(given, "mapping_kwargs")
    rate = _attribute(net, "mapping.fc0", "bias_gain"), given.get("lr_multiplier", ABSENT)
    rate = option("lr_multiplier", *rate, default=0.01)
    return _activation(net, "mapping.fc0", given) | ({} if rate == 0.01 else {"lr_multiplier": rate})


# What else is in the file.


def _add_facts(contents, parts):
    """Add what a snapshot says beside its networks: augmentation, options, data."""
    pipe = parts.get("augment_pipe")
    if _is_module(pipe):
        contents.augment_p = max(number(_children(pipe, "_buffers").get("p")) or 0.0, 0.0)
        contents.config["augment_kwargs"] = plain(_children(pipe, "_init_kwargs"))
    options = {str(key): plain(value) for key, value in parts.items() if key not in NETWORKS}
    contents.config |= {key: value for key, value in options.items() if value is not ABSENT and value is not None}
    progress = parts.get("progress") if isinstance(parts.get("progress"), dict) else {}
    counts = [number(place.get(key)) for place in (parts, progress) for key in ("cur_nimg", "nimg")]
    contents.nimg = max((int(n) for n in counts if n is not None and 0 <= n < 2**53), default=0)
    others = [key for key, value in parts.items() if _is_module(value) and key not in (*NETWORKS, "augment_pipe")]
    if others:
        contents.notes.append(
            f"Other networks in the file were left out: {', '.join(sorted(shown(str(key)) for key in others))[:200]}."
        )
    contents.dataset = _dataset(contents.config.get("training_set_kwargs"))


def _dataset(options):
    """Describe the training data from the options of the dataset."""
    if not isinstance(options, dict):
        return {}
    options.pop("class_name", None)
    facts = {key: options[key] for key in ("path", "use_labels", "xflip") if isinstance(options.get(key), (str, bool))}
    if isinstance(options.get("path"), str):
        facts["name"] = PurePath(options["path"].replace("\\", "/")).stem
    if type(options.get("max_size")) is int:
        facts["num_images"] = options["max_size"]
    size = options.get("resolution")
    if type(size) is int:
        facts["resolution"] = [size, size]
    return facts

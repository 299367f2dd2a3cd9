"""Pickles of NVIDIA's StyleGAN2 and StyleGAN2-ADA for TensorFlow.

A network is a list of named variables, and the arguments it was made with. Variables are brought to stylegan2-ada-pytorch's
names and axes when they are read. Shapes come from the variables, what shapes do not tell from the arguments, then from the
defaults of the functions that built the network.
"""

import re

import torch

from sgtool.snapshots.contents import Contents, Packed
from sgtool.snapshots.inert import Inert, shown
from sgtool.snapshots.infer import DEFAULT_FILTER, Unlike, generator_keywords
from sgtool.snapshots.plain import ABSENT, brief, judge_keywords, named_widths, number, option, plain
from sgtool.snapshots.spans import Refused, Stored, damaged
from sgtool.snapshots.variables import Changed, discriminator_variables, generator_variables, levels_of

OLDEST = 4  # version of the pickles that can be mapped
MOST_NETWORKS = 16
READ = {  # arguments whose meaning is in the variables or in the keywords made here
    *("latent_size", "label_size", "dlatent_size", "resolution", "num_channels", "mapping_layers", "mapping_fmaps"),
    *("label_fmaps", "mapping_nonlinearity", "mapping_lrmul", "w_avg_beta", "dlatent_avg_beta", "fmap_base", "fmap_decay"),
    *("fmap_min", "fmap_max", "num_fp16_res", "conv_clamp", "architecture", "resample_kernel", "use_noise", "nonlinearity"),
    *("mbstd_group_size", "mbstd_num_features", "freeze_layers"),
}
IDLE = {  # arguments that say how a network was used, or how fast it computes
    *("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "style_mixing_prob", "structure"),
    *("is_training", "is_validation", "is_template_graph", "return_dlatents", "randomize_noise", "dlatent_broadcast"),
    *("func_name", "mapping_func", "synthesis_func", "components", "conditioning", "fused_modconv", "force_clean_graph"),
    *("dtype", "name", "impl"),
}
OF_FORKS = {  # shapes of pictures that are not square, by shawwn, skyflynil, eps696: the variables tell
    *("resolution_w", "resolution_h", "min_w", "min_h", "res_log2", "init_res", "size", "verbose"),
}
ONLY_AS = {"normalize_latents": True, "use_wscale": True}  # the only values for which the formulas are those of StyleGAN2
OLDER = {  # by the name of the function that built it
    "G_style": "a StyleGAN1 generator",
    "G_synthesis_stylegan": "a StyleGAN1 generator",
    "D_basic": "a StyleGAN1 discriminator",
    "G_paper": "a Progressive GAN generator",
    "D_paper": "a Progressive GAN discriminator",
}


def recognise(value):
    """Whether what was unpickled is a network of these, or some of them."""
    return any(map(_is_network, _parts(value)))


def describe(value):
    """Return the `Contents` of what was unpickled: (G, D, Gs), some of these, or one network.

    Raises:
        Refused: it is damaged, lacks a variable, or holds neither a generator nor a discriminator.
    """
    nets = [_Network(part) for part in _parts(value) if _is_network(part)]
    named = _named(nets)
    if not named:
        raise Refused(f"holds {nets[0].title}, but no generator or discriminator. Give a pickle of StyleGAN2.")
    networks, notes, resolution = {}, [], None
    for name in sorted(named, key=["G", "G_ema", "D"].index):  # D last: the generator tells the picture's size
        networks[name] = _packed(named[name], resolution, notes)
        if name != "D" and not networks[name].unsupported:
            resolution = networks[name].init["img_resolution"]
    others = [net.title for net in nets if net not in named.values()]
    if others:
        notes.append(f"Other networks in the file were left out: {', '.join(others)[:200]}.")
    return Contents("tensorflow", networks, notes=list(dict.fromkeys(notes)))


def _parts(value):
    if isinstance(value, dict):
        value = list(value.values())
    return list(value)[:MOST_NETWORKS] if isinstance(value, (list, tuple)) else [value]


def _is_network(value):
    return isinstance(value, Inert) and value.kind == "tf"


class _Network:
    """A network in a pickle: `variables` {name: tensor} with those of its components, `arguments`, `function`, `version`."""

    def __init__(self, inert):
        state = inert.state
        self.version, self.name = plain(state.get("version")), _text(state.get("name"))
        self.function = _text(state.get("build_func_name")) or _text(state.get("func_name")).rpartition(".")[2]
        self.components = state.get("components")
        self.components = self.components if isinstance(self.components, dict) else {}
        self.variables, self.arguments = _variables(inert), {}
        for net in [*self.components.values(), inert]:
            given = net.state.get("static_kwargs") if _is_network(net) else None
            given = given if isinstance(given, dict) else {}
            given = {str(key): plain(value) for key, value in given.items()}
            self.arguments |= {key: "an object" if value is ABSENT else value for key, value in given.items()}
        self.title = shown(self.function or self.name or "a network without a name")

    def is_discriminator(self):
        """Whether it judges pictures."""
        return self.function.startswith("D_") or "Output/weight" in self.variables

    def is_generator(self):
        """Whether it makes pictures."""
        return "synthesis" in self.components or self.function in ("G_main", *OLDER)

    def given(self, *names):
        """Return an argument by the first of its names that is there, else `ABSENT`."""
        return next((self.arguments[name] for name in names if name in self.arguments), ABSENT)


def _text(value):
    return value if isinstance(value, str) else ""


def _variables(inert, depth=0):
    """Return the variables of a network and its components: {"synthesis/4x4/Const/const": tensor}."""
    own, components = inert.state.get("variables") or [], inert.state.get("components")
    pairs = list(own.items()) if isinstance(own, dict) else own
    found = {}
    for pair in pairs if isinstance(pairs, (list, tuple)) else [pairs]:
        name, value = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (None, None)
        if isinstance(value, (int, float)):
            value = torch.tensor(float(value))  # a variable that is one number
        if not isinstance(name, str) or not isinstance(value, (Stored, torch.Tensor)):
            raise damaged(f"{shown(str(name))} is not a variable with numbers")
        found[name] = value
    for name, part in components.items() if isinstance(components, dict) and depth < 3 else ():
        if _is_network(part):
            found |= {f"{name}/{key}": value for key, value in _variables(part, depth + 1).items()}
    return found


def _named(nets):
    """Tell which network is which: {"G" | "G_ema" | "D": _Network}. Gs, the average, comes after G."""
    named = {}
    judges = [net for net in nets if net.is_discriminator()]
    if judges:
        named["D"] = judges[-1]
    generators = [net for net in nets if net.is_generator() and not net.is_discriminator()]
    if len(generators) > 1:
        named |= {"G": generators[0], "G_ema": generators[-1]}
    elif generators:
        named["G" if generators[0].name == "G" else "G_ema"] = generators[0]
    return named


def _packed(net, resolution, notes):
    """Describe one network; a generator's `resolution` helps to describe D."""
    reason = _other_kind(net)
    if reason:
        return Packed(net.arguments, net.variables, unsupported=reason)
    try:
        init, state = _discriminator(net, resolution, notes) if net.is_discriminator() else _generator(net, notes)
    except Unlike as unlike:
        return Packed(net.arguments, net.variables, unsupported=str(unlike))
    idle, odd = _strange(net.arguments)
    if idle:
        notes.append(f"Options of another program were left out, as they change nothing here: {', '.join(idle)}.")
    return Packed(init, state, unsupported=f"a variant of StyleGAN2 (with {', '.join(odd)})" if odd else "")


def _other_kind(net):
    """Say what a network is if it cannot be mapped; "" if it may be."""
    thing = "discriminator" if net.is_discriminator() else "generator"
    if net.function in OLDER:
        return OLDER[net.function]
    if any("/StyleMod/" in name for name in net.variables):
        return "a StyleGAN1 generator"
    if not isinstance(net.version, int) or net.version < OLDEST:
        return f"a {thing} of a time before StyleGAN2 (version {brief(net.version)} of its pickles, not {OLDEST})"
    labels = net.given("label_size")
    if "mapping/LabelConcat/weight" in net.variables or (labels not in (ABSENT, 0, None) and not _has_labels(net)):
        return f"a conditional {thing} of the first StyleGAN2, whose labels enter in another way than those of StyleGAN2-ADA"
    lod = number(net.variables.get("lod", 0))
    if lod and any("RGB_lod" in name for name in net.variables):
        return f"a {thing} that had not yet grown to its full size (lod {lod:g})"
    return ""


def _has_labels(net):
    return any(name.endswith("LabelEmbed/weight") for name in net.variables)


def _strange(arguments):
    """Judge the arguments that are not known: (names of those that change nothing, texts of those that might)."""
    unknown = {key: value for key, value in arguments.items() if key not in READ | IDLE}
    unknown = {key: value for key, value in unknown.items() if value is not ONLY_AS.get(key, ABSENT)}
    idle = [key for key, value in unknown.items() if key in OF_FORKS or (key not in ONLY_AS and value in (None, False))]
    return sorted(map(shown, idle)), [f"{shown(key)}={brief(value)}" for key, value in unknown.items() if key not in idle]


# With which keywords they are built.


def _translated(net, table, notes):
    """Return {NVIDIA's PyTorch name: tensor} by a table of (that name, variable, how to change it).

    Raises:
        Refused: a variable is missing or has too few axes.
        Unlike: there are variables that the table does not know.
    """
    missing = next((variable for _, variable, _ in table if variable not in net.variables), None)
    if missing is not None:
        raise damaged(f"the variable {missing} of {net.title} is missing")
    state = {name: Changed.by(change, variable, net.variables[variable]) for name, variable, change in table}
    left = net.variables.keys() - {variable for _, variable, _ in table} - {"lod", "synthesis/lod", "mapping/lod"}
    grown = {name for name in left if re.search(r"(To|From)RGB_lod\d+/", name)}
    unused = {name for name in left - grown if re.fullmatch(r"synthesis/noise\d+", name)}
    if left - grown - unused:
        raise Unlike(f"a variant of StyleGAN2 (with the variable {shown(min(left - grown - unused))})")
    if grown:
        notes.append("RGB layers of smaller sizes, from when the network was growing, were left out.")
    return state


def _generator(net, notes):
    """Return (keywords of `build_generator`, state)."""
    levels = levels_of(net.variables, "synthesis/")
    state = _translated(net, generator_variables(net.variables, levels), notes)
    init = generator_keywords(state)
    init["mapping_kwargs"] |= _label_map(net, 0.01)
    average = net.given("w_avg_beta", "dlatent_avg_beta")
    average = 1.0 if average is None else average  # never moves, but is there
    init["mapping_kwargs"]["w_avg_beta"] = option("w_avg_beta", average, default=0.995)
    init["synthesis_kwargs"] |= _widths(net, init["synthesis_kwargs"], init["img_resolution"])
    init["synthesis_kwargs"] |= _computing(net) | _activation(net, "nonlinearity") | _filter(net)
    return init, state


def _discriminator(net, resolution, notes):
    """Return (keywords of `build_discriminator`, state)."""
    levels = levels_of(net.variables, "")
    table = discriminator_variables(net.variables, levels)
    state = _translated(net, table, notes)
    init = judge_keywords(state, resolution)
    init |= _widths(net, init, init["img_resolution"]) | _computing(net)
    init["epilogue_kwargs"] = init.get("epilogue_kwargs", {}) | _minibatch(net) | _activation(net, "nonlinearity")
    block = _activation(net, "nonlinearity") | _filter(net)
    if block:
        init["block_kwargs"] = block
    if "mapping_kwargs" in init:
        init["mapping_kwargs"] |= _label_map(net, 0.1)
    return init, state


def _label_map(net, rate):
    """Return the options of a mapping network that its variables do not tell; `rate` is the default's factor."""
    rate = option("lr_multiplier", net.given("mapping_lrmul"), default=rate)
    return {"lr_multiplier": rate} | _activation(net, "mapping_nonlinearity")


def _widths(net, inferred, resolution):
    """Return the file's own numbers for the feature maps; TensorFlow's count in half the resolution."""
    base = net.given("fmap_base")
    return named_widths(inferred, base * 2 if type(base) is int else base, net.given("fmap_max"), resolution)


def _computing(net):
    """Return the options of precision."""
    return {
        "num_fp16_res": option("num_fp16_res", net.given("num_fp16_res"), default=0),
        "conv_clamp": option("conv_clamp", net.given("conv_clamp"), default=None),
    }


def _activation(net, argument):
    """Return the activation, if it is not the usual one."""
    name = option("activation", net.given(argument), default="lrelu")
    return {} if name == "lrelu" else {"activation": name}


def _filter(net):
    """Return the resampling filter, which no variable holds, if it is not the usual one."""
    taps = net.given("resample_kernel")
    taps = [1, 1] if taps is None else taps  # None stands for a box of two pixels
    taps = option("resample_filter", taps, default=DEFAULT_FILTER)
    return {} if taps == DEFAULT_FILTER else {"resample_filter": taps}


def _minibatch(net):
    """Return the size of minibatch-std groups: by default 4 in StyleGAN2, the whole batch (None) in StyleGAN2-ADA."""
    size = net.given("mbstd_group_size")
    if size in (0, 1):
        return {}  # switched off: the variables tell
    return {"mbstd_group_size": option("mbstd_group_size", size, default=4 if net.function.startswith("D_style") else None)}

"""Model files of each program, small and honest but for what the caller puts into them."""

import torch
from archives import nested_storage, tensor
from opcodes import (
    EMPTY_DICT,
    EMPTY_TUPLE,
    NEWOBJ,
    NONE,
    TRUE,
    built,
    call,
    items,
    listed,
    mapping,
    named,
    number,
    raw,
    real,
    text,
    whole,
)

from sgtool.networks import build_generator

INIT = {"z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 8, "img_channels": 1, "channel_base": 32, "channel_max": 4}
SMALL = dict(INIT, mapping_kwargs={"num_layers": 1})
SOURCE = "import os\nos.mkdir('it-ran')\n"  # what a program that trusts the file would run


def generator(**changes):
    """A real generator of 8x8 pictures with a few hundred numbers."""
    torch.manual_seed(0)
    return build_generator(**SMALL | changes)


def value(plain):
    """Opcodes of a plain Python value."""
    match plain:
        case None:
            return NONE
        case bool():
            return TRUE if plain else b"\x89"
        case int():
            return number(plain)
        case float():
            return real(plain)
        case str():
            return text(plain)
        case bytes():
            return raw(plain)
        case dict():
            return mapping(*((value(key), value(item)) for key, item in plain.items()))
        case tuple():
            return items(*map(value, plain))
        case list():
            return listed(*map(value, plain))
    raise TypeError(f"no opcodes for {plain!r}")


def own(**changes):
    """A snapshot of sgtool, as the dict that torch.save takes."""
    network = {"init": SMALL, "state": generator().state_dict()}
    return {"format": "sgtool", "version": 1, "kind": "snapshot", "G_ema": network} | changes


def own_init(changes):
    """The same with other constructor keywords than those of its tensors."""
    return own(G_ema={"init": SMALL | changes, "state": generator().state_dict()})


def persistent(class_name, state, source=SOURCE):
    """An object of torch_utils.persistence: the text of its program and its attributes."""
    meta = mapping(type=text("class"), version=number(6), module_src=text(source), class_name=text(class_name), state=state)
    return call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def module(
    class_name, parameters=EMPTY_DICT, buffers=EMPTY_DICT, modules=EMPTY_DICT, arguments=EMPTY_TUPLE, keywords=EMPTY_DICT, **rest
):
    """A persistent torch module."""
    inner = {
        "_parameters": parameters,
        "_buffers": buffers,
        "_modules": modules,
        "_init_args": arguments,
        "_init_kwargs": keywords,
    }
    return persistent(class_name, mapping(training=b"\x89", **inner, **rest))


def parameter(data, storage=None):
    """A tensor as NVIDIA's pickles have it, its numbers in a torch.save stream inside."""
    data = data.detach().contiguous().float()
    numbers = data.numpy().tobytes()
    place = nested_storage(numbers=data.numel(), data=numbers) if storage is None else storage
    return tensor(place, 0, tuple(data.shape), data.stride())


def nvidia(changes=None, keywords=None, **extra):
    """A pickle of stylegan2-ada-pytorch.

    Args:
        changes: {name of a tensor: opcodes to stand in its place}.
        keywords: opcodes of the constructor's keywords.
        extra: opcodes of further entries, in the place of those of the same name.
    """
    state = {name: parameter(tensor) for name, tensor in generator().state_dict().items()} | (changes or {})
    tree = {}
    for name, item in state.items():
        *path, leaf = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = item
    synthesis = {key: SMALL[key] for key in ("channel_base", "channel_max")}
    plain = {key: item for key, item in SMALL.items() if key not in synthesis} | {"synthesis_kwargs": synthesis}
    keywords = value(plain) if keywords is None else keywords
    network = _module(tree, "Generator", keywords)
    return whole(
        mapping(**{"G": NONE, "D": NONE, "G_ema": network, "augment_pipe": NONE, "training_set_kwargs": EMPTY_DICT} | extra), 3
    )


CLASSES = {"synthesis": "SynthesisNetwork", "mapping": "MappingNetwork", "torgb": "ToRGBLayer", "affine": "FullyConnectedLayer"}


def _module(tree, class_name, keywords=EMPTY_DICT):
    modules = {key: _module(item, CLASSES.get(key, "SynthesisLayer")) for key, item in tree.items() if isinstance(item, dict)}
    tensors = {key: item for key, item in tree.items() if isinstance(item, bytes)}
    return module(class_name, mapping(**tensors), modules=mapping(**modules), keywords=keywords)


def dtype(code="f4", order="<", **state):
    state = {"subarray": NONE, "names": NONE, "fields": NONE, "size": number(-1), "align": number(-1), "flags": number(0)} | state
    return built(call("numpy.dtype", text(code), b"\x89", TRUE), items(number(3), text(order), *state.values()))


def array(shape, data, kind=None):
    """A numpy array."""
    empty = call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), items(number(0)), raw(b"b"))
    data = raw(data) if isinstance(data, bytes) else data[0]
    return built(empty, items(number(1), items(*map(number, shape)), dtype() if kind is None else kind, b"\x89", data))


def network(name, func, static, variables=(), components=EMPTY_DICT, source=SOURCE):
    """A dnnlib.tflib.network.Network, with variables as pairs of (name, opcodes of an array)."""
    state = mapping(
        version=number(4),
        name=text(name),
        static_kwargs=static,
        components=components,
        build_module_src=text(source),
        build_func_name=text(func),
        variables=listed(*(items(text(key), numbers) for key, numbers in variables)),
    )
    return built(named("dnnlib.tflib.network.Network") + EMPTY_TUPLE + NEWOBJ, state)


def tensorflow(static=None, variables=None, source=SOURCE):
    """A TensorFlow pickle: one generator with its components mapping and synthesis.

    Args:
        static: opcodes of its arguments.
        variables: {name: opcodes to stand in the place of that variable, or to come to it}.
        source: the text of its program.
    """
    static = value(STATIC) if static is None else static
    parts = {"": {}, "mapping": {}, "synthesis": {}}
    for name, array_of in (_variables(generator().state_dict()) | (variables or {})).items():
        part, _, rest = name.partition("/")
        parts[part if part in parts else ""][rest if part in parts else name] = array_of
    inner = {part: network(f"G_{part}", FUNCTIONS[part], static, parts[part].items(), source=source) for part in FUNCTIONS}
    return whole(network("Gs", "G_main", static, parts[""].items(), mapping(**inner), source), 3)


FUNCTIONS = {"mapping": "G_mapping", "synthesis": "G_synthesis_stylegan2"}
STATIC = {
    "latent_size": 8,
    "dlatent_size": 8,
    "resolution": 8,
    "num_channels": 1,
    "mapping_layers": 1,
    "mapping_fmaps": 8,
    "fmap_base": 16,
    "fmap_max": 4,
}


def _variables(state):
    """The variables of TensorFlow's generator, {name: opcodes}, from the tensors of ours; see golden/README.md, section 9."""
    noises, made = iter(range(9)), {"lod": numbers(torch.zeros([])), "dlatent_avg": numbers(state["mapping.w_avg"])}
    for i in range(SMALL["mapping_kwargs"]["num_layers"]):
        made |= _layer(state, f"mapping.fc{i}", f"mapping/Dense{i}")
    made["synthesis/4x4/Const/const"] = numbers(state["synthesis.b4.const"][None])
    for block, layer, name in (("4", "conv1", "Conv"), ("8", "conv0", "Conv0_up"), ("8", "conv1", "Conv1")):
        made |= _layer(state, f"synthesis.b{block}.{layer}", f"synthesis/{block}x{block}/{name}", up=layer == "conv0")
        made[f"synthesis/noise{next(noises)}"] = numbers(state[f"synthesis.b{block}.{layer}.noise_const"][None, None])
    for block in "48":
        made |= _layer(state, f"synthesis.b{block}.torgb", f"synthesis/{block}x{block}/ToRGB")
    return made


def _layer(state, ours, theirs, up=False):
    weight = state[f"{ours}.weight"]
    weight = weight.T if weight.ndim == 2 else (weight.flip((2, 3)) if up else weight).permute(2, 3, 1, 0)
    made = {"weight": weight, "bias": state[f"{ours}.bias"]}
    if f"{ours}.affine.weight" in state:
        made |= {"mod_weight": state[f"{ours}.affine.weight"].T, "mod_bias": state[f"{ours}.affine.bias"] - 1}
    if f"{ours}.noise_strength" in state:
        made["noise_strength"] = state[f"{ours}.noise_strength"]
    return {f"{theirs}/{name}": numbers(tensor) for name, tensor in made.items()}


def numbers(tensor):
    """A numpy array of the numbers of a tensor."""
    return array(tuple(tensor.shape), tensor.detach().contiguous().numpy().tobytes())

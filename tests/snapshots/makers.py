"""Writers of files in the layouts of other programs, from sgtool's networks and without these programs.

Python's own pickle writes them: for that moment the modules that those files name exist, with classes and functions that
pickle like the real ones. What a file says of a network can be changed before it is written, to make the odd cases.
"""

import contextlib
import pickle
import sys
import types

import numpy as np
import torch

SOURCE = "raise RuntimeError('source text in a file was run')"
ADA_G = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
PLAIN = (bool, int, float, str, type(None))


class EasyDict(dict):
    """dnnlib.util.EasyDict."""


class Persistent:
    """An object of a class that torch_utils.persistence decorated: pickles as a call that would run its source text."""

    def __init__(self, class_name, state):
        self.class_name, self.state = class_name, state

    def __reduce__(self):
        parts = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (parts,)


class Network:
    """dnnlib.tflib.network.Network: pickles as its attributes."""

    def __init__(self, **state):
        self.__dict__.update(state)


def _reconstruct_persistent_obj(parts):
    raise AssertionError("a file called the function that it names")


@contextlib.contextmanager
def foreign_modules():
    """Give the stand-ins the modules that their pickles name."""
    homes = {
        _reconstruct_persistent_obj: "torch_utils.persistence",
        EasyDict: "dnnlib.util",
        Network: "dnnlib.tflib.network",
    }
    packages = {name: types.ModuleType(name) for name in ("torch_utils", "dnnlib", "dnnlib.tflib", *homes.values())}
    before = {name: sys.modules.get(name) for name in packages}
    places = {thing: thing.__module__ for thing in homes}
    for thing, home in homes.items():
        thing.__module__ = home
        setattr(packages[home], thing.__name__, thing)
    sys.modules.update(packages)
    try:
        yield
    finally:
        for thing, place in places.items():
            thing.__module__ = place
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def dump(value, path, protocol=4):
    """Pickle a value with stand-ins in it to a file."""
    with foreign_modules(), open(path, "wb") as file:
        pickle.dump(value, file, protocol=protocol)


def randomised(network, seed):
    """Give parameters and buffers but filters numbers that a fresh network would not have, exact when 1 is added or taken."""
    draw = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if not name.endswith("resample_filter"):
            value.copy_((torch.randn(value.shape, generator=draw) * 2**10).round() / 2 ** (10 if value.ndim > 1 else 13))
    return network.eval().requires_grad_(False)


def assert_same(found, wanted):
    """The same tensors, and the same results of them."""
    found_state, wanted_state = found.state_dict(), wanted.state_dict()
    assert found_state.keys() == wanted_state.keys()
    for key, value in wanted_state.items():
        assert torch.equal(found_state[key], value), key
    draw = np.random.RandomState(0)
    c = torch.eye(wanted.c_dim)[torch.arange(8) % wanted.c_dim] if wanted.c_dim else None
    if hasattr(wanted, "synthesis"):
        z = torch.from_numpy(draw.randn(8, wanted.z_dim)).float()
        assert found.mapping.w_avg_beta == wanted.mapping.w_avg_beta
        for psi in (1, 0.3):
            images = [G(z, c, truncation_psi=psi, noise_mode="const") for G in (found, wanted)]
            assert torch.equal(*images)
    else:
        size = wanted.img_resolution if isinstance(wanted.img_resolution, list) else [wanted.img_resolution] * 2
        images = torch.from_numpy(draw.uniform(-1, 1, [8, wanted.img_channels, *size])).float()
        assert torch.equal(found(images, c), wanted(images, c))


# NVIDIA's PyTorch repositories.


def persistent(network, layout="ada", attributes=True, positional=False):
    """Return the stand-in for a network of sgtool's.

    Args:
        network: Generator or Discriminator, with `init_kwargs`.
        layout: "ada" or "sg3": which repository's classes note which attributes, and how arguments are spelled.
        attributes: False leaves out what modules note of themselves, so that only the arguments tell.
        positional: arguments are given by position, as far as that goes.
    """
    top = _module(network, layout, attributes)
    arguments = EasyDict(network.init_kwargs)
    if layout == "sg3" and "z_dim" in arguments:
        arguments |= {"num_fp16_res": 0, "conv_clamp": None, **arguments.pop("synthesis_kwargs", {})}
        arguments["mapping_kwargs"] = {"w_avg_beta": 0.995, **arguments.get("mapping_kwargs", {})}
    elif "z_dim" in arguments:
        arguments["synthesis_kwargs"] = {"fp16_channels_last": True, **arguments.get("synthesis_kwargs", {})}
    elif layout == "sg3":
        arguments = {"num_fp16_res": 0, "conv_clamp": None} | arguments
    first = [arguments.pop(name) for name in ADA_G if name in arguments] if positional and "z_dim" in arguments else []
    top.state |= {"_init_args": tuple(first), "_init_kwargs": dict(arguments)}
    return top


def _module(module, layout, attributes):
    kept = ("training", "_parameters", "_buffers", "_non_persistent_buffers_set", "_forward_hooks")
    state = {name: value for name, value in vars(module).items() if name in kept}
    children = {name: child and _module(child, layout, attributes) for name, child in module._modules.items()}
    state["_modules"] = dict(children)
    state["_buffers"] = dict(state["_buffers"])
    if attributes:
        state |= {name: value for name, value in vars(module).items() if isinstance(value, PLAIN) and name not in state}
        if layout == "sg3" and type(module).__name__ == "FullyConnectedLayer":
            state |= dict(zip(("out_features", "in_features"), module.weight.shape, strict=True))
    return Persistent(type(module).__name__, state)


def write_nvidia(path, networks, layout="ada", protocol=4, augment_p=None, extra=None, **options):
    """Write a snapshot of NVIDIA's PyTorch repositories.

    Args:
        path: the file.
        networks: {"G" | "D" | "G_ema": network of sgtool's, or a stand-in}.
        layout: "ada" or "sg3".
        augment_p: probability of augmentations; None = no augment_pipe.
        extra: further keys of the snapshot.
        options: of `persistent`.
    """
    kind = torch.nn.Module
    parts = {key: persistent(net, layout, **options) if isinstance(net, kind) else net for key, net in networks.items()}
    pipe = None
    if augment_p is not None:
        state = {"_parameters": {}, "_buffers": {"p": torch.tensor(float(augment_p))}, "_modules": {}, "xflip": 1.0}
        pipe = Persistent("AugmentPipe", state | {"_init_args": (), "_init_kwargs": EasyDict(xflip=1, rotate90=1)})
    data = EasyDict(class_name="training.dataset.ImageFolderDataset", path="data/cats.zip", use_labels=False, max_size=123)
    snapshot = {"training_set_kwargs": EasyDict(data, xflip=False, resolution=16), **parts, "augment_pipe": pipe}
    dump(snapshot | (extra or {}), path, protocol)


# NVIDIA's TensorFlow repositories. The rules are those of the formulas: see `sgtool.snapshots.variables`.


def tf_generator(G, name="Gs", version=4, lod_names=False, scopes=None, **arguments):
    """Return the stand-in for a generator of sgtool's; `arguments` are added to its own, or replace them."""
    state = {key: value.numpy() for key, value in G.state_dict().items()}
    blocks = [key.split(".")[1] for key in state if key.endswith(".conv1.weight")]
    scopes = scopes or [f"{block[1:]}x{block[1:]}" for block in blocks]
    mapping = _tf_mapping(state, "LabelEmbed", "Dense")
    synthesis = [(f"{scopes[0]}/Const/const", state["synthesis.b4.const"][None])]
    for k, (block, scope) in enumerate(zip(blocks, scopes, strict=True)):
        place = f"synthesis.{block}"
        names = {"conv0": f"{scope}/Conv0_up", "conv1": f"{scope}/Conv1" if k else f"{scope}/Conv", "torgb": f"{scope}/ToRGB"}
        if lod_names and f"{place}.torgb.weight" in state:
            names["torgb"] = f"ToRGB_lod{len(blocks) - 1 - k}"
        for layer, variable in names.items():
            if f"{place}.{layer}.weight" in state:
                synthesis += _tf_layer(state, f"{place}.{layer}", variable, upsamples=layer == "conv0")
                index = max(2 * k - (layer == "conv0"), 0)
                if f"{place}.{layer}.noise_const" in state:
                    synthesis.append((f"noise{index}", state[f"{place}.{layer}.noise_const"][None, None]))
        if f"{place}.skip.weight" in state:
            synthesis.append((f"{scope}/Skip/weight", _tf_kernel(state[f"{place}.skip.weight"][:, :, ::-1, ::-1])))
    static = _tf_arguments(G.init_kwargs, G.init_kwargs.get("synthesis_kwargs", {})) | arguments
    shared = {"version": version, "static_kwargs": static, "build_module_src": SOURCE}
    parts = {
        "synthesis": ("G_synthesis_stylegan2", synthesis),
        "mapping": ("G_mapping", mapping),
    }
    parts = {
        key: Network(**shared, name=f"G_{key}", components={}, build_func_name=function, variables=variables)
        for key, (function, variables) in parts.items()
    }
    own = [("lod", np.float32(0)), ("dlatent_avg", state["mapping.w_avg"])]
    return Network(**shared, name=name, components=parts, build_func_name="G_main", variables=own)


def tf_discriminator(D, lod_names=False, scopes=None, function="D_stylegan2", **arguments):
    """Return the stand-in for a discriminator of sgtool's; `arguments` are added to its own, or replace them."""
    state = {key: value.numpy() for key, value in D.state_dict().items()}
    blocks = sorted({key.split(".")[0] for key in state if key.startswith("b")}, key=lambda block: int(block[1:]))
    scopes = scopes or [f"{block[1:]}x{block[1:]}" for block in blocks]
    variables = []
    for k, (block, scope) in enumerate(zip(blocks, scopes, strict=True)):
        rgb = f"FromRGB_lod{len(blocks) - 1 - k}" if lod_names else f"{scope}/FromRGB"
        names = {"fromrgb": rgb, "conv0": f"{scope}/Conv0", "conv1": f"{scope}/Conv1_down", "conv": f"{scope}/Conv"}
        for layer, variable in (names | {"skip": f"{scope}/Skip"}).items():
            if f"{block}.{layer}.weight" in state:
                variables.append((f"{variable}/weight", _tf_kernel(state[f"{block}.{layer}.weight"])))
            if f"{block}.{layer}.bias" in state:
                variables.append((f"{variable}/bias", state[f"{block}.{layer}.bias"]))
    for layer, variable in {"b4.fc": f"{scopes[0]}/Dense0", "b4.out": "Output"}.items():
        variables += [(f"{variable}/weight", state[f"{layer}.weight"].T), (f"{variable}/bias", state[f"{layer}.bias"])]
    variables += _tf_mapping(state, "LabelEmbed", "Mapping")
    static = _tf_arguments(D.init_kwargs, D.init_kwargs)
    static |= {f"mbstd_{key[6:]}": value for key, value in D.init_kwargs.get("epilogue_kwargs", {}).items() if "group" in key}
    state = {"version": 4, "name": "D", "static_kwargs": static | arguments, "build_module_src": SOURCE, "components": {}}
    return Network(**state, build_func_name=function, variables=variables)


def _tf_arguments(init, computing):
    """Return static_kwargs: TensorFlow's names for the keywords that there are."""
    mapping, block = init.get("mapping_kwargs", {}), init.get("block_kwargs", {})
    names = {"z_dim": "latent_size", "w_dim": "dlatent_size", "c_dim": "label_size", "img_channels": "num_channels"}
    static = {names[key]: value for key, value in init.items() if key in names}
    names = {"num_layers": "mapping_layers", "activation": "mapping_nonlinearity", "lr_multiplier": "mapping_lrmul"}
    static |= {names[key]: value for key, value in mapping.items() if key in names}
    names = {"channel_max": "fmap_max", "num_fp16_res": "num_fp16_res", "conv_clamp": "conv_clamp"}
    names |= {"activation": "nonlinearity", "resample_filter": "resample_kernel", "architecture": "architecture"}
    static |= {names[key]: value for part in (computing, block) for key, value in part.items() if key in names}
    if "channel_base" in computing:
        static["fmap_base"] = computing["channel_base"] // 2
    return static | {"resolution": init["img_resolution"], "truncation_psi": 0.5, "style_mixing_prob": 0.9}


def _tf_kernel(weight):
    """[out, in, height, width] -> [height, width, in, out]."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def _tf_layer(state, layer, variable, upsamples):
    weight = state[f"{layer}.weight"]
    rows = {
        "weight": _tf_kernel(weight[:, :, ::-1, ::-1] if upsamples else weight),
        "mod_weight": state[f"{layer}.affine.weight"].T,
        "mod_bias": state[f"{layer}.affine.bias"] - np.float32(1),
        "bias": state[f"{layer}.bias"],
    }
    if f"{layer}.noise_strength" in state:
        rows["noise_strength"] = state[f"{layer}.noise_strength"]
    return [(f"{variable}/{key}", value) for key, value in rows.items()]


def _tf_mapping(state, label, dense):
    rows = []
    for key, value in state.items():
        if key.startswith("mapping.") and key != "mapping.w_avg":
            layer, part = key.split(".")[1:]
            variable = label if layer == "embed" else f"{dense}{layer[2:]}"
            rows.append((f"{variable}/{part}", value.T))
    return rows


def write_tensorflow(path, networks, protocol=4):
    """Write a pickle of NVIDIA's TensorFlow repositories: a tuple of stand-ins, or one alone."""
    dump(tuple(networks) if isinstance(networks, list) else networks, path, protocol)

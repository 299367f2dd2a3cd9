"""Models whose tensors are honest and whose description asks for the absurd."""

import io
import json

import models
import torch
from archives import safetensors
from corpus import add
from opcodes import mapping, number, text

HUGE = 10**9
ABSURD = {
    "a billion mapping layers": {"mapping_kwargs": {"num_layers": HUGE}},
    "minus a billion mapping layers": {"mapping_kwargs": {"num_layers": -HUGE}},
    "an infinite number of mapping layers": {"mapping_kwargs": {"num_layers": float("inf")}},
    "mapping layers in words": {"mapping_kwargs": {"num_layers": "os.system"}},
    "mapping layers of a billion features": {"mapping_kwargs": {"num_layers": 2, "layer_features": HUGE}},
    "mapping layers nested deeply": {"mapping_kwargs": {"num_layers": {"num_layers": {"num_layers": HUGE}}}},
    "a latent of 2**62": {"z_dim": 2**62},
    "a latent of -1": {"z_dim": -1},
    "a latent that is no number": {"z_dim": float("nan")},
    "a latent of a fraction": {"z_dim": 8.5},
    "a latent in words": {"z_dim": "8"},
    "a latent that is nothing": {"z_dim": None},
    "a billion classes": {"c_dim": HUGE},
    "a resolution of 2**40": {"img_resolution": 2**40},
    "a resolution of 2**2000": {"img_resolution": 2**2000},
    "a resolution of 0": {"img_resolution": 0},
    "a resolution of -8": {"img_resolution": -8},
    "a resolution in words": {"img_resolution": "8"},
    "a resolution of 200,000 sides": {"img_resolution": [8] * 200_000},
    "a resolution of 2**40 by 8": {"img_resolution": [2**40, 8]},
    "a billion channels of pictures": {"img_channels": HUGE},
    "2**62 channels": {"channel_base": 2**62, "channel_max": 2**62},
    "channels in words": {"channel_max": "os.system"},
    "a filter in words": {"resample_filter": "os.system"},
    "a filter of 200,000 taps": {"resample_filter": [1] * 200_000},
    "a filter that is a picture of 1,000 by 1,000": {"resample_filter": [[1] * 1000] * 1000},
    "a filter of no taps": {"resample_filter": []},
    "a filter of infinities": {"resample_filter": [float("inf")] * 4},
    "a filter of zeros": {"resample_filter": [0, 0, 0, 0]},
    "a filter of texts": {"resample_filter": ["os", "system"]},
    "an activation called os.system": {"synthesis_kwargs": {"activation": "os.system"}},
    "an activation that is a list": {"activation": ["lrelu"]},
    "an architecture called os.system": {"synthesis_kwargs": {"architecture": "os.system"}},
    "a keyword called __class__": {"__class__": "os.system"},
    "a keyword called self": {"self": 1},
    "a keyword with a terminal's command": {"\x1b[2J": 1},
    "a keyword that is a number": {1: 1},
    "keywords of layers that are a text": {"mapping_kwargs": "os.system"},
    "keywords of layers that are a list": {"synthesis_kwargs": [1, 2]},
    "a clamp in words": {"conv_clamp": "os.system"},
    "a half precision of 2**62": {"num_fp16_res": 2**62},
    "a decay in words": {"w_avg_beta": "os.system"},
}


def saved(contents):
    held = io.BytesIO()
    torch.save(contents, held)
    return held.getvalue()


def in_safetensors(changes):
    """A safetensors file of sgtool's with that description."""
    init = models.SMALL | {str(key): value for key, value in changes.items()}
    told = json.dumps({"version": 1, "networks": {"G_ema": init}, "augment_p": 0.0, "nimg": 0, "config": {}, "dataset": {}})
    return _safetensors({"__metadata__": {"format": "pt", "sgtool": told}}, "G_ema.")


def bare_safetensors():
    """A safetensors file of a generator's tensors alone."""
    return _safetensors({}, "")


def _safetensors(header, prefix):
    data = b""
    for name, tensor in models.generator().state_dict().items():
        held = tensor.contiguous().numpy().tobytes()
        header[prefix + name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(held)]}
        data += held
    return safetensors(header, data)


# What changes nothing: the tensors decide, or the number is only a limit.
WITHOUT_EFFECT = {"a filter of infinities", "a filter of zeros", "a half precision of 2**62"}
for name, changes in ABSURD.items():
    no_matter = name in WITHOUT_EFFECT
    add(f"own format: {name}", lambda changes=changes: saved(models.own_init(changes)), harmless=no_matter)
    add(f"safetensors: {name}", lambda changes=changes: in_safetensors(changes), harmless=no_matter)
    # NVIDIA's pickles are read by their tensors; what the keywords say beside that may not matter.
    keywords = models.SMALL | changes
    add(f"NVIDIA's: {name}", lambda keywords=keywords: models.nvidia(keywords=models.value(keywords)), harmless=True)


for name, own in {
    "a version of 10**4000": {"version": 10**4000},
    "a version in words": {"version": "os.system"},
    "a version that is true": {"version": True},
    "a version of the future": {"version": 2},
    "a version of zero": {"version": 0},
    "a kind that is a list": {"kind": ["snapshot"]},
    "a kind that a terminal obeys": {"kind": "\x1b[2J"},
    "a network that is a number": {"G_ema": 1},
    "a network that is a list": {"G_ema": [1]},
    "a network without a state": {"G_ema": {"init": models.SMALL}},
    "a description that is a list": {"G_ema": {"init": [1], "state": {}}},
    "a state that is a list": {"G_ema": {"init": models.SMALL, "state": [1]}},
    "a state of texts": {"G_ema": {"init": models.SMALL, "state": {"synthesis.b4.const": "os.system"}}},
    "a state with keys that are numbers": {"G_ema": {"init": models.SMALL, "state": {1: torch.zeros(1)}}},
    "a state with a tensor more": {
        "G_ema": {"init": models.SMALL, "state": models.generator().state_dict() | {"\x1b[2J": torch.zeros(1)}}
    },
    "a count of pictures in words": {"nimg": "os.system"},
    "a count of pictures that is true": {"nimg": True},
    "a probability in words": {"augment_p": "os.system"},
    "a probability of 10**400": {"augment_p": 10**400},
    "a configuration that is a list": {"config": [1]},
    "a dataset that is a text": {"dataset": "os.system"},
}.items():
    add(f"own format: {name}", lambda own=own: saved(models.own(**own)))
add("own format: a keyword of a million letters", lambda: saved(models.own_init({"a" * 1_000_000: 1})))
add("own format: a keyword of a hundred lists", lambda: saved(models.own_init({"z_dim": nested_lists(100)})))


def nested_lists(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def changed(**changes):
    """TensorFlow's arguments with other opcodes for some of them."""
    return mapping(**{key: models.value(item) for key, item in models.STATIC.items()} | changes)


for name, static in {
    "a resolution of 2**40": changed(resolution=number(2**40)),
    "a resolution of -8": changed(resolution=number(-8)),
    "a resolution in words": changed(resolution=text("os.system")),
    "a billion mapping layers": changed(mapping_layers=number(HUGE)),
    "2**62 features": changed(fmap_base=number(2**62), fmap_max=number(2**62)),
    "an activation called os.system": changed(nonlinearity=text("os.system")),
    "a filter in words": changed(resample_kernel=text("os.system")),
    "a filter of 200,000 taps": changed(resample_kernel=models.value([1] * 200_000)),
    "an argument that is not known": changed(run_this=text("os.system")),
    "a function to call": changed(func_name=text("os.system")),
    "arguments in a list": models.value([1, 2]),
    "no arguments": models.value(None),
}.items():
    add(f"TensorFlow's: {name}", lambda static=static: models.tensorflow(static), harmless=True)


def shared_numbers(share):
    """A generator whose tensors are all views of one storage, `share` of the size that they have together."""
    G = models.generator(channel_base=4096, channel_max=256)
    sizes = {name: tensor.numel() for name, tensor in G.state_dict().items()}
    data = torch.zeros(max(max(sizes.values()), int(share * sum(sizes.values()))))
    state = {name: data[: sizes[name]].view(tensor.shape) for name, tensor in G.state_dict().items()}
    return saved(models.own(G_ema={"init": dict(G.init_kwargs), "state": state}))


add("own format: tensors that share half of their numbers", lambda: shared_numbers(0.5), harmless=True)
add("own format: tensors that share all of their numbers", lambda: shared_numbers(0), harmless=True)

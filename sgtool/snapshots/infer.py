"""The keywords of a network from the names and shapes of its tensors, for files that carry no description.

Names are stylegan2-ada-pytorch's. Shapes do not tell everything; what is taken for granted is in `ASSUMED`.
"""

import math
import re

import torch

from sgtool.networks import PictureShape
from sgtool.ops import setup_filter
from sgtool.snapshots.lazy import read
from sgtool.snapshots.spans import Refused

DEFAULT_FILTER = [1, 3, 3, 1]
MOST_TAPS = 64  # of a filter, along one axis
MOST_BLOCKS = 15  # up to a picture of 65536 pixels, if the first block has 4
CHANNEL_BASES = (32768, 16384)  # of the published models; where they reproduce the widths, they are named
ASSUMED = (
    "The file does not say all: a learning rate factor of 0.01 in mapping networks, lrelu, no clamp and, in D, "
    "minibatch-std groups of 4 are assumed."
)


class Unlike(Exception):  # noqa: N818 - a finding, not an error of the program
    """A network that is not quite StyleGAN2's. The text says what it is: "a generator that starts from 4x8"."""


def generator_keywords(state):
    """Infer the keywords of `build_generator`.

    Args:
        state: {name: tensor or Stored}, names as in "synthesis.b4.const".
    Returns:
        dict in stylegan2-ada-pytorch's spelling, nested.
    Raises:
        Refused: a tensor that has to be there is not, or has another number of axes.
        Unlike: it is another kind of generator.
    """
    mapping = _mapping(state)
    widths, names = _widths(state, "synthesis.b{}.conv1.weight")
    last, taps = names[-1], _filter(state, "synthesis.")
    synthesis = _channels(widths) | {"architecture": _generator_architecture(state, names)}
    if f"{last}.conv1.noise_strength" not in state:
        synthesis["use_noise"] = False
    kernel = shape_of(state, f"{last}.conv1.weight", 4)[3]
    if kernel % 2 == 0:
        raise Unlike(f"a generator with kernels of {kernel}x{kernel}")
    if kernel != 3:
        synthesis["kernel_size"] = kernel
    if taps != DEFAULT_FILTER:
        synthesis["resample_filter"] = taps
    return {
        "z_dim": mapping["input"],
        "c_dim": mapping["labels"],
        "w_dim": mapping["output"],
        "img_resolution": _resolution(shape_of(state, "synthesis.b4.const", 3)[1:], len(widths) - 1, "generator"),
        "img_channels": shape_of(state, f"{last}.torgb.weight", 4)[0],
        "mapping_kwargs": mapping["keywords"],
        "synthesis_kwargs": synthesis,
    }


def discriminator_keywords(state, img_resolution=None):
    """Infer the keywords of `build_discriminator`.

    Args:
        state: {name: tensor or Stored}, names as in "b4.fc.weight".
        img_resolution: as the file's generator has it: the shapes of D do not tell 4x3 from 3x4. None = D is alone.
    Returns:
        dict in stylegan2-ada-pytorch's spelling.
    Raises:
        Refused: a tensor that has to be there is not, or has another number of axes.
        Unlike: it is another kind of discriminator.
    """
    inner, inputs = shape_of(state, "b4.conv.weight", 4)[:2]
    upper, names = _widths(state, "b{}.conv0.weight", first=8) if "b8.conv0.weight" in state else ([], ["b4"])
    widths, taps = [inner, *upper], _filter(state, "")
    conditional = "mapping.embed.weight" in state
    mapping = _mapping(state) if conditional else {"labels": 0}
    keywords = {
        "c_dim": mapping["labels"],
        "img_resolution": _resolution(_base(state, inner, img_resolution), len(upper), "discriminator"),
        "img_channels": shape_of(state, f"{names[-1]}.fromrgb.weight", 4)[1],
        "architecture": "skip" if "b4.fromrgb.weight" in state else "resnet" if f"{names[-1]}.skip.weight" in state else "orig",
        **_channels(widths),
    }
    if conditional:
        if mapping["input"]:
            raise Unlike("a discriminator whose label network takes more than the label")
        keywords |= {"cmap_dim": mapping["output"], "mapping_kwargs": mapping["keywords"]}
    if inputs < inner:
        raise Refused("is damaged: the last convolution of D takes too few channels. Copy or download it again.")
    if inputs - inner != 1:
        keywords["epilogue_kwargs"] = {"mbstd_num_channels": inputs - inner}
    if taps != DEFAULT_FILTER:
        keywords["block_kwargs"] = {"resample_filter": taps}
    return keywords


def shape_of(state, name, axes):
    """Return the shape of a tensor.

    Raises:
        Refused: there is none of that name, or it has another number of axes, or one of length 0.
    """
    if name not in state:
        raise Refused(f"holds a network that is not complete: {name} is missing. Copy or download it again.")
    shape = tuple(state[name].shape)
    if len(shape) != axes or 0 in shape:
        raise Refused(f"holds a network whose {name} has the shape {list(shape)}, not {axes} axes. Copy or download it again.")
    return shape


def count(state, name, first=0):
    """Count the tensors `name.format(first)`, `name.format(first + 1)`, ... until one is missing."""
    number = 0
    while name.format(first + number) in state:
        number += 1
    return number


def read_filter(source):
    """Read a resampling filter, after a look at its shape.

    Args:
        source: tensor or Stored, `[taps]` or `[height, width]`, at any scale.
    Returns:
        float64 tensor.
    Raises:
        Refused: it is too large, sums up to nothing, or is not finite.
    """
    shape = tuple(source.shape)
    if len(shape) not in (1, 2) or not all(0 < taps <= MOST_TAPS for taps in shape) or not source.dtype.is_floating_point:
        raise Refused(f"has a resampling filter of the shape {list(shape)}, which is none of StyleGAN2's. Give another file.")
    kernel = read(source).to(torch.float64)
    if not (kernel / kernel.sum()).isfinite().all():
        raise Refused("has a resampling filter that sums up to nothing. Copy or download it again.")
    return kernel


def taps_of(kernel):
    """Return the taps from which `setup_filter` makes a filter.

    Args:
        kernel: filter from `read_filter`.
    Returns:
        list of numbers, if the filter is the outer product of one row with itself (or has one axis); else list of rows.
        Whole numbers where they give the same filter.
    """
    kernel = kernel / kernel.sum()
    row = kernel.sum(dim=0) if kernel.ndim == 2 else kernel
    candidates = [_whole(row), row.tolist(), _whole(kernel)]
    return next((taps for taps in candidates if _gives(taps, kernel)), kernel.tolist())


def _gives(taps, kernel):
    """Whether `setup_filter` makes the normalized filter `kernel` of these taps (None: no)."""
    if taps is None:
        return False
    made = setup_filter(taps).to(torch.float64)
    return made.shape == kernel.shape and torch.allclose(made, kernel, rtol=0, atol=1e-6 * float(kernel.abs().max()))


def _whole(taps):
    """Scale taps so that the smallest is 1, and round them; None if that makes large numbers."""
    taps = taps / taps.abs()[taps.abs() > 1e-6 * taps.abs().max()].min()
    return taps.round().to(torch.int64).tolist() if taps.abs().max() < 1000 else None


def _filter(state, prefix):
    """Return the taps of the filter with which the network resamples, the default if `state` has none.

    Layers that do not resample have one too, without a use for it, which may be another.
    """
    layer = "conv0" if prefix else "conv1"
    name = next((name for name in state if re.fullmatch(rf"{prefix}b\d+(\.{layer}|\.skip)?\.resample_filter", name)), None)
    return DEFAULT_FILTER if name is None else taps_of(read_filter(state[name]))


def _mapping(state):
    """Describe a mapping network: widths of input, labels and output, and the keywords that follow."""
    layers = count(state, "mapping.fc{}.weight")
    shapes = [shape_of(state, f"mapping.fc{i}.weight", 2) for i in range(max(layers, 1))]
    embedded, labels = shape_of(state, "mapping.embed.weight", 2) if "mapping.embed.weight" in state else (0, 0)
    output, hidden = shapes[-1][0], {rows for rows, _ in shapes[:-1]}
    if len(hidden) > 1:
        raise Unlike(f"a network with hidden mapping layers of different widths ({', '.join(map(str, sorted(hidden)))})")
    if embedded > shapes[0][1]:
        raise Refused("is damaged: a label is wider than the mapping layer that takes it. Copy or download it again.")
    keywords = {"num_layers": layers}
    if hidden - {output}:
        keywords["layer_features"] = hidden.pop()
    if embedded not in (0, output):
        keywords["embed_features"] = embedded
    return {"input": shapes[0][1] - embedded, "labels": labels, "output": output, "keywords": keywords}


def _widths(state, name, first=4):
    """Return the feature maps of the blocks from `first` on, and the blocks' names, for the name of a weight."""
    resolutions = []
    while name.format(first << len(resolutions)) in state:
        resolutions.append(first << len(resolutions))
        if len(resolutions) > MOST_BLOCKS:
            raise Refused(f"has more than {MOST_BLOCKS} resolutions, which no picture needs. Give another file.")
    if not resolutions:
        shape_of(state, name.format(first), 4)
    widths = [shape_of(state, name.format(resolution), 4)[0] for resolution in resolutions]
    return widths, [name.format(resolution).rsplit(".", 2)[0] for resolution in resolutions]


def _generator_architecture(state, names):
    if f"{names[0]}.torgb.weight" in state:
        return "skip"
    return "resnet" if f"{names[-1]}.skip.weight" in state else "orig"


def _channels(widths):
    """Return the keywords that give blocks these feature maps, smallest block first.

    If they follow min(base // resolution, maximum), these two numbers, else the list.
    """
    maximum = max(widths)
    sizes = [(width, 4 << k) for k, width in enumerate(widths)]
    lowest = max(width * resolution for width, resolution in sizes)
    highest = min([(width + 1) * resolution - 1 for width, resolution in sizes if width < maximum], default=max(lowest, 32768))
    if lowest > highest:
        return {"channels": widths}
    base = next((base for base in CHANNEL_BASES if lowest <= base <= highest), lowest)
    return {"channel_base": base, "channel_max": maximum}


def _base(state, inner, img_resolution):
    """Return height and width of the first block of a discriminator."""
    area = shape_of(state, "b4.fc.weight", 2)[1] // inner
    if area == 0:
        raise Refused("is damaged: the last block of D has no pixels. Copy or download it again.")
    if img_resolution is not None:
        shape = PictureShape.of(img_resolution)
        if shape.base_height * shape.base_width == area:
            return shape.base_height, shape.base_width
    if math.isqrt(area) ** 2 != area:
        raise Unlike(f"a discriminator of pictures that are not square, with {area} pixels in its last block")
    return math.isqrt(area), math.isqrt(area)


def _resolution(base, doublings, kind):
    """Return the picture's size: one int if it is square, else [height, width]."""
    height, width = (side << doublings for side in base)
    shape = PictureShape.of([height, width])
    if (shape.base_height, shape.base_width) != tuple(base):
        raise Unlike(f"a {kind} that starts from {base[0]}x{base[1]}")
    return height if height == width else [height, width]

"""Tensors that stand in a file in another shape, or not at all: changed or made when they are asked for.

Like `spans.Stored` each has `shape`, `dtype` and `tensor()`.
"""

import dataclasses
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from sgtool.networks import PictureShape
from sgtool.networks.stylegan2 import MappingNetwork
from sgtool.snapshots.spans import Refused, Stored

SIDE_LIMIT = 2048  # pixels: noise for larger pictures is not made up, so that a small file cannot ask for much memory
LATENTS = 10_000  # whose mean stands in for w_avg
WORK_LIMIT = 3 * 10**10  # multiplications that this mean may take
BATCH = 2**20  # numbers in a batch of latents


def is_tensor(value):
    """Whether a value out of a file is a tensor, read or not."""
    return isinstance(value, (torch.Tensor, Stored))


def read(source):
    """Return the tensor itself of one that may still be in the file."""
    return source if isinstance(source, torch.Tensor) else source.tensor()


def without_axes(name, source, axes):
    """Drop axes of length 1 of a tensor that may still be in the file.

    Args:
        name: of the tensor, for messages.
        source: torch.Tensor or Stored.
        axes: which, counted from the front.
    Returns:
        The same kind of thing, of the same numbers.
    Raises:
        Refused: such an axis is missing or longer.
    """
    shape = tuple(source.shape)
    if any(axis >= len(shape) or shape[axis] != 1 for axis in axes):
        wanted = " and ".join(str(axis + 1) for axis in axes)
        raise Refused(f"holds a network whose {name} has the shape {list(shape)}; its axis {wanted} should have the length 1.")
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if isinstance(source, torch.Tensor):
        return source.reshape([shape[axis] for axis in kept])
    strides = None if source.strides is None else tuple(source.strides[axis] for axis in kept)
    return dataclasses.replace(source, shape=tuple(shape[axis] for axis in kept), strides=strides)


@dataclass(frozen=True)
class Drawn:
    """Unit Gaussian numbers from a fixed seed, in place of a noise map that a file does not have."""

    shape: tuple
    seed: int
    dtype: torch.dtype = torch.float32

    def tensor(self):
        """Draw them. Returns a CPU tensor."""
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True, eq=False)
class MeanLatent:
    """The mean of w over latents from a fixed seed, in place of the running mean `w_avg` that a file does not have.

    Labels, where the network takes them, are drawn evenly.
    """

    state: dict = field(repr=False)  # the mapping network's: {"fc0.weight": ...}
    keywords: dict  # of `build_generator`
    dtype: torch.dtype = torch.float32

    @property
    def shape(self):
        """(w_dim,)."""
        return (self.keywords["w_dim"],)

    @property
    def count(self):
        """How many latents: `LATENTS`, fewer for networks out of all proportion."""
        work = sum(math.prod(source.shape) for source in self.state.values())
        return max(min(LATENTS, WORK_LIMIT // max(work, 1)), 1)

    def tensor(self):
        """Compute it. Returns a CPU tensor `[w_dim]`."""
        z_dim, c_dim = self.keywords["z_dim"], self.keywords["c_dim"]
        mapping, draw = self._mapping(), torch.Generator().manual_seed(0)
        rows = max(BATCH // max(z_dim, c_dim, *(p.shape[0] for p in mapping.parameters())), 1)
        total = torch.zeros(self.shape, dtype=torch.float64)
        for start in range(0, self.count, rows):
            size = min(rows, self.count - start)
            z = torch.randn([size, z_dim], generator=draw)
            c = F.one_hot(torch.randint(c_dim, [size], generator=draw), c_dim).float() if c_dim else None
            total += mapping(z, c).sum(dim=0, dtype=torch.float64)
        return (total / self.count).to(torch.float32)

    def _mapping(self):
        widths = {name: self.keywords[name] for name in ("z_dim", "c_dim", "w_dim")}
        with torch.device("meta"):
            mapping = MappingNetwork(**widths, num_ws=None, **self.keywords["mapping_kwargs"])
        mapping = mapping.to_empty(device="cpu").requires_grad_(False)
        for name, place in mapping.state_dict().items():
            place.copy_(read(self.state[name]))
        return mapping


def complete(state, keywords, notes):
    """Add what a generator's state may lack: noise maps and the mean latent.

    Args:
        state: {NVIDIA's name: tensor or Stored} of the generator, changed in place.
        keywords: of `build_generator`.
        notes: list, to which is added what was made up.
    Raises:
        Refused: noise for a picture so large is not made up.
    """
    size = PictureShape.of(keywords["img_resolution"])
    layers = [(f"synthesis.b{level.resolution}.{conv}", level) for level in size.levels for conv in ("conv0", "conv1")]
    lacking = [(layer, level) for layer, level in layers if f"{layer}.noise_strength" in state]
    lacking = [(layer, level) for layer, level in lacking if f"{layer}.noise_const" not in state]
    if lacking and max(size.height, size.width) > SIDE_LIMIT:
        raise Refused(
            f"holds a generator of {size.width}x{size.height} pixels without its noise maps. Give a file that has them."
        )
    for seed, (layer, level) in enumerate(lacking):
        state[f"{layer}.noise_const"] = Drawn((level.height, level.width), seed)
    if lacking:
        notes.append("Noise maps are not in the file; they are drawn from a fixed seed.")
    if "mapping.w_avg" not in state:
        mapping = {name.removeprefix("mapping."): source for name, source in state.items() if name.startswith("mapping.")}
        state["mapping.w_avg"] = mean = MeanLatent(mapping, keywords)
        notes.append(f"The mean latent (w_avg) is not in the file; it is the mean over {mean.count:,} latents of a fixed seed.")

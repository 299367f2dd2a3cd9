"""A generator as a list of PyTorch operators: the common ground of the formats that run without sgtool."""

import torch
from torch import nn

from sgtool.latents.seeds import latents_of_seeds, one_hot
from sgtool.networks import set_precision


class Pictures(nn.Module):
    """z (and c), and the truncation as a number, to pictures; the noise is as stored.

    Args:
        G: a generator in eval mode. One without `w_avg` has nothing to truncate to, and gets no such input.
    """

    def __init__(self, G):
        super().__init__()
        self.G = G
        self.input_names = ["z", *(["c"] if G.c_dim else []), *(["truncation_psi"] if hasattr(G.mapping, "w_avg") else [])]

    def forward(self, *inputs):
        """z `[N, z_dim]`, c `[N, c_dim]`, truncation_psi `[]`, as `input_names` says, to `[N, C, H, W]`, nominally -1..1."""
        named = dict(zip(self.input_names, inputs, strict=True))
        ws = self.G.mapping(named["z"], named.get("c"))
        if "truncation_psi" in named:
            ws = ws - (ws - self.G.mapping.w_avg) * (1 - named["truncation_psi"])  # psi 1 leaves ws as it is, to the bit
        return self.G.synthesis(ws, noise_mode="const")

    def inputs_of_seeds(self, seeds, truncation_psi=1.0):
        """Return the inputs that show `seeds`, the classes 0, 1, 2 ... in turn."""
        G = self.G
        named = {"z": latents_of_seeds(seeds, G.z_dim), "truncation_psi": torch.tensor(float(truncation_psi))}
        if G.c_dim:
            named["c"] = one_hot([seed % G.c_dim for seed in seeds], G.c_dim)
        return tuple(named[name] for name in self.input_names)


def exported(G):
    """Write a generator down as operators of PyTorch, for any batch size, in float32.

    Args:
        G: a `Generator` on the CPU, in eval mode; its precision is set to float32.
    Returns:
        (the `Pictures` that was written down, `torch.export.ExportedProgram`).
    """
    set_precision(G, "fp32")
    pictures = Pictures(G)
    batch = torch.export.Dim("batch")
    sizes = tuple(None if name == "truncation_psi" else {0: batch} for name in pictures.input_names)
    inputs = pictures.inputs_of_seeds([0, 1])  # a batch of 1 would be taken for a constant
    with torch.no_grad():
        return pictures, torch.export.export(pictures, inputs, dynamic_shapes=(sizes,), strict=False)

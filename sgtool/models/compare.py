"""How far two versions of a model are apart: the same seeds, rendered and judged by both."""

from dataclasses import dataclass

import torch

from sgtool.errors import UserError
from sgtool.latents.seeds import latents_of_seeds, one_hot
from sgtool.networks import set_precision

ROUNDING = 1e-6  # of the largest magnitude: between two readings of the same numbers
RUNTIME = 1e-4  # of the largest magnitude, at least 1: between two programs that compute with the same numbers


@dataclass
class Difference:
    """The result of one network, before and after."""

    name: str  # "G_ema", "G" or "D"
    largest: float  # difference between any two numbers
    limit: float  # what rounding may make of it

    @property
    def is_rounding(self):
        """False too if a number is not finite."""
        return self.largest <= self.limit


def outputs(snapshot, pictures=None):
    """Compute what each network of a snapshot makes of seeds 0 to 3, in float32, the noise as stored.

    The last picture of G_ema is truncated by half, if it knows its average, so that the average is compared too.

    Args:
        snapshot: with networks on the CPU, in eval mode; their precision is set to float32.
        pictures: what D is to judge; None = the pictures of G_ema.
    Returns:
        {"G_ema": pictures, "G": pictures, "D": logits}, of the networks that are there, `[N, ...]` float32. Classes are 0, 1,
        2 ... in turn.
    Raises:
        UserError: the pictures are not finite, or D judges pictures of another size than G_ema makes.
    """
    seeds = range(_batch(snapshot.D))
    last = 0.5 if hasattr(snapshot.G_ema.mapping, "w_avg") else 1
    results = {"G_ema": _pictures("G_ema", snapshot.G_ema, seeds, last)}
    if snapshot.G is not None:
        results["G"] = _pictures("G", snapshot.G, seeds, 1)
    if snapshot.D is not None:
        results["D"] = _judged(snapshot.D, results["G_ema"] if pictures is None else pictures, seeds)
    return results


def difference(name, before, after, relative=ROUNDING, least=0.0):
    """Compare two results.

    Args:
        name: whose they are.
        before, after: tensors of one shape.
        relative: what is allowed, as a share of the largest magnitude in `before`, or of `least` if that is more.
    Returns:
        `Difference`.
    Raises:
        UserError: the shapes differ.
    """
    if before.shape != after.shape:
        raise UserError(
            f"{name} gives {list(after.shape)} numbers after the conversion, and gave {list(before.shape)} before it."
        )
    return Difference(name, float((before - after).abs().max()), relative * max(float(before.abs().max()), least))


def _batch(D):
    """How many pictures to judge at once: 4, or as many as are one group of its minibatch standard deviation."""
    size = D.b4.mbstd.group_size if D is not None and D.b4.mbstd is not None else None
    return 4 if size is None or 4 % min(size, 4) == 0 else size


def _pictures(name, G, seeds, last_psi):
    set_precision(G, "fp32")
    c = one_hot([seed % G.c_dim for seed in seeds] if G.c_dim else [None] * len(seeds), G.c_dim)
    z = latents_of_seeds(seeds, G.z_dim)
    with torch.no_grad():  # one at a time: large pictures need much memory
        psi = [1] * (len(seeds) - 1) + [last_psi]
        made = torch.cat([G(z[i, None], c[i, None], truncation_psi=psi[i], noise_mode="const") for i in range(len(seeds))])
    if not torch.isfinite(made).all():
        raise UserError(f"The pictures of {name} are not finite numbers: its training diverged. Use an earlier snapshot.")
    return made


def _judged(D, pictures, seeds):
    set_precision(D, "fp32")
    c = one_hot([seed % D.c_dim for seed in seeds] if D.c_dim else [None] * len(seeds), D.c_dim)
    try:
        with torch.no_grad():
            return D(pictures, c)
    except ValueError as error:
        raise UserError(
            f"D does not judge the pictures that G_ema makes ({error}). Convert without it: --networks G_ema."
        ) from error

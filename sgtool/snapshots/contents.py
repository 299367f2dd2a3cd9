"""What a model file holds, whatever program wrote it; and networks made from it."""

from dataclasses import dataclass, field

import torch

from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.ops import setup_filter
from sgtool.snapshots.inert import shown

UNUSED_FILTER = [1, 3, 3, 1]  # in layers that do not resample, whatever the others have
BUILDERS = {"G_ema": build_generator, "G": build_generator, "D": build_discriminator}


@dataclass
class Packed:
    """One network in a file."""

    init: dict  # keywords of `build_generator` or `build_discriminator`
    state: dict  # {NVIDIA's name: Stored or torch.Tensor}; `resample_filter` buffers may be absent: they follow from `init`
    unsupported: str = ""  # what it is, if it cannot be built: "a StyleGAN3-t (alias-free) generator"


@dataclass
class Contents:
    """A model file, described. Tensors are read when they are asked for, as long as the file is open (`opened`)."""

    format: str  # a name in `FORMATS`
    networks: dict  # {"G_ema" | "G" | "D": Packed}, those that are there
    augment_p: float = 0.0  # probability of augmentations when it was written
    nimg: int = 0  # real images shown so far, 0 if not known
    config: dict = field(default_factory=dict)  # training options, plain values
    dataset: dict = field(default_factory=dict)  # name, size, class names of the training data, plain values
    notes: list = field(default_factory=list)  # sentences on what was assumed or left out
    exact: bool = False  # sgtool's own: every tensor has to be there, in its own type


def assemble(path, name, packed, exact=False):
    """Make a network and fill it.

    It is first laid out without memory (device "meta"), so that absurd numbers in a file allocate nothing. Then each tensor
    is read into its place, so that the file's tensors are in memory one at a time.

    Args:
        path: the file, for messages.
        name: "G_ema", "G" or "D".
        packed: `Packed`.
        exact: types have to agree too; otherwise other float types are converted.
    Returns:
        The network on the CPU, in eval mode, without gradients.
    Raises:
        UserError: it is of a kind that cannot be built, or its tensors do not fit its description.
    """
    if packed.unsupported:
        raise UserError(f"{path}: its {name} is {packed.unsupported}, which this version of sgtool does not run.")
    network = laid_out(path, name, packed)
    check_state(path, name, network.state_dict(), packed.state, exact)
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for key, place in network.state_dict(keep_vars=True).items():
            place.copy_(_read(packed.state[key]) if key in packed.state else _filter_of_shape(place.shape, packed.init))
    return network.eval().requires_grad_(False)


def _read(source):
    return source if isinstance(source, torch.Tensor) else source.tensor()


def laid_out(path, name, packed):
    """Build a network without memory (device "meta"). Raises UserError if its description does not make one."""
    try:
        if _most_layers(packed.init) > len(packed.state):
            raise ValueError("more layers than tensors")
        with torch.device("meta"):
            return BUILDERS[name](**packed.init)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError, UserError) as error:
        reason = shown((str(error).splitlines() or [type(error).__name__])[0], most=200)
        raise UserError(f"{path}: {name} cannot be built from its description ({reason}). If it is newer, upgrade.") from error


def check_state(path, name, expected, state, exact):
    """Raise UserError unless `state` has the tensors that the network expects."""
    missing = sorted(key for key in expected.keys() - state.keys() if exact or not key.endswith("resample_filter"))
    unknown = sorted(state.keys() - expected.keys(), key=str)
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has an unknown {shown(str(unknown[0]))}"
        raise UserError(f"{path}: {name} does not fit its description: it {what}. Copy or download the file again.")
    for key, wanted in expected.items():
        if key not in state:
            continue
        found = state[key]
        alike = found.dtype == wanted.dtype or not exact and found.dtype.is_floating_point
        if tuple(found.shape) != tuple(wanted.shape) or not alike:
            found, wanted = (f"{list(t.shape)} {t.dtype}".replace("torch.", "") for t in (found, wanted))
            raise UserError(f"{path}: {name} does not fit its description: {key} is {found}, not {wanted}.")


def _filter_of_shape(shape, init):
    """Return the filter that constructor keywords ask for, or that of layers that do not resample, whichever has the shape."""
    parts = (init, init.get("synthesis_kwargs") or {}, init.get("block_kwargs") or {})
    asked = next((part["resample_filter"] for part in parts if "resample_filter" in part), UNUSED_FILTER)
    return next(taps for taps in map(setup_filter, (asked, UNUSED_FILTER)) if taps.shape == shape)


def _most_layers(init):
    """Return the largest `num_layers` anywhere in nested constructor keywords."""
    found = [value for key, value in init.items() if key == "num_layers" and isinstance(value, (int, float))]
    return max([*found, *(_most_layers(value) for value in init.values() if isinstance(value, dict))], default=0)

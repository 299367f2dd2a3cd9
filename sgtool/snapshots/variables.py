"""TensorFlow's variables of StyleGAN2 and what they are in stylegan2-ada-pytorch.

The formulas are the same; names, the order of axes, the direction of kernels that upsample and the bias of modulations (1 is
added to it at run time) are not.
"""

import re
from dataclasses import dataclass

from sgtool.snapshots.lazy import read
from sgtool.snapshots.spans import Refused, damaged

MOST_LEVELS = 16


@dataclass(frozen=True)
class Change:
    """How a variable becomes a parameter: axes of length 1 are dropped in front, the rest reordered, reversed, added to."""

    drop: int = 0  # axes
    order: tuple | None = None  # of the axes that are left; None = as they are
    reverse: tuple = ()  # axes of the result
    add: float = 0.0


SAME = Change()
DENSE = Change(order=(1, 0))  # [in, out] -> [out, in]
KERNEL = Change(order=(3, 2, 0, 1))  # [height, width, in, out] -> [out, in, height, width]
UPSAMPLING = Change(order=(3, 2, 0, 1), reverse=(2, 3))
MODULATION = Change(add=1.0)
CONST = Change(drop=1)  # [1, C, H, W] -> [C, H, W]
NOISE = Change(drop=2)  # [1, 1, H, W] -> [H, W]


@dataclass(frozen=True)
class Changed:
    """A variable in the shape of a parameter; its numbers are read by `tensor()`."""

    source: object  # Stored or torch.Tensor
    change: Change
    shape: tuple

    @classmethod
    def by(cls, change, name, source):
        """Make it.

        Raises:
            Refused: the variable `name` has other axes than it should have.
        """
        shape = tuple(source.shape)
        kept = shape[change.drop :]
        if shape[: change.drop] != (1,) * change.drop or (change.order and len(change.order) != len(kept)):
            raise damaged(f"the variable {name} has the shape {list(shape)}")
        return cls(source, change, tuple(kept[axis] for axis in change.order) if change.order else kept)

    @property
    def dtype(self):
        """Type of its numbers."""
        return self.source.dtype

    def tensor(self):
        """Read it. Returns a contiguous CPU tensor."""
        source = read(self.source)
        x = source.reshape(source.shape[self.change.drop :])
        x = x.permute(self.change.order) if self.change.order else x
        x = x.flip(self.change.reverse) if self.change.reverse else x
        return (x + self.change.add if self.change.add else x).contiguous()


def levels_of(variables, prefix):
    """Return the scopes of the resolutions, smallest first: ["4x4", "8x8", ...].

    Raises:
        Refused: there are none, or more than pictures have.
    """
    matches = (re.match(rf"{prefix}(\d{{1,6}}x\d{{1,6}})/", name) for name in variables)
    scopes = sorted({match[1] for match in matches if match}, key=_pixels)
    if not 0 < len(scopes) <= MOST_LEVELS or len(set(map(_pixels, scopes))) < len(scopes):
        raise Refused(f"holds a network with {len(scopes)} resolutions, which is not one of StyleGAN2.")
    return scopes


def _pixels(scope):
    width, height = scope.split("x")
    return int(width) * int(height)


def generator_variables(variables, levels):
    """List what a generator is made of.

    Args:
        variables: those that it has, by name.
        levels: from `levels_of`.
    Returns:
        list of (PyTorch's name, TensorFlow's name, `Change`).
    """
    rows = [("mapping.w_avg", "dlatent_avg", SAME), *_mapping(variables, "mapping/LabelEmbed", "mapping/Dense{}")]
    rows.append(("synthesis.b4.const", f"synthesis/{levels[0]}/Const/const", CONST))
    noisy = any(name.endswith("/noise_strength") for name in variables)
    for k, scope in enumerate(levels):
        block, place = f"synthesis.b{4 << k}", f"synthesis/{scope}"
        if k == 0:
            rows += _layer(f"{block}.conv1", f"{place}/Conv", KERNEL, noisy, 0)
        else:
            rows += _layer(f"{block}.conv0", f"{place}/Conv0_up", UPSAMPLING, noisy, 2 * k - 1)
            rows += _layer(f"{block}.conv1", f"{place}/Conv1", KERNEL, noisy, 2 * k)
        if f"{place}/Skip/weight" in variables:
            rows.append((f"{block}.skip.weight", f"{place}/Skip/weight", UPSAMPLING))
        if k == len(levels) - 1 and "synthesis/ToRGB_lod0/weight" in variables:
            rows += _modulated(f"{block}.torgb", "synthesis/ToRGB_lod0", KERNEL)
        elif k == len(levels) - 1 or f"{place}/ToRGB/weight" in variables:
            rows += _modulated(f"{block}.torgb", f"{place}/ToRGB", KERNEL)
    return rows


def discriminator_variables(variables, levels):
    """List what a discriminator is made of; arguments and result as in `generator_variables`."""
    rows = []
    for k, scope in reversed(list(enumerate(levels))):
        block, last = f"b{4 << k}", k == len(levels) - 1
        if last and "FromRGB_lod0/weight" in variables:
            rows += _plain(f"{block}.fromrgb", "FromRGB_lod0", KERNEL)
        elif last or f"{scope}/FromRGB/weight" in variables:
            rows += _plain(f"{block}.fromrgb", f"{scope}/FromRGB", KERNEL)
        if k > 0:
            rows += _plain(f"{block}.conv0", f"{scope}/Conv0", KERNEL)
            rows += _plain(f"{block}.conv1", f"{scope}/Conv1_down", KERNEL)
            if f"{scope}/Skip/weight" in variables:
                rows.append((f"{block}.skip.weight", f"{scope}/Skip/weight", KERNEL))
    rows += _mapping(variables, "LabelEmbed", "Mapping{}")
    rows += _plain("b4.conv", f"{levels[0]}/Conv", KERNEL) + _plain("b4.fc", f"{levels[0]}/Dense0", DENSE)
    return rows + _plain("b4.out", "Output", DENSE)


def _plain(layer, place, change):
    return [(f"{layer}.weight", f"{place}/weight", change), (f"{layer}.bias", f"{place}/bias", SAME)]


def _modulated(layer, place, change):
    affine = [(f"{layer}.affine.weight", f"{place}/mod_weight", DENSE), (f"{layer}.affine.bias", f"{place}/mod_bias", MODULATION)]
    return _plain(layer, place, change) + affine


def _layer(layer, place, change, noisy, index):
    rows = _modulated(layer, place, change)
    if noisy:
        rows.append((f"{layer}.noise_strength", f"{place}/noise_strength", SAME))
        rows.append((f"{layer}.noise_const", f"synthesis/noise{index}", NOISE))
    return rows


def _mapping(variables, label, dense):
    """List the layers of a mapping network: as many as there are."""
    rows = _plain("mapping.embed", label, DENSE) if f"{label}/weight" in variables else []
    count = 0
    while f"{dense.format(count)}/weight" in variables:
        rows += _plain(f"mapping.fc{count}", dense.format(count), DENSE)
        count += 1
    return rows

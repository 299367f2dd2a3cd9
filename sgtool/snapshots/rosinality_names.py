"""Names of tensors in rosinality's stylegan2-pytorch, beside those of stylegan2-ada-pytorch.

No kernel is reversed between the two, and both store the bias of a modulation with the 1 in it. What differs: the names,
axes of length 1, and the scale of the filters in the generator.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One tensor."""

    theirs: str
    ours: str
    axes: tuple = ()  # axes of length 1, in theirs only
    filter_gain: int = 0  # theirs is a filter `[taps, taps]` that sums up to this; 0 = it is no filter


def generator_rows(layers, doublings):
    """Return the `Row` of each tensor of a generator, in the order in which rosinality's has them.

    Args:
        layers: of the mapping network.
        doublings: of the resolution, from 4x4 on.
    """
    rows = []
    for i in range(layers):
        rows += [Row(f"style.{i + 1}.{kind}", f"mapping.fc{i}.{kind}") for kind in ("weight", "bias")]
    rows += [Row("input.input", "synthesis.b4.const", (0,)), *_layer("conv1", "synthesis.b4.conv1")]
    rows += _rgb("to_rgb1", "synthesis.b4")
    blocks = [f"synthesis.b{8 << k}" for k in range(doublings)]
    for k, block in enumerate(blocks):
        rows += _layer(f"convs.{2 * k}", f"{block}.conv0", filtered=True) + _layer(f"convs.{2 * k + 1}", f"{block}.conv1")
    for k, block in enumerate(blocks):
        rows += _rgb(f"to_rgbs.{k}", block, filtered=True)
    noisy = ["synthesis.b4.conv1"] + [f"{block}.{conv}" for block in blocks for conv in ("conv0", "conv1")]
    return rows + [Row(f"noises.noise_{i}", f"{layer}.noise_const", (0, 1)) for i, layer in enumerate(noisy)]


def discriminator_rows(doublings):
    """Return the `Row` of each tensor of a discriminator, in the order in which rosinality's has them.

    Args:
        doublings: of the resolution, from 4x4 on.
    """
    top = f"b{4 << doublings}"
    rows = [Row("convs.0.0.weight", f"{top}.fromrgb.weight"), Row("convs.0.1.bias", f"{top}.fromrgb.bias")]
    for k in range(1, doublings + 1):
        theirs, ours = f"convs.{k}", f"b{4 << (doublings + 1 - k)}"
        rows += [
            Row(f"{theirs}.conv1.0.weight", f"{ours}.conv0.weight"),
            Row(f"{theirs}.conv1.1.bias", f"{ours}.conv0.bias"),
            Row(f"{theirs}.conv2.0.kernel", f"{ours}.conv1.resample_filter", filter_gain=1),
            Row(f"{theirs}.conv2.1.weight", f"{ours}.conv1.weight"),
            Row(f"{theirs}.conv2.2.bias", f"{ours}.conv1.bias"),
            Row(f"{theirs}.skip.0.kernel", f"{ours}.skip.resample_filter", filter_gain=1),
            Row(f"{theirs}.skip.1.weight", f"{ours}.skip.weight"),
        ]
    rows += [Row("final_conv.0.weight", "b4.conv.weight"), Row("final_conv.1.bias", "b4.conv.bias")]
    for i, ours in enumerate(("b4.fc", "b4.out")):
        rows += [Row(f"final_linear.{i}.{kind}", f"{ours}.{kind}") for kind in ("weight", "bias")]
    return rows


def _layer(theirs, ours, filtered=False):
    """Rows of a modulated 3x3 convolution; those that upsample have a filter."""
    return [
        Row(f"{theirs}.conv.weight", f"{ours}.weight", (0,)),
        *[Row(f"{theirs}.conv.blur.kernel", f"{ours}.resample_filter", filter_gain=4)][: int(filtered)],
        *_modulation(theirs, ours),
        Row(f"{theirs}.noise.weight", f"{ours}.noise_strength", (0,)),
        Row(f"{theirs}.activate.bias", f"{ours}.bias"),
    ]


def _rgb(theirs, block, filtered=False):
    """Rows of a ToRGB; those above the first upsample the picture so far."""
    return [
        Row(f"{theirs}.bias", f"{block}.torgb.bias", (0, 2, 3)),
        *[Row(f"{theirs}.upsample.kernel", f"{block}.resample_filter", filter_gain=4)][: int(filtered)],
        Row(f"{theirs}.conv.weight", f"{block}.torgb.weight", (0,)),
        *_modulation(theirs, f"{block}.torgb"),
    ]


def _modulation(theirs, ours):
    return [Row(f"{theirs}.conv.modulation.{kind}", f"{ours}.affine.{kind}") for kind in ("weight", "bias")]

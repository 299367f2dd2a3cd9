"""The parts of Inception-v3: convolutions, and blocks in which several branches look at one input.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), figures 5 to 7 and 10, in the variant of the
graph that was published on 2015-12-05. Its averages leave the padding out of the count, and the pooling of its last block
takes the maximum, where the paper has an average.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Conv2d):
    """A convolution with a bias and relu. Batch normalization of a trained network is part of its weight and bias.

    Args:
        before, after: channels.
        kernel: its side, or (height, width).
        stride: 1 or 2.
        valid: no padding; otherwise the size of the map stays (divided by the stride).
    """

    def __init__(self, before, after, kernel=1, stride=1, valid=False):
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(before, after, sides, stride, padding=0 if valid else tuple(side // 2 for side in sides))

    def reset_parameters(self):
        """Draw weights that keep the size of what comes in, from layer to layer; no bias. He et al. (2015), section 2.2."""
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)

    def forward(self, x):
        """Return `[N, after, H, W]`, not negative."""
        return super().forward(x).relu_()


class AverageConv(Conv):
    """The mean over 3x3 pixels, those outside the map left out, then a 1x1 convolution and relu.

    Both are linear and the mean's weights add to 1, so that they are done in the other order: there are fewer channels
    after the convolution.
    """

    def forward(self, x):
        """Return `[N, after, H, W]`, not negative."""
        x = self._conv_forward(x, self.weight, self.bias)
        return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False).relu_()


class Branches(nn.Module):
    """Modules that look at one input; their maps one after the other, as channels."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        """Return `[N, C, H, W]`, C the sum of the branches' channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def block_35(before, pooled):
    """Return a block for maps of 35x35: 1x1; 5x5; two times 3x3; mean. It has 224 + `pooled` channels."""
    return Branches(
        Conv(before, 64),
        nn.Sequential(Conv(before, 48), Conv(48, 64, 5)),
        nn.Sequential(Conv(before, 64), Conv(64, 96, 3), Conv(96, 96, 3)),
        AverageConv(before, pooled),
    )


def reduction_17(before):
    """Return the block from 35x35 to 17x17, which adds 480 channels."""
    return Branches(
        Conv(before, 384, 3, stride=2, valid=True),
        nn.Sequential(Conv(before, 64), Conv(64, 96, 3), Conv(96, 96, 3, stride=2, valid=True)),
        nn.MaxPool2d(3, stride=2),
    )


def block_17(inner):
    """Return a block for maps of 17x17 with 768 channels: 1x1; 7x7 as 1x7 and 7x1; twice that; mean."""
    return Branches(
        Conv(768, 192),
        nn.Sequential(Conv(768, inner), Conv(inner, inner, (1, 7)), Conv(inner, 192, (7, 1))),
        nn.Sequential(
            Conv(768, inner),
            Conv(inner, inner, (7, 1)),
            Conv(inner, inner, (1, 7)),
            Conv(inner, inner, (7, 1)),
            Conv(inner, 192, (1, 7)),
        ),
        AverageConv(768, 192),
    )


def reduction_8():
    """Return the block from 17x17 with 768 channels to 8x8 with 1280."""
    return Branches(
        nn.Sequential(Conv(768, 192), Conv(192, 320, 3, stride=2, valid=True)),
        nn.Sequential(Conv(768, 192), Conv(192, 192, (1, 7)), Conv(192, 192, (7, 1)), Conv(192, 192, 3, stride=2, valid=True)),
        nn.MaxPool2d(3, stride=2),
    )


def block_8(before, largest):
    """Return a block for maps of 8x8, with 2048 channels: 1x1; 3x3 in two directions; the same after a 3x3; pooling.

    Args:
        before: channels of its input.
        largest: its pooling takes the maximum over 3x3 pixels, not the mean.
    """
    pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), Conv(before, 192)) if largest else AverageConv(before, 192)
    return Branches(
        Conv(before, 320),
        nn.Sequential(Conv(before, 384), _both_directions()),
        nn.Sequential(Conv(before, 448), Conv(448, 384, 3), _both_directions()),
        pooled,
    )


def _both_directions():
    return Branches(Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1)))

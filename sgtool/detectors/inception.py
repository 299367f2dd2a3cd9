"""Inception-v3 of 2015-12-05: its features are what FID and KID compare, its classes make the Inception score.

The network: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016). Its use: Heusel et al., "GANs
Trained by a Two Time-Scale Update Rule" (2017), section 4; Salimans et al., "Improved Techniques for Training GANs" (2016).
"""

import numpy as np
import torch
from torch import nn

from sgtool.detectors.inception_blocks import Conv, block_8, block_17, block_35, reduction_8, reduction_17

SIDE = 299  # pixels that the network looks at
FEATURES, CLASSES = 2048, 1008  # the classes are those of ImageNet, a background, and a few that were never used
MIDDLE = 128  # value that becomes 0; 0..255 becomes -1 .. 127/128


class InceptionV3(nn.Module):
    """Inception-v3 in the variant of the published graph, with batch normalization folded into the convolutions.

    A new one has random weights; `weights.load_inception` makes the published one.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            Conv(3, 32, 3, stride=2, valid=True),
            Conv(32, 32, 3, valid=True),
            Conv(32, 64, 3),
            nn.MaxPool2d(3, stride=2),
            Conv(64, 80),
            Conv(80, 192, 3, valid=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.blocks = nn.Sequential(
            block_35(192, pooled=32),
            block_35(256, pooled=64),
            block_35(288, pooled=64),
            reduction_17(288),
            *(block_17(inner) for inner in (128, 160, 160, 192)),
            reduction_8(),
            block_8(1280, largest=False),
            block_8(2048, largest=True),
        )
        self.output = nn.Linear(FEATURES, CLASSES)

    def forward(self, img):
        """Return the features after the last pooling.

        Args:
            img: `[N, 3, H, W]`, or `[N, 1, H, W]` (grey, taken as three equal channels), uint8 or float, 0..255.
        Returns:
            `[N, 2048]` float32, not negative.
        Raises:
            ValueError: another number of axes or channels, or no pixels.
        """
        if img.ndim != 4 or img.shape[1] not in (1, 3) or not min(img.shape[2:]):
            raise ValueError(f"img must be [N, 3, H, W] or [N, 1, H, W], not {list(img.shape)}")
        x = (resize(img.to(self.output.weight.dtype)) - MIDDLE) / MIDDLE
        x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            return self.blocks(self.stem(x)).mean(dim=(2, 3))

    def probabilities(self, features, bias=True):
        """Return the probability of each class.

        Args:
            features: `[N, 2048]`, of `forward`.
            bias: add the last layer's bias. The Inception score is computed without it, as in the program of its authors.
        Returns:
            `[N, 1008]`; each row adds to 1.
        """
        return torch.softmax(self.logits(features, bias), dim=1)

    def logits(self, features, bias=True):
        """Return what `probabilities` takes the softmax of, `[N, 1008]`."""
        return nn.functional.linear(features, self.output.weight, self.output.bias if bias else None)


def resize(img, side=SIDE):
    """Resize pictures as TensorFlow 1 does: bilinearly, pixel i of the result at i * (old size / new size) of the source.

    Rows and columns begin at the first pixel's centre, so that the result is shifted by up to half a pixel, and nothing is
    averaged where pictures become smaller. FID is defined with it.

    Args:
        img: `[N, C, H, W]` float.
        side: of the result, in pixels.
    Returns:
        `[N, C, side, side]`.
    """
    for axis in (3, 2):
        if img.shape[axis] != side:
            img = _resize_axis(img, axis, side)
    return img


def _resize_axis(img, axis, side):
    size = img.shape[axis]
    place = np.arange(side, dtype=np.float32) * np.float32(size / side)  # float32, as there
    low = np.minimum(place.astype(np.int64), size - 1)
    share = torch.from_numpy(place - low.astype(np.float32)).to(img.device, img.dtype)
    near, far = (
        img.index_select(axis, torch.from_numpy(pixels).to(img.device)) for pixels in (low, np.minimum(low + 1, size - 1))
    )
    return near + (far - near) * (share if axis == 3 else share[:, None])

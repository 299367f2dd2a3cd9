"""VGG16, and the features whose squared distance is LPIPS.

The network: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1,
configuration D, without its fully connected layers. LPIPS: Zhang et al., "The Unreasonable Effectiveness of Deep Features as
a Perceptual Metric" (2018), section 3.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # feature maps; a pooling between stages
WIDTHS = tuple(stage[-1] for stage in STAGES)  # of the five maps that are compared
SHAPES = tuple(zip(sum(STAGES, ()), (3, *sum(STAGES, ())[:-1]), strict=True))  # (to, from) of the 13 convolutions
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1; LPIPS writes the same for -1..1
SMALLEST = 16  # pixels: the last map of a picture of 16x16 is 1x1
EPSILON = 1e-10  # added to the length of a feature vector


class VGG16(nn.Module):
    """The convolutions of VGG16, with a weight for each channel of the five maps that LPIPS compares.

    A new one has random convolutions and weights of 1; `weights.load_vgg` makes the published one.
    """

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(before, after, kernel_size=3, padding=1) for after, before in SHAPES)
        for i, width in enumerate(WIDTHS):
            self.register_buffer(f"lin{i}", torch.ones(width))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def forward(self, img):
        """Return the maps after relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3.

        Args:
            img: `[N, 3, H, W]` (or `[N, 1, H, W]`, grey) float, 0..255. If its shorter side has less than 16 pixels, it is
                enlarged until it has 16, bilinearly, since a map would be empty.
        Returns:
            list of five tensors `[N, 64, H, W]`, `[N, 128, H / 2, W / 2]` ... `[N, 512, H / 16, W / 16]`, rounded down.
        Raises:
            ValueError: another number of channels.
        """
        if img.ndim != 4 or img.shape[1] not in (1, 3):
            raise ValueError(f"img must be [N, 3, H, W] or [N, 1, H, W], not {list(img.shape)}")
        x = (_large_enough(img) / 255 - self.mean) / self.deviation  # grey becomes three equal channels by broadcasting
        x = x.contiguous(memory_format=torch.channels_last)
        maps, convs = [], iter(self.convs)
        for stage in STAGES:
            if maps:
                x = F.max_pool2d(x, kernel_size=2)
            for _ in stage:
                x = next(convs)(x).relu()
            maps.append(x)
        return maps

    def features(self, img):
        """Return the features of pictures: the squared Euclidean distance of two is LPIPS (Zhang et al. 2018, equation 1).

        Each map is scaled to unit length over the channels, at each pixel; channels are multiplied by the root of their
        weight, and the map divided by the root of its number of pixels.

        Args:
            img: see `forward`.
        Returns:
            `[N, F]`.
        """
        return unit_features(self(img), [getattr(self, f"lin{i}") for i in range(len(WIDTHS))])


def unit_features(maps, weights=None):
    """Turn maps into vectors whose squared Euclidean distance is LPIPS's sum over maps, before any averaging of them.

    The distance of two lists of maps a, b: the sum over maps of the mean over pixels of |w^0.5 * (a / |a| - b / |b|)|^2, where
    |a| is the length of a pixel's vector over the channels. Zhang et al. (2018), equation 1.

    Args:
        maps: list of `[N, C, H, W]`.
        weights: list of `[C]`, not negative; None = 1.
    Returns:
        `[N, F]`, F the sum of all C * H * W.
    """
    rows = []
    for i, x in enumerate(maps):
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True) + EPSILON  # its gradient at 0 is 0, the root's is not finite
        scale = 1 / math.sqrt(x.shape[2] * x.shape[3])
        factor = scale if weights is None else weights[i].sqrt().view(1, -1, 1, 1) * scale
        rows.append((x / length * factor).flatten(start_dim=1))
    return torch.cat(rows, dim=1)


def _large_enough(img):
    """Enlarge pictures bilinearly, sides in proportion, until the shorter one has `SMALLEST` pixels."""
    height, width = img.shape[2:]
    shorter = min(height, width)
    if shorter >= SMALLEST:
        return img
    size = [max(SMALLEST, round(side * SMALLEST / shorter)) for side in (height, width)]
    return F.interpolate(img, size=size, mode="bilinear", align_corners=False)

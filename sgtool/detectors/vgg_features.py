"""The features that precision and recall compare: the second fully connected layer of VGG16."""

import torch
from torch import nn

from sgtool.detectors.inception import resize
from sgtool.detectors.reading import numbers_of
from sgtool.detectors.weights import load_vgg
from sgtool.errors import UserError
from sgtool.snapshots.tensor_files import opened_tensors

SIDE = 224  # pixels that the network looks at
POOLED = 7  # pixels, side of the last map after pooling
WIDTH = 4096  # of both layers
SHAPES = ((WIDTH, 512 * POOLED**2), (WIDTH, WIDTH))  # of weights; 512: feature maps
WANTED = "a file with all of VGG16, such as vgg16-397923af.pth"


class VGGFeatures(nn.Module):
    """VGG16 up to its second fully connected layer, relu included.

    Simonyan and Zisserman (2015), table 1, configuration D; used by Kynkaanniemi et al. (2019), section 3. Pictures are
    resized to 224 x 224 by the rule of TensorFlow 1, as for Inception-v3: see `inception.resize`.

    Args:
        convolutions: `VGG16`.
        layers: two `Linear`.
    """

    def __init__(self, convolutions, layers):
        super().__init__()
        self.convolutions, self.layers = convolutions, nn.ModuleList(layers)

    def forward(self, img):
        """Return features `[N, 4096]`, not negative, of pictures `[N, C, H, W]` float, 0..255, C 1 or 3."""
        x = nn.functional.max_pool2d(self.convolutions(resize(img, SIDE))[-1], kernel_size=2).flatten(start_dim=1)
        for layer in self.layers:
            x = layer(x).relu()
        return x


def load_vgg_features(files, device="cpu"):
    """Read VGG16 with its fully connected layers.

    The two layers are told by their shapes; the bias of X.weight is X.bias, or the next tensor of its length.

    Args:
        files: `detectors.weights.VGGFiles`.
        device: where it is to be.
    Returns:
        (`VGGFeatures` in eval mode, without gradients; a sentence on which file this is).
    Raises:
        UserError: the file is damaged or lacks the layers.
    """
    convolutions, _, notes = load_vgg(files._replace(lpips=None))
    with opened_tensors(files.network, WANTED) as tensors:
        names = list(tensors)
        found = [next((name for name in names if tuple(tensors[name].shape) == shape), None) for shape in SHAPES]
        biases = [None if name is None else _bias_after(name, names, tensors) for name in found]
        if None in found or None in biases:
            raise UserError(f"{files.network} does not hold the fully connected layers of VGG16. Give {WANTED}.")
        layers = [
            _linear(*(numbers_of(files.network, key, tensors[key], WANTED) for key in pair))
            for pair in zip(found, biases, strict=True)
        ]
    return VGGFeatures(convolutions, layers).eval().requires_grad_(False).to(device), notes[0]


def _bias_after(name, names, tensors):
    stem = name.removesuffix("weight")
    named = [stem + "bias"] if stem != name else []
    later = names[names.index(name) + 1 :]
    return next((key for key in named + later if key in tensors and tuple(tensors[key].shape) == (WIDTH,)), None)


def _linear(weight, bias):
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return layer

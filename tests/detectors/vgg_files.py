"""Files of VGG16 weights in each published layout, with random numbers, and the network as a plain Sequential."""

import torch
from torch import nn

WIDTHS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
TAPS = [3, 8, 15, 22, 29]  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 in the Sequential


def sequential(seed=0):
    """The convolutional part as torchvision lays it out: convolution, relu, ..., pooling."""
    torch.manual_seed(seed)
    layers, before = [], 3
    for width in WIDTHS:
        layers += [nn.MaxPool2d(2, 2)] if width == "M" else [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        before = before if width == "M" else width
    return nn.Sequential(*layers).requires_grad_(False)


def linear_weights(seed=0):
    """LPIPS's weights of channels: not negative, some of them 0."""
    torch.manual_seed(seed)
    return [torch.rand(n) * (torch.rand(n) > 0.3) for n in (64, 128, 256, 512, 512)]


class Program(nn.Module):
    """A module with the attributes of NVIDIA's vgg16.pt: layers.conv1 ... layers.conv13, lpips0 ... lpips4 [C, 1, 1]."""

    def __init__(self, plain, lins):
        super().__init__()
        self.layers = nn.Module()
        convs = [layer for layer in plain if isinstance(layer, nn.Conv2d)]
        for i in (0, 12, *range(1, 12)):  # conv13 stands before conv2 in the file
            self.layers.add_module(f"conv{i + 1}", convs[i])
        self.layers.add_module("fc3", nn.Linear(4, 512))
        for i, lin in enumerate(lins):
            self.register_buffer(f"lpips{i}", lin.view(-1, 1, 1))

    def forward(self, img, return_lpips: bool = False):
        x = self.layers.conv1(img - 100.0)
        return x * self.lpips0 if return_lpips else x


class Frozen(nn.Module):
    """A module whose every tensor is used, so that freezing keeps them all, as constants without names."""

    def __init__(self, plain, lins):
        super().__init__()
        self.plain = plain
        self.lins = nn.ParameterList(nn.Parameter(lin.view(1, -1, 1, 1), requires_grad=False) for lin in lins)

    def forward(self, img):
        x, i = img, 0
        for k, layer in enumerate(self.plain):
            x = layer(x)
            if k in TAPS:
                x, i = x + self.lins[i], i + 1
        return x


def write_script(path, plain, lins, kind="script"):
    """A TorchScript archive: scripted, traced, or traced and frozen."""
    if kind == "script":
        program = torch.jit.script(Program(plain, lins).eval())
    elif kind == "trace":
        program = torch.jit.trace(Program(plain, lins).eval(), torch.zeros(1, 3, 16, 16), check_trace=False)
    else:
        program = torch.jit.freeze(torch.jit.trace(Frozen(plain, lins).eval(), torch.zeros(1, 3, 16, 16), check_trace=False))
    torch.jit.save(program, path)


def torchvision_state(plain):
    """{"features.0.weight": ...}, with a small stand-in for the classifier."""
    state = {f"features.{name}": tensor.clone() for name, tensor in plain.state_dict().items()}
    return {**state, "classifier.0.weight": torch.zeros(4096, 2), "classifier.0.bias": torch.zeros(4096)}


def lpips_state(lins):
    """richzhang's vgg.pth."""
    return {f"lin{i}.model.1.weight": lin.view(1, -1, 1, 1) for i, lin in enumerate(lins)}

"""Path length with LPIPS, all in float64, against its definition written out; and against a program of the published kind."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from vgg_files import TAPS

from sgtool.detectors import load_vgg, vgg_features
from sgtool.detectors.weights import VGGFiles
from sgtool.metrics import path_length_distances
from sgtool.networks import build_generator

JIT = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's, of the program that makes the file
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPSILON = 1e-4


@pytest.fixture(scope="module")
def lpips_network(tmp_path_factory, plain, lins):
    from vgg_files import lpips_state, torchvision_state

    path = tmp_path_factory.mktemp("lpips") / "both.pth"
    torch.save({**torchvision_state(plain), **lpips_state(lins)}, path)
    network, complete, _ = load_vgg(VGGFiles(path, None))
    assert complete
    return network.double()


@pytest.fixture(scope="module")
def plain64(plain):
    import copy

    return copy.deepcopy(plain).double()


def generator(channels):
    torch.manual_seed(3)
    G = build_generator(
        z_dim=16, c_dim=0, w_dim=16, img_resolution=32, img_channels=channels, mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 256, "channel_max": 16},
    )  # fmt: skip
    return G.eval().requires_grad_(False).double()


def lpips(plain, lins, a, b):
    """Zhang et al. (2018), equation 1, of two pictures `[3, H, W]`, 0..255, in float64."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = (((img / 127.5 - 1) - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for img in (a, b))
    x, y, total = x[None], y[None], 0.0
    for k, layer in enumerate(plain):
        x, y = layer(x), layer(y)
        if k in TAPS:
            u, v = (m[0] / m[0].square().sum(dim=0).sqrt().clamp(min=1e-30) for m in (x, y))
            total += float((lins[TAPS.index(k)].double().view(-1, 1, 1) * (u - v).square()).sum(dim=0).mean())
    return total


def point(G, start, end, t, space):
    """The picture at t on the path between two z, `[C, H, W]`."""
    if space == "w":
        start, end = (G.mapping(z[None], None) for z in (start, end))
        ws = start + t * (end - start)
    else:
        a, b = start / start.norm(), end / end.norm()
        angle = torch.acos(a @ b)
        z = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
        ws = G.mapping(z[None], None)
    return G.synthesis(ws, noise_mode="const")[0]


@pytest.mark.parametrize(
    ("space", "sampling", "crop", "channels"),
    [("w", "end", False, 3), ("w", "full", True, 3), ("z", "full", True, 1), ("z", "end", True, 3)],
)
def test_distances_are_lpips_over_epsilon_squared(plain64, lins, lpips_network, space, sampling, crop, channels):
    G, z = generator(channels), torch.randn(4, 16, generator=torch.Generator().manual_seed(5)).double()
    t = torch.tensor([0.25, 0.75])
    options = {"space": space, "sampling": sampling, "crop": crop, "epsilon": EPSILON}
    found = path_length_distances(G, lpips_network.features, z, t=t, **options)
    for i in range(2):
        at = float(t[i]) if sampling == "full" else 0.0
        after = float(torch.tensor(at, dtype=torch.float32) + EPSILON)  # places are float32
        near, far = (point(G, z[i], z[2 + i], place, space) for place in (at, after))
        if crop:
            near, far = (img[:, 12:28, 8:24] for img in (near, far))
        near, far = (((img + 1) * 127.5).expand(3, -1, -1) for img in (near, far))
        assert float(found[i]) == pytest.approx(lpips(plain64, lins, near, far) / EPSILON**2, rel=1e-4)


class Published(nn.Module):
    """VGG16 as a program that resizes, and returns features or what LPIPS compares, with the attributes of NVIDIA's vgg16.pt."""

    def __init__(self, plain, lins, thin):
        super().__init__()
        parts, convs = [], iter([layer for layer in plain if isinstance(layer, nn.Conv2d)])
        for i in range(13):
            parts.append((f"conv{i + 1}", next(convs)))
        torch.manual_seed(1)
        parts += [("fc1", nn.Linear(512 * 49, thin)), ("fc2", nn.Linear(thin, thin)), ("fc3", nn.Linear(thin, 10))]
        self.layers = nn.ModuleDict(dict(parts))
        for i, lin in enumerate(lins):
            self.register_buffer(f"lpips{i}", lin.view(-1, 1, 1))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(DEVIATION).view(1, 3, 1, 1) * 255)

    def forward(self, img, resize_images: bool = True, return_lpips: bool = False):
        x = img.to(torch.float32)
        if resize_images:  # the corner of the first pixel stays where it is
            rows = (torch.arange(224) * x.shape[2] / 224 + 0.5) * 2 / x.shape[2] - 1
            columns = (torch.arange(224) * x.shape[3] / 224 + 0.5) * 2 / x.shape[3] - 1
            grid = torch.stack([columns[None, :].repeat(224, 1), rows[:, None].repeat(1, 224)], dim=2)
            x = F.grid_sample(x, grid[None].repeat(x.shape[0], 1, 1, 1), padding_mode="border", align_corners=False)
        x = (x - self.mean) / self.std
        lins = [self.lpips0, self.lpips1, self.lpips2, self.lpips3, self.lpips4]
        features, i = [torch.zeros(0)], 0
        for name, layer in self.layers.items():
            if name.startswith("fc"):
                if name == "fc1":
                    x = F.max_pool2d(x, 2).flatten(1)
                if name != "fc3":
                    x = layer(x).relu()
                continue
            x = layer(x).relu()
            if name in ("conv2", "conv4", "conv7", "conv10", "conv13"):
                unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
                features.append((unit * (lins[i] / (x.shape[2] * x.shape[3])).sqrt()).flatten(1))
                i += 1
                if name != "conv13":
                    x = F.max_pool2d(x, 2)
                elif return_lpips:
                    break
        return torch.cat(features[1:], dim=1) if return_lpips else x


class Kept(Published):
    """The same tensors; the program in the file is another, which nobody runs."""

    def forward(self, img, resize_images: bool = True):
        return img * self.lpips0


@pytest.fixture
def published(monkeypatch, tmp_path, plain, lins):
    """A program of the published kind with thin layers, and the file that torch.jit writes of its tensors and code."""
    thin = 6
    monkeypatch.setattr(vgg_features, "WIDTH", thin)
    monkeypatch.setattr(vgg_features, "SHAPES", ((thin, 512 * 49), (thin, thin)))
    module = Published(plain, lins, thin).eval().requires_grad_(False)
    torch.jit.save(torch.jit.script(Kept(plain, lins, thin)), tmp_path / "vgg16.pt")
    return module, VGGFiles(tmp_path / "vgg16.pt", None)


@JIT
def test_a_program_read_as_data_gives_the_features_and_distances_of_the_program(published):
    module, files = published
    img = torch.randint(0, 256, (2, 3, 32, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours, _ = vgg_features.load_vgg_features(files)
    network, complete, _ = load_vgg(files)
    with torch.inference_mode():
        expected = module(img[:1])
        assert expected.shape == (1, 6)
        torch.testing.assert_close(ours(img[:1].float()), expected, rtol=1e-3, atol=1e-4)
        a, b = module(img, resize_images=False, return_lpips=True)
        x, y = network.features(img.float())
    assert complete
    np.testing.assert_allclose((x - y).square().sum(), (a - b).square().sum(), rtol=1e-4)
    assert float((a - b).square().sum()) > 1e-3

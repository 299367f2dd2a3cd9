"""VGG16 and LPIPS: layer by layer against a plain Sequential, the distance against its definition."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from vgg_files import TAPS

from sgtool.detectors import VGG16, unit_features


@pytest.fixture(scope="module")
def network(plain, lins):
    network = VGG16()
    convs = [layer for layer in plain if isinstance(layer, torch.nn.Conv2d)]
    for ours, other in zip(network.convs, convs, strict=True):
        ours.load_state_dict(other.state_dict())
    for i, lin in enumerate(lins):
        getattr(network, f"lin{i}").copy_(lin)
    return network.eval().requires_grad_(False)


def prepared(img):
    """As LPIPS prepares pictures 0..255: to -1..1, minus a shift, divided by a scale."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    return (img / 127.5 - 1 - shift) / scale


def slow_lpips(plain, lins, a, b):
    """Zhang et al. (2018), equation 1, pixel by pixel, of two pictures `[3, H, W]` 0..255."""
    total, x, y = 0.0, prepared(a[None]), prepared(b[None])
    for k, layer in enumerate(plain):
        x, y = layer(x), layer(y)
        if k not in TAPS:
            continue
        p, q, weights = x[0].double().numpy(), y[0].double().numpy(), lins[TAPS.index(k)].double().numpy()
        differences = []
        for i in range(p.shape[1]):
            for j in range(p.shape[2]):
                u, v = p[:, i, j], q[:, i, j]
                u, v = u / (np.sqrt((u * u).sum()) + 1e-10), v / (np.sqrt((v * v).sum()) + 1e-10)
                differences.append((weights * (u - v) ** 2).sum())
        total += np.mean(differences)
    return total


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (37, 21)], ids=str)
def test_each_map_is_that_of_a_plain_sequential(network, plain, size):
    img = pictures(2, 3, *size)
    x, expected = prepared(img), []
    for k, layer in enumerate(plain):
        x = layer(x)
        expected += [x] if k in TAPS else []
    for ours, other in zip(network(img), expected, strict=True):
        assert ours.shape == other.shape
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)
    assert list(expected[-1].shape[2:]) == [side // 16 for side in size]


@pytest.mark.parametrize("size", [(16, 16), (40, 24)], ids=str)
def test_the_squared_distance_of_features_is_lpips(network, plain, lins, size):
    a, b = pictures(2, 3, *size), pictures(2, 3, *size, seed=1)
    distances = (network.features(a) - network.features(b)).square().sum(dim=1)
    expected = [slow_lpips(plain, lins, p, q) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-4)
    assert min(expected) > 1e-3


def test_the_batch_is_no_input(network):
    img = pictures(3, 3, 16, 16)
    alone = torch.cat([network.features(img[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network.features(img), alone, rtol=1e-4, atol=1e-6)


def test_grey_pictures_are_colour_pictures_of_three_equal_channels(network):
    grey = pictures(1, 1, 16, 16)
    torch.testing.assert_close(network.features(grey), network.features(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(("size", "enlarged"), [((8, 8), (16, 16)), ((4, 8), (16, 32)), ((12, 40), (16, 53))], ids=str)
def test_pictures_below_16_pixels_are_enlarged_in_proportion(network, size, enlarged):
    img = pictures(1, 3, *size)
    large = F.interpolate(img, size=enlarged, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network.features(img), network.features(large))


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (1, 2, 16, 16), (3, 16, 16)], ids=str)
def test_other_channels_are_refused_with_the_shape(network, shape):
    with pytest.raises(ValueError, match=r"img must be \[N, 3, H, W\]"):
        network(torch.zeros(shape))


def test_the_gradient_is_finite_for_a_picture_without_any_feature(network):
    dead = torch.zeros(1, 3, 4, 4, requires_grad=True)
    unit_features([dead.relu()]).square().sum().backward()
    assert torch.isfinite(dead.grad).all()
    black = torch.zeros(1, 3, 16, 16, requires_grad=True)
    target = network.features(pictures(1, 3, 16, 16))
    (network.features(black) - target).square().sum().backward()
    assert torch.isfinite(black.grad).all()
    assert black.grad.abs().sum() > 0


def test_the_gradient_is_that_of_the_definition():
    torch.manual_seed(0)
    maps = [torch.randn(2, 5, 3, 2, dtype=torch.float64, requires_grad=True), torch.randn(2, 4, 1, 1, dtype=torch.float64)]
    weights = [torch.rand(5, dtype=torch.float64), torch.rand(4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda x: unit_features([x, maps[1]], weights), maps[0])


def test_maps_of_unit_length_are_divided_by_the_root_of_their_pixels():
    features = unit_features([torch.full([1, 4, 2, 3], 7.0), torch.ones(1, 9, 1, 1)])
    assert features.shape == (1, 4 * 6 + 9)
    torch.testing.assert_close(features.square().sum(), torch.tensor(2.0))  # each map has a squared length of 1

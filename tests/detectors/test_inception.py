"""Inception-v3: map by map against the definition and, where it is installed, torch-fidelity; resizing pixel by pixel."""

import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from inception_files import by_definition

from sgtool.detectors import InceptionV3
from sgtool.detectors.inception import resize
from sgtool.detectors.inception_blocks import AverageConv, Branches, Conv

TOLERANCE = 1e-4  # of the largest value


def pictures(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def close(ours, other):
    assert ours.shape == other.shape
    assert other.abs().max() > 0
    assert (ours - other).abs().max() <= TOLERANCE * other.abs().max()


@pytest.fixture
def oracle(monkeypatch, inception_file):
    """torch-fidelity's module with the same weights. Its package imports torchvision; the module itself does not."""
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        pytest.skip("torch-fidelity is not installed (pip install --no-deps torch-fidelity)")
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_fidelity"]:
        monkeypatch.delitem(sys.modules, name)
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    names = ["64", "192", "768", "2048", "logits_unbiased", "logits"]
    yield module.FeatureExtractorInceptionV3("oracle", names, str(inception_file))
    for name in [name for name in sys.modules if name.startswith("torch_fidelity.")]:
        del sys.modules[name]


def test_each_map_is_that_of_the_definition(inception, inception_state):
    img = pictures(1, 3, 299, 299).float()
    x = (img - 128) / 128
    with torch.inference_mode():
        expected = by_definition(inception_state, x)
        ours = [inception.stem(x)]
        for block in inception.blocks:
            ours.append(block(ours[-1]))
        for a, b in zip(ours, expected, strict=True):
            close(a, b)
        close(inception(img), expected[-1].mean(dim=(2, 3)))
    assert list(expected[-1].shape) == [1, 2048, 8, 8]


def test_every_output_is_that_of_torch_fidelity(inception, oracle):
    img, taken = pictures(2, 3, 32, 40), {}

    def take(name):
        return lambda module, args, output: taken.update({name: output.mean(dim=(2, 3))})

    hooks = [
        inception.stem[3].register_forward_hook(take("64")),
        inception.stem[6].register_forward_hook(take("192")),
        inception.blocks[7].register_forward_hook(take("768")),
    ]
    with torch.inference_mode():
        *maps, features, unbiased, logits = oracle(img)
        close(inception(img), features)
        for name, expected in zip(("64", "192", "768"), maps, strict=True):
            close(taken[name], expected)
        close(inception.logits(features, bias=False), unbiased)
        close(inception.logits(features), logits)
    for hook in hooks:
        hook.remove()


def test_probabilities_are_the_softmax_of_the_last_layer_with_or_without_its_bias(inception):
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(0))
    logits = features.double() @ inception.output.weight.double().T
    for bias in (True, False):
        values = np.exp((logits + inception.output.bias.double() * bias).numpy())
        expected = values / values.sum(axis=1, keepdims=True)
        ours = inception.probabilities(features, bias).numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)
    assert (inception.probabilities(features) - inception.probabilities(features, bias=False)).abs().max() > 1e-4


@pytest.mark.parametrize("size", [(32, 32), (8, 5), (1, 1), (299, 40), (300, 601)], ids=str)
def test_resizing_takes_pixel_i_at_i_times_the_ratio_of_the_sizes(size):
    img = pictures(1, 2, *size).float()
    ours = resize(img)[0].numpy()
    source, (height, width) = img[0].double().numpy(), size
    for i in (0, 1, 37, 150, 297, 298):
        for j in (0, 2, 149, 298):
            y, x = i * height / 299, j * width / 299
            top, left = int(y), int(x)
            down, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = source[:, top, left] * (1 - (x - left)) + source[:, top, right] * (x - left)
            lower = source[:, down, left] * (1 - (x - left)) + source[:, down, right] * (x - left)
            np.testing.assert_allclose(ours[:, i, j], upper * (1 - (y - top)) + lower * (y - top), atol=0.02)


def test_a_picture_of_299_pixels_is_not_changed():
    img = pictures(1, 3, 299, 299).float()
    assert torch.equal(resize(img), img)


def test_grey_pictures_are_three_equal_channels_and_uint8_is_float(inception):
    grey = pictures(1, 1, 16, 16)
    with torch.inference_mode():
        features = inception(grey)
        assert torch.equal(features, inception(grey.float().repeat(1, 3, 1, 1)))
    assert features.shape == (1, 2048)
    assert features.dtype == torch.float32


def test_the_batch_is_no_input(inception):
    img = pictures(3, 3, 20, 20)
    with torch.inference_mode():
        close(inception(img), torch.cat([inception(img[i : i + 1]) for i in range(3)]))


def test_no_pictures_have_no_features(inception):
    with torch.inference_mode():
        assert inception(torch.zeros(0, 3, 8, 8)).shape == (0, 2048)


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (1, 2, 16, 16), (3, 16, 16), (1, 3, 0, 16)], ids=str)
def test_other_pictures_are_refused_with_the_shape(inception, shape):
    with pytest.raises(ValueError, match=r"img must be \[N, 3, H, W\]"):
        inception(torch.zeros(shape))


def test_a_new_network_keeps_the_size_of_what_it_sees():
    torch.manual_seed(0)
    network = InceptionV3().eval().requires_grad_(False)
    with torch.inference_mode():
        features = network(pictures(2, 3, 24, 24))
    assert 1e-3 < features.std() < 1e3
    assert len([module for module in network.modules() if isinstance(module, Conv)]) == 94


def test_the_mean_before_a_convolution_is_the_mean_after_it():
    torch.manual_seed(0)
    ours = AverageConv(5, 4)
    x = torch.randn(2, 5, 6, 7)
    inside = torch.nn.functional.avg_pool2d(torch.ones_like(x), 3, stride=1, padding=1)
    averaged = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1) / inside
    expected = torch.nn.functional.conv2d(averaged, ours.weight, ours.bias).relu()
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6)


def test_branches_are_put_one_after_the_other():
    x = torch.randn(1, 2, 3, 3)
    both = Branches(torch.nn.Identity(), torch.nn.MaxPool2d(3, stride=1, padding=1))
    assert torch.equal(both(x)[:, :2], x)
    assert both(x).shape == (1, 4, 3, 3)


def test_the_gradient_reaches_the_picture(inception):
    img = pictures(1, 3, 12, 12).float().requires_grad_()
    inception(img).square().sum().backward()
    assert torch.isfinite(img.grad).all()
    assert img.grad.abs().sum() > 0


def test_convolutions_are_never_rounded_to_tf32_and_the_setting_is_put_back(inception, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen = []
    hook = inception.blocks.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    with torch.inference_mode():
        inception(pictures(1, 3, 8, 8))
    hook.remove()
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32

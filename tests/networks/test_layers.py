"""Layers: equalized learning rate, minibatch standard deviation, labels by projection."""

import math

import pytest
import torch

from sgtool.networks.layers import (
    Conv2dLayer,
    FullyConnectedLayer,
    MinibatchStdLayer,
    SynthesisLayer,
    ToRGBLayer,
    match_label,
    normalize_second_moment,
)


@torch.no_grad()
def test_a_new_layer_keeps_unit_variance():
    torch.manual_seed(0)
    x = torch.randn(4000, 64)
    assert float(FullyConnectedLayer(64, 128)(x).var()) == pytest.approx(1, rel=0.05)
    assert float(FullyConnectedLayer(64, 128, lr_multiplier=0.01)(x).var()) == pytest.approx(1, rel=0.05)
    y = Conv2dLayer(32, 64, 3)(torch.randn(8, 32, 16, 16))[:, :, 1:-1, 1:-1]
    assert float(y.var()) == pytest.approx(1, rel=0.05)
    assert float(FullyConnectedLayer(64, 512, activation="lrelu")(x).square().mean()) == pytest.approx(1 + 0.2**2, rel=0.05)


@torch.no_grad()
def test_a_new_synthesis_layer_keeps_unit_variance_whatever_its_style():
    torch.manual_seed(0)
    layer = SynthesisLayer(32, 64, 16, 16, 16, activation="linear")
    y = layer(torch.randn(8, 32, 16, 16), torch.randn(8, 16) * 3, noise_mode="none")[:, :, 1:-1, 1:-1]
    assert float(y.var()) == pytest.approx(1, rel=0.1)


def test_the_learning_rate_multiplier_slows_the_effective_weight():
    """The same relative step of Adam moves a layer with multiplier m by m times as much."""
    x, moved = torch.randn(8, 16), {}
    for multiplier in (1.0, 0.01):
        torch.manual_seed(0)
        layer = FullyConnectedLayer(16, 16, lr_multiplier=multiplier)
        before = layer(x)
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, eps=1e-20)
        before.square().sum().backward()
        optimizer.step()
        moved[multiplier] = before.detach(), (layer(x) - before).abs().mean().detach()
    assert torch.allclose(moved[1.0][0], moved[0.01][0], atol=1e-5)
    assert float(moved[0.01][1] / moved[1.0][1]) == pytest.approx(0.01, rel=0.05)


def test_the_bias_of_a_style_starts_at_one():
    layer = ToRGBLayer(8, 3, w_dim=4)
    assert torch.equal(layer.affine(torch.zeros(1, 4)), torch.ones(1, 8))


def test_rows_are_normalized_to_a_mean_square_of_one():
    x = torch.randn(5, 7) * torch.tensor([1e-2, 1, 10, 100, 1e4])[:, None]
    assert torch.allclose(normalize_second_moment(x).square().mean(dim=1), torch.ones(5), rtol=1e-3)
    assert torch.equal(normalize_second_moment(torch.zeros(1, 7)), torch.zeros(1, 7))


def minibatch_std_by_loops(x, group_size, num_channels):
    samples, channels, height, width = x.shape
    size = samples if group_size is None else min(group_size, samples)
    groups, part = samples // size, channels // num_channels
    maps = torch.zeros(samples, num_channels, height, width)
    for i in range(samples):
        members = [k for k in range(samples) if k % groups == i % groups]
        for m in range(num_channels):
            deviations = []
            for c in range(m * part, (m + 1) * part):
                for h in range(height):
                    for w in range(width):
                        values = [float(x[k, c, h, w]) for k in members]
                        mean = sum(values) / size
                        deviations.append(math.sqrt(sum((v - mean) ** 2 for v in values) / size + 1e-8))
            maps[i, m] = sum(deviations) / len(deviations)
    return torch.cat([x, maps], dim=1)


@pytest.mark.parametrize(("samples", "group_size", "maps"), [(8, 4, 1), (6, 3, 2), (4, None, 2), (2, 4, 1), (1, 4, 1), (6, 1, 1)])
def test_minibatch_std_equals_its_definition(samples, group_size, maps):
    torch.manual_seed(0)
    x = torch.randn(samples, 4, 2, 3)
    y = MinibatchStdLayer(group_size, maps)(x)
    assert torch.allclose(y, minibatch_std_by_loops(x, group_size, maps), atol=1e-5)


def test_equal_samples_have_no_deviation():
    y = MinibatchStdLayer(4)(torch.randn(1, 4, 2, 2).repeat(4, 1, 1, 1))
    assert float(y[:, 4].max()) == pytest.approx(1e-4, rel=1e-3)  # the root of 1e-8


def test_a_batch_that_cannot_be_split_into_groups_is_refused():
    with pytest.raises(ValueError, match="a batch of 6 cannot be split into minibatch-std groups of 4"):
        MinibatchStdLayer(4)(torch.zeros(6, 4, 2, 2))


@pytest.mark.parametrize("group_size", [2, 4, None])
def test_minibatch_std_of_two_batches_at_once_is_that_of_each(group_size):
    torch.manual_seed(0)
    layer = MinibatchStdLayer(group_size, 2)
    one, two = torch.randn(2, 8, 4, 3, 3).unbind()
    torch.testing.assert_close(layer(torch.cat([one, two]), parts=2), torch.cat([layer(one), layer(two)]))
    assert not torch.allclose(layer(torch.cat([one, two])), torch.cat([layer(one), layer(two)]))


def test_a_label_is_projected_on_the_features():
    features, label = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    assert match_label(features, label).tolist() == [[3.0]]  # (1 - 3 + 8) / sqrt(4)

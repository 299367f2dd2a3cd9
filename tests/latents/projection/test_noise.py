import pytest
import torch

from sgtool.latents.projection.noise import NoiseMaps, normalize_, regularization


def slow_regularization(m):
    """The definition for one map `[H, W]`, pixel by pixel."""
    height, width = m.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    total = sum(float(m[y, x] * m[y, x - 1]) for y, x in pixels) ** 2 / len(pixels) ** 2
    total += sum(float(m[y, x] * m[y - 1, x]) for y, x in pixels) ** 2 / len(pixels) ** 2
    if min(height, width) <= 8 or height % 2 or width % 2:
        return total
    half = torch.empty(height // 2, width // 2, dtype=m.dtype)
    for y in range(height // 2):
        for x in range(width // 2):
            half[y, x] = (m[2 * y, 2 * x] + m[2 * y, 2 * x + 1] + m[2 * y + 1, 2 * x] + m[2 * y + 1, 2 * x + 1]) / 4
    return total + slow_regularization(half)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (8, 8), (16, 16), (32, 32), (16, 24), (18, 22), (4, 32), (13, 20)])
def test_regularization_is_its_definition(size):
    maps = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = [[slow_regularization(m) for m in row] for row in maps]
    torch.testing.assert_close(regularization(maps), torch.tensor(expected, dtype=torch.float64))


def test_its_gradient_is_right():
    maps = torch.randn(1, 2, 16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    assert torch.autograd.gradcheck(regularization, [maps])


def test_pictures_in_the_maps_cost_far_more_than_noise():
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    gradient = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32).clone()
    coarse = noise[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)  # like neighbours only
    for maps in (noise, gradient, coarse):
        normalize_(maps)
    assert regularization(gradient) > 30 * regularization(noise)
    assert regularization(coarse) > 30 * regularization(noise)


def test_normalized_maps_have_mean_zero_and_variance_one_each():
    maps = 5 + 3 * torch.randn(2, 3, 8, 4, generator=torch.Generator().manual_seed(4))
    normalize_(maps)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.square().mean(dim=(2, 3)), torch.ones(2, 3), atol=1e-5, rtol=0)


def test_a_map_without_contrast_becomes_zero_and_no_nan():
    maps = torch.full([1, 1, 1, 1], 7.0)
    normalize_(maps)
    assert maps.item() == 0


def test_maps_are_views_of_one_row_of_numbers(make_generator):
    maps = NoiseMaps(make_generator(16).synthesis)
    assert maps.total == 16 + 2 * 64 + 2 * 256
    flat = torch.arange(2.0 * maps.total).reshape(2, -1)
    named = maps.by_name(flat)
    assert list(named) == [f"{b}.{c}.noise_const" for b, c in
                           (("b4", "conv1"), ("b8", "conv0"), ("b8", "conv1"), ("b16", "conv0"), ("b16", "conv1"))]  # fmt: skip
    assert torch.cat([part.flatten(1) for part in named.values()], dim=1).equal(flat)
    named["b8.conv1.noise_const"].zero_()
    assert int((flat == 0).sum()) == 2 * 64 + 1  # and the first number of all


def test_the_regularization_of_all_maps_is_the_sum(make_generator):
    maps = NoiseMaps(make_generator([16, 24]).synthesis)
    flat = torch.randn(2, maps.total, generator=torch.Generator().manual_seed(5))
    each = [regularization(part)[:, 0] for part in maps.by_name(flat).values()]
    torch.testing.assert_close(maps.regularization(flat), sum(each))


def test_layers_whose_noise_changes_nothing_have_no_variables(make_generator):
    G = make_generator(8)
    G.synthesis.b8.conv0.noise_strength.data.zero_()
    assert [name for names in NoiseMaps(G.synthesis).groups.values() for name in names] == [
        "b4.conv1.noise_const", "b8.conv1.noise_const",
    ]  # fmt: skip


@pytest.mark.parametrize("synthesis", [{"noise_strength": 0.0}, {"use_noise": False}])
def test_a_network_without_noise_costs_nothing(make_generator, synthesis):
    maps = NoiseMaps(make_generator(8, **synthesis).synthesis)
    flat = torch.zeros(2, 0)
    assert (maps.total, maps.stacks(flat), maps.by_name(flat)) == (0, [], {})
    assert maps.regularization(flat).equal(torch.zeros(2))
    maps.normalize_(flat)

import math

import pytest
import torch
from torch.nn import functional as F

from sgtool import ops
from sgtool.training.augment import PIPES, AugmentOptions
from sgtool.training.draws import RandomDraws
from sgtool.training.geometry import draw_transforms
from sgtool.training.resampling import mirror, mirror_margins, resample, sample
from sgtool.training.wavelets import resampling_filter

TAPS = resampling_filter()


def by_definition(images, transforms):
    """The four steps of the definition on whole pictures: mirror padding, up-sampling, bilinear sampling, down-sampling."""
    n, channels, height, width = images.shape
    left, right, top, bottom = mirror_margins(transforms, height, width)
    large = ops.upsample2d(F.pad(images, [left, right, top, bottom], mode="reflect"), TAPS)
    u = torch.arange(2 * (width + 6), dtype=torch.float64) - width - 5.5 + 0.5  # + 0.5, and - 0.5 below: the lag of sym6
    v = torch.arange(2 * (height + 6), dtype=torch.float64) - height - 5.5 + 0.5
    x, y = (t[:, 0, None, None] * u + t[:, 1, None, None] * v[:, None] + 2 * t[:, 2, None, None] for t in transforms.unbind(1))
    x, y = x - 0.5 + 2 * left + width, y - 0.5 + 2 * top + height  # from the edge of the first sample
    grid = torch.stack([2 * x / large.shape[3] - 1, 2 * y / large.shape[2] - 1], dim=3).to(images)
    canvas = F.grid_sample(large, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return ops.downsample2d(canvas, TAPS, padding=-6, flip_filter=True)


@pytest.mark.parametrize("size", [(24, 24), (13, 30), (31, 8)])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_resampling_equals_its_definition_for_every_kind_of_transform(size, p):
    torch.manual_seed(2)
    images = torch.randn(40, 2, *size, dtype=torch.float64)
    transforms = draw_transforms(AugmentOptions(**PIPES["bg"]), RandomDraws(40, p), *size)
    torch.testing.assert_close(resample(images, transforms, TAPS), by_definition(images, transforms), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shift", [0, 3, 200, -1000])
def test_pictures_moved_far_away_equal_the_definition(shift):
    torch.manual_seed(0)
    images = torch.randn(4, 1, 10, 12, dtype=torch.float64)
    transforms = torch.eye(2, 3, dtype=torch.float64).repeat(4, 1, 1)
    transforms[:, 0, 2] = shift
    transforms[0, :, :2] = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    transforms[1, :, :2] = torch.tensor([[0.0, -1], [1, 0]])
    torch.testing.assert_close(resample(images, transforms, TAPS), by_definition(images, transforms), rtol=0, atol=1e-6)


def test_resampling_and_its_gradient_are_adjoint():
    torch.manual_seed(0)
    x, y = torch.randn(2, 8, 2, 9, 11, dtype=torch.float64)
    transforms = draw_transforms(AugmentOptions(**PIPES["bg"]), RandomDraws(8, 0.8), 9, 11)
    x.requires_grad_()
    out = resample(x, transforms, TAPS)
    (back,) = torch.autograd.grad(out, x, y)
    torch.testing.assert_close((out * y).sum(), (x * back).sum())


def test_sampling_equals_grid_sample_and_is_adjoint_to_its_gradient():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 4, 6, 2, dtype=torch.float64) * 3 - 1.5
    y = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    out = sample(x, grid)
    expected = F.grid_sample(x, grid, align_corners=False)
    assert torch.equal(out, expected)
    (back,) = torch.autograd.grad(out, x, y, create_graph=True)
    assert torch.equal(back, torch.autograd.grad(expected, x, y)[0])
    torch.testing.assert_close((out * y).sum(), (x * back).sum())
    v = torch.randn_like(x)
    assert torch.equal(torch.autograd.grad(back, y, v)[0], F.grid_sample(v, grid, align_corners=False))


def test_sampling_passes_gradcheck_and_gradgradcheck():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 3, 5, 2, dtype=torch.float64) * 3 - 1.5
    assert torch.autograd.gradcheck(lambda x: sample(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: sample(x * x, grid), x)


def test_mirror_repeats_pixels_as_reflection_padding_does():
    row = torch.arange(7.0)[None]
    assert mirror(7, 4, 6).tolist() == F.pad(row, [4, 6], mode="reflect")[0].tolist()
    assert mirror(3, 5, 5).tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]  # farther than the row is long
    assert mirror(1, 2, 1).tolist() == [0, 0, 0, 0]


def test_margins_hold_the_farthest_corner_and_no_second_mirror_image():
    def turned(degrees, dx=0.0):
        a = math.radians(degrees)
        return [[math.cos(a), -math.sin(a), dx], [math.sin(a), math.cos(a), 0]]

    def margins(*transforms):
        return mirror_margins(torch.tensor(transforms, dtype=torch.float64), 32, 32)

    assert margins(turned(0)) == [6, 6, 6, 6]
    assert margins(turned(0, 5.0)) == [1, 11, 6, 6]
    assert margins(turned(0), turned(0, 5.0)) == [6, 11, 6, 6]
    assert margins(turned(45)) == [13] * 4  # 15.5 sqrt(2) + 6 - 15.5 = 12.4
    assert margins(turned(0, 100.0)) == [0, 31, 6, 6]

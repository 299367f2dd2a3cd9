"""Distances for projection: which one is chosen, what it computes, and that it is fit to be made small."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sgtool.detectors import VGG16, unit_features
from sgtool.errors import UserError
from sgtool.latents.perceptual import choose
from sgtool.networks import build_discriminator

SMALL = {"channel_base": 256, "channel_max": 16}


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    network = VGG16().eval().requires_grad_(False)
    for i in range(5):
        getattr(network, f"lin{i}").uniform_()
    return network


@pytest.fixture(scope="module")
def weights(vgg, tmp_path_factory):
    """A file with the network and the weights of channels."""
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(vgg.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def lpips(weights):
    """LPIPS, for pictures of any channels."""
    return choose("lpips", weights=weights)


def discriminator(resolution=16, channels=3, seed=0, **keywords):
    torch.manual_seed(seed)
    keywords = {"c_dim": 0, **SMALL, **keywords}
    D = build_discriminator(img_resolution=resolution, img_channels=channels, **keywords)
    return D.eval().requires_grad_(False)


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --- which one --------------------------------------------------------------------------------------------------------------


def test_auto_takes_lpips_then_the_discriminator_then_pixels(cache, weights):
    D = discriminator()
    by_d = choose("auto", D)
    assert by_d.name == "discriminator"
    assert f"no weights of VGG16 in {cache}" in by_d.note
    by_pixels = choose()
    assert by_pixels.name == "pixels"
    assert "holds no discriminator" in by_pixels.note
    (cache / "vgg16.pth").symlink_to(weights)
    assert choose("auto", D).name == "lpips"
    assert [choose(kind, D).name for kind in ("lpips", "discriminator", "pixels")] == ["lpips", "discriminator", "pixels"]


def test_vgg_without_the_weights_of_lpips_is_not_called_lpips(tmp_path, vgg):
    path = tmp_path / "bare.pth"
    torch.save({name: tensor for name, tensor in vgg.state_dict().items() if not name.startswith("lin")}, path)
    distance = choose("lpips", weights=path)
    assert distance.name == "vgg16"
    assert "LPIPS's own weights of channels are not there" in distance.note


def test_what_is_not_there_is_an_error_that_says_what_to_do(cache, tmp_path):
    with pytest.raises(UserError) as caught:
        choose("lpips", discriminator())
    assert caught.value.message.startswith(f"--perceptual lpips: no weights of VGG16 in {cache}. Put vgg16.pt there")
    with pytest.raises(UserError, match="--perceptual discriminator: the model's file holds no discriminator"):
        choose("discriminator")
    with pytest.raises(UserError, match="is not a file. Give a file of VGG16 weights"):
        choose("auto", discriminator(), weights=tmp_path / "none.pt")
    with pytest.raises(ValueError, match="kind must be one of auto, lpips, discriminator, pixels, not 'l2'"):
        choose("l2")


def test_a_discriminator_without_blocks_lends_no_features(cache):
    D = discriminator(resolution=4)
    by_pixels = choose("auto", D)
    assert by_pixels.name == "pixels"
    assert "its discriminator is a single stage" in by_pixels.note
    with pytest.raises(UserError, match="--perceptual discriminator: its discriminator is a single stage, at 4 pixels. Give"):
        choose("discriminator", D)


def test_a_damaged_file_in_the_cache_is_an_error_and_not_passed_over(cache):
    (cache / "vgg16.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"vgg16.pt is damaged"):
        choose("auto", discriminator())


def test_pictures_of_many_channels_go_without_lpips(weights):
    assert choose("auto", discriminator(channels=5), weights, img_channels=5).name == "discriminator"
    with pytest.raises(UserError, match="LPIPS is for pictures of 1 to 4 channels, and these have 5. Choose"):
        choose("lpips", weights=weights, img_channels=5)


# --- what holds for all -----------------------------------------------------------------------------------------------------


def each(lpips, resolution, channels):
    return [lpips, choose("discriminator", discriminator(resolution, channels)), choose("pixels")]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("resolution", [8, (16, 32)], ids=str)
def test_distances_are_0_for_equal_pictures_symmetric_and_computed_one_by_one(lpips, resolution, channels):
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    a, b = pictures(3, channels, height, width), pictures(3, channels, height, width, seed=1)
    for distance in each(lpips, resolution, channels):
        features = distance.features(a)
        assert features.ndim == 2
        assert features.dtype == torch.float32
        values = distance.between(a, b)
        assert values.shape == (3,)
        assert (values > 0.01).all()
        torch.testing.assert_close(distance.between(a, a), torch.zeros(3))
        torch.testing.assert_close(distance.between(b, a), values)
        torch.testing.assert_close(distance.between(a[1:2], b[1:2]), values[1:2], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(distance.between(a, b[:1])[:1], values[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_channel_has_a_gradient_and_descent_brings_a_picture_nearer(lpips, channels):
    target = pictures(1, channels, 8, 8, seed=1)
    for distance in each(lpips, 8, channels):
        img = pictures(1, channels, 8, 8).requires_grad_(True)
        before = distance.between(img, target)
        (gradient,) = torch.autograd.grad(before.sum(), img)
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().amax(dim=(0, 2, 3)) > 0).all()
        step = 0.01 * gradient / gradient.abs().max()
        assert distance.between(img.detach() - step, target) < before


# --- LPIPS ------------------------------------------------------------------------------------------------------------------


def test_lpips_looks_at_the_values_of_a_file(lpips, vgg):
    a, b = pictures(2, 3, 20, 20), pictures(2, 3, 20, 20, seed=1)
    expected = (vgg.features((a + 1) * 127.5) - vgg.features((b + 1) * 127.5)).square().sum(dim=1)
    torch.testing.assert_close(lpips.between(a, b), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "reduced"), [((512, 64), (256, 32)), ((40, 320), (32, 256))], ids=str)
def test_lpips_looks_at_large_pictures_reduced_to_256_by_area(lpips, vgg, size, reduced):
    a = pictures(1, 3, *size)
    small = F.adaptive_avg_pool2d(a, reduced)
    torch.testing.assert_close(lpips.features(a), vgg.features((small + 1) * 127.5))


def test_alpha_lays_a_picture_over_grey_and_is_compared_itself(lpips):
    a, b = pictures(1, 4, 16, 16), pictures(1, 4, 16, 16, seed=1)
    a[:, 3] = b[:, 3] = -1  # transparent: whatever the colours are
    torch.testing.assert_close(lpips.between(a, b), torch.zeros(1))
    a[:, 3] = b[:, 3] = 1  # opaque: the distance of the colours
    torch.testing.assert_close(lpips.between(a, b), lpips.between(a[:, :3], b[:, :3]))
    b[:, 3, :8] = -1
    over_grey = lpips.between(a[:, :3], b[:, :3] * (b[:, 3:] + 1) / 2)
    alone = lpips.between(a[:, 3:].repeat(1, 3, 1, 1), b[:, 3:].repeat(1, 3, 1, 1))
    torch.testing.assert_close(lpips.between(a, b), over_grey + alone)


# --- the discriminator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_features_of_the_discriminator_are_its_maps_and_the_pixels(architecture):
    D = discriminator(16, 3, architecture=architecture)
    a, b = pictures(2, 3, 16, 16), pictures(2, 3, 16, 16, seed=1)

    def maps(img):
        (x, img), found = D.b16(None, img), []
        found.append(x)
        x, img = D.b8(x, img)
        return [*found, x]

    by_maps = (unit_features(maps(a)) - unit_features(maps(b))).square().sum(dim=1)
    expected = 0.5 * by_maps / 2 + 4 * (a - b).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(choose("discriminator", D).between(a, b), expected)


def test_the_discriminator_stays_as_it_is_and_needs_no_label():
    D = discriminator(16, 3, c_dim=4, num_fp16_res=2).train().requires_grad_(True)
    before, state = copy.deepcopy([module.__dict__.get("half_type") for module in D.modules()]), copy.deepcopy(D.state_dict())
    distance = choose("discriminator", D)
    img = pictures(1, 3, 16, 16).requires_grad_(True)
    distance.between(img, pictures(1, 3, 16, 16, seed=1)).sum().backward()
    assert before == [module.__dict__.get("half_type") for module in D.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in D.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in D.parameters())


def test_a_clamped_half_precision_discriminator_is_used_in_full_precision():
    D = discriminator(16, 3, num_fp16_res=2, conv_clamp=256)
    for block in (D.b16, D.b8):
        block.half_type = torch.bfloat16
    full = discriminator(16, 3, num_fp16_res=0, conv_clamp=256)
    img = pictures(1, 3, 16, 16)
    torch.testing.assert_close(choose("discriminator", D).features(img), choose("discriminator", full).features(img))


def test_the_distance_of_pixels_is_4_times_the_mean_squared_difference():
    a, b = pictures(2, 3, 8, 8), pictures(2, 3, 8, 8, seed=1)
    torch.testing.assert_close(choose("pixels").between(a, b), 4 * (a - b).square().mean(dim=(1, 2, 3)))

import json

import numpy as np
import pytest
import torch

from sgtool.training.augment import PIPES, TRANSFORMS, AugmentOptions, AugmentPipe
from sgtool.training.draws import RandomDraws
from sgtool.training.geometry import draw_transforms
from sgtool.training.wavelets import SYM2, SYM6, filter_bank, resampling_filter

COLOUR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
TOLERANCE = dict.fromkeys((*COLOUR, "noise", "cutout"), 5e-5)  # the others, which resample or filter: 5e-4


@pytest.fixture
def reference(golden):
    with np.load(golden / "augment.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pictures(n=4, channels=3, height=32, width=32, dtype=torch.float32):
    """Smooth random pictures in about [-1, 1]."""
    noise = torch.randn(n, channels, height + 6, width + 6, dtype=dtype)
    return torch.nn.functional.avg_pool2d(noise, 7, stride=1) * 4


# ---- equal to the published numbers


def test_every_transform_equals_the_reference_numbers(reference):
    inputs = {name: torch.from_numpy(reference[name]) for name in ("grey", "wide")}
    inputs["images"] = torch.from_numpy(reference["images_u8"]).float() / 127.5 - 1
    cases = [case for case in json.loads(str(reference["meta"]))["cases"] if case["set"] != "bgc_gradient"]
    assert len(cases) == 96
    for case in cases:
        x = inputs[case.get("input", "images")]
        pipe = AugmentPipe(**case["enabled"])
        noise = torch.from_numpy(reference["noise_unit"]) if pipe.options.noise else None
        out = pipe(x, 0.3, debug_percentile=case["percentile"], debug_noise=noise)[case["kept"]]
        error = np.abs(out.numpy() - reference[f"{case['id']}.out"]).max()
        assert error < TOLERANCE.get(case["set"], 5e-4), case


def test_gradient_equals_the_reference_numbers(reference):
    (case,) = (case for case in json.loads(str(reference["meta"]))["cases"] if case["set"] == "bgc_gradient")
    x = (torch.from_numpy(reference["images_u8"][:1]).float() / 127.5 - 1).requires_grad_()
    out = AugmentPipe(**case["enabled"])(x, 1, debug_percentile=case["percentile"])
    (dx,) = torch.autograd.grad(out, x, torch.from_numpy(reference[f"{case['id']}.dy"]))
    np.testing.assert_allclose(dx.numpy(), reference[f"{case['id']}.dx"], atol=5e-4)


def test_filters_equal_the_reference_numbers(reference):
    np.testing.assert_allclose(SYM2, reference["sym2"], atol=1e-12)
    np.testing.assert_allclose(SYM6, reference["sym6"], atol=1e-15)
    np.testing.assert_allclose(resampling_filter().numpy(), reference["Hz_geom"], atol=1e-7)
    np.testing.assert_allclose(filter_bank().numpy(), reference["Hz_fbank"], atol=1e-7)


def test_filter_bank_sums_to_a_single_one():
    expected = torch.zeros(43)
    expected[21] = 1
    torch.testing.assert_close(filter_bank().sum(0), expected, rtol=0, atol=1e-7)


# ---- conventions


def test_xflip_mirrors_left_and_right():
    x = pictures()
    out = AugmentPipe(xflip=1)(x, 1, debug_percentile=0.9)
    assert (out - x.flip(3)).abs().mean() < 0.05 * (out - x.flip(2)).abs().mean()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotate90_turns_counterclockwise(quarters):
    x = pictures()
    out = AugmentPipe(rotate90=1)(x, 1, debug_percentile=quarters / 4 + 0.1)
    errors = [(out - x.rot90(k, (2, 3))).abs().mean() for k in range(4)]
    assert errors[quarters] < 0.1 * min(errors[:quarters] + errors[quarters + 1 :])


def test_xint_shifts_right_and_down_by_whole_pixels_exactly():
    x = pictures(height=40, width=24)
    out = AugmentPipe(xint=1)(x, 1, debug_percentile=0.9)  # 0.1 of the size: 2.4 and 4 pixels
    torch.testing.assert_close(out[:, :, 4:, 2:], x[:, :, :-4, :-2], rtol=0, atol=2e-6)
    torch.testing.assert_close(out[:, :, :4, 2:], x[:, :, 1:5, :-2].flip(2), rtol=0, atol=2e-6)  # what comes in is mirrored


def test_scale_magnifies_above_the_median():
    x = torch.zeros(1, 1, 32, 32)
    x[:, :, 12:20, 12:20] = 1
    larger, smaller = (AugmentPipe(scale=1)(x, 1, debug_percentile=q).sum() for q in (0.9, 0.1))
    assert larger > 1.1 * x.sum() > 1.1 * 1.1 * smaller


def test_two_opposite_rotations_give_the_middle_of_the_picture_back():
    x, pipe = pictures(height=48, width=48), AugmentPipe(rotate=1)
    back = pipe(pipe(x, 1, debug_percentile=0.6), 1, debug_percentile=0.4)
    middle = (slice(None), slice(None), slice(12, 36), slice(12, 36))
    assert (back - x)[middle].abs().mean() < 0.15 * x[middle].abs().mean()
    turned_on = pipe(pipe(x, 1, debug_percentile=0.6), 1, debug_percentile=0.6)
    assert (turned_on - x)[middle].abs().mean() > 0.5 * x[middle].abs().mean()


def test_brightness_contrast_lumaflip_and_saturation_do_what_they_say():
    x = pictures()
    grey = x.mean(1, keepdim=True)
    up = torch.erfinv(torch.tensor(0.8)).item()

    def apply(name):
        return AugmentPipe(**{name: 1})(x, 1, debug_percentile=0.9)

    torch.testing.assert_close(apply("brightness"), x + 0.2 * up)
    torch.testing.assert_close(apply("contrast"), x * 2 ** (0.5 * up))
    torch.testing.assert_close(apply("lumaflip"), x - 2 * grey)
    torch.testing.assert_close(apply("saturation"), grey + (x - grey) * 2**up)


def test_hue_by_a_third_of_a_turn_moves_red_to_green():
    x = pictures()
    out = AugmentPipe(hue=1, hue_max=2 / 3)(x, 1, debug_percentile=1 - 1e-6)  # almost 2/3 of half a turn
    torch.testing.assert_close(out, x[:, [2, 0, 1]], rtol=0, atol=1e-4)


def test_grey_pictures_ignore_hue_and_saturation():
    x = pictures(channels=1)
    torch.testing.assert_close(AugmentPipe(hue=1, saturation=1)(x, 1, debug_percentile=0.9), x)
    torch.testing.assert_close(AugmentPipe(lumaflip=1)(x, 1, debug_percentile=0.9), -x)


def test_alpha_is_moved_with_the_picture_but_keeps_its_values():
    x = pictures(channels=4)
    color, bgc, bg = (AugmentPipe(**PIPES[name])(x, 1, debug_percentile=0.7) for name in ("color", "bgc", "bg"))
    assert torch.equal(color[:, 3], x[:, 3])
    assert torch.equal(bgc[:, 3], bg[:, 3])
    torch.testing.assert_close(color[:, :3], AugmentPipe(**PIPES["color"])(x[:, :3], 1, debug_percentile=0.7))


def test_filter_keeps_a_flat_picture_flat_and_works_below_its_own_length():
    x = torch.ones(2, 3, 8, 5)
    out = AugmentPipe(**PIPES["filter"])(x, 1, debug_percentile=0.8)
    torch.testing.assert_close(out, out[:, :, :1, :1].expand_as(out))


def test_filter_equals_a_convolution_of_the_mirrored_picture():
    x = pictures(height=30, width=24)
    out = AugmentPipe(imgfilter=1, imgfilter_bands=[0, 0, 1, 0])(x, 1, debug_percentile=0.8)
    t = 2 ** torch.erfinv(torch.tensor(0.6))
    gains = torch.tensor([1, 1, t, 1]) / ((12 + t**2) / 13).sqrt()
    taps = gains @ filter_bank()
    padded = torch.nn.functional.pad(x, [21] * 4, mode="reflect").flatten(0, 1)[:, None]
    expected = torch.nn.functional.conv2d(padded, (taps[:, None] * taps)[None, None]).reshape(x.shape)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def test_noise_is_scaled_per_picture_and_cutout_zeroes_a_quarter():
    x = pictures() + 10
    noise = torch.randn_like(x)
    noisy = AugmentPipe(noise=1)(x, 1, debug_percentile=0.5, debug_noise=noise)
    torch.testing.assert_close(noisy, x + 0.1 * torch.erfinv(torch.tensor(0.5)) * noise)
    cut = AugmentPipe(cutout=1)(x, 1, debug_percentile=0.5)
    assert torch.equal(cut[:, :, 8:24, 8:24], torch.zeros(4, 3, 16, 16))
    assert (cut == 0).float().mean() == 0.25


def test_pipes_are_named_as_in_the_paper():
    assert list(PIPES) == ["blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"]
    assert PIPES["bgc"] == PIPES["blit"] | PIPES["geom"] | PIPES["color"]
    assert PIPES["bgcfnc"] == dict.fromkeys(TRANSFORMS, 1)
    assert (PIPES["blit"], PIPES["bg"]["xfrac"]) == ({"xflip": 1, "rotate90": 1, "xint": 1}, 1)


# ---- chance


def test_p_zero_is_the_identity_and_draws_nothing():
    x, state = pictures(), torch.get_rng_state()
    assert torch.equal(AugmentPipe(**PIPES["bgcfnc"])(x, 0.0), x)
    assert torch.equal(torch.get_rng_state(), state)


def test_tiny_p_leaves_all_pictures_exactly_as_they_are():
    x = pictures()
    assert torch.equal(AugmentPipe(**PIPES["bg"])(x, 1e-9), x)
    torch.testing.assert_close(AugmentPipe(**PIPES["bgcfnc"])(x, 1e-9), x, rtol=1e-6, atol=1e-6)


def test_what_is_drawn_does_not_depend_on_p():
    x, pipe, states = pictures(), AugmentPipe(**PIPES["bgcfnc"]), []
    for p in (1e-9, 0.5, torch.tensor(1.0)):
        torch.manual_seed(3)
        pipe(x, p)
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_the_same_seed_augments_alike():
    x, pipe = pictures(), AugmentPipe(**PIPES["bgcfnc"])
    torch.manual_seed(5)
    first = pipe(x, 0.7)
    torch.manual_seed(5)
    assert torch.equal(first, pipe(x, 0.7))
    assert not torch.equal(first, pipe(x, 0.7))


# how often a picture changes, of those that are chosen: the rest drew the parameter that changes nothing
CHANGES = dict.fromkeys(TRANSFORMS, 1.0) | {"xflip": 1 / 2, "rotate90": 3 / 4, "lumaflip": 1 / 2}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_share_of_changed_pictures_is_the_multiplier_times_p(name):
    n, p, multiplier = 4000, 0.6, 0.5
    options = {"xint_max": 50} if name == "xint" else {"cutout_size": 2.0} if name == "cutout" else {}
    if name == "imgfilter":
        options["imgfilter_bands"] = [0, 0, 1, 0]
    x = torch.tensor([[0.9, -0.2], [0.3, 0.5]]).repeat(n, 3, 1, 1) * torch.tensor([1.0, 0.5, -0.2])[:, None, None]
    out = AugmentPipe(**{name: multiplier}, **options)(x, p)
    share = ((out - x).abs().amax((1, 2, 3)) > 1e-5).float().mean().item()
    expected = multiplier * p * CHANGES[name]
    assert abs(share - expected) < 4 * (expected * (1 - expected) / n) ** 0.5 + 0.005


def test_each_of_two_rotations_has_its_share_of_the_probability():
    draws = RandomDraws(20000, 0.6)
    either = draw_transforms(AugmentOptions(rotate=1), draws, 8, 8)[:, 0, 1] != 0
    each = draws.chosen(1, times=2)
    assert abs(either.float().mean() - 0.6) < 0.015
    assert abs(each.float().mean() - (1 - 0.4**0.5)) < 0.015


def test_parameters_have_the_stated_spread():
    n, size = 20000, 1000
    x = draw_transforms(AugmentOptions(xfrac=1), RandomDraws(n, 1.0), size, size)
    torch.testing.assert_close(x[:, :, 2].std(0), torch.full([2], 125.0, dtype=torch.float64), rtol=0.02, atol=0)
    scale = draw_transforms(AugmentOptions(scale=1), RandomDraws(n, 1.0), size, size)[:, 0, 0].log2()
    assert abs(scale.std() - 0.2) < 0.004
    shift = draw_transforms(AugmentOptions(xint=1), RandomDraws(n, 1.0), size, 2 * size)[:, :, 2]
    assert shift.abs().amax(0).tolist() == [250, 125]
    aspect = draw_transforms(AugmentOptions(aniso=1), RandomDraws(n, 1.0), size, size)
    torch.testing.assert_close(aspect[:, 0, 0] * aspect[:, 1, 1], torch.ones(n, dtype=torch.float64))


# ---- properties


def test_a_picture_is_augmented_alike_alone_and_in_a_batch():
    x, pipe = pictures(), AugmentPipe(**PIPES["bgcfnc"])
    noise = torch.randn_like(x)
    whole = pipe(x, 1, debug_percentile=0.3, debug_noise=noise)
    alone = [pipe(x[i : i + 1], 1, debug_percentile=0.3, debug_noise=noise[i : i + 1]) for i in range(len(x))]
    torch.testing.assert_close(torch.cat(alone), whole, rtol=0, atol=1e-5)


def test_geometry_and_channels_do_not_mix():
    x, pipe = pictures(channels=5), AugmentPipe(**PIPES["bg"])
    out = pipe(x, 1, debug_percentile=0.3)
    torch.testing.assert_close(pipe(x[:, [4, 0]], 1, debug_percentile=0.3), out[:, [4, 0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 16, 40), (2, 1, 33, 9), (1, 4, 4, 4), (3, 3, 1, 1), (2, 3, 2, 7), (1, 3, 5, 1)])
def test_any_size_of_picture_passes_and_keeps_its_shape(shape):
    x, pipe = torch.randn(shape), AugmentPipe(**PIPES["bgcfnc"])
    for p in (0.3, 1.0):
        out = pipe(x, p)
        assert out.shape == x.shape
        assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_keep_their_type_and_16_bits_are_computed_in_32(dtype):
    x, pipe = pictures().to(dtype), AugmentPipe(**PIPES["bgc"])
    out = pipe(x, 1, debug_percentile=0.3)
    assert out.dtype == dtype
    in_float32 = pipe(x.float(), 1, debug_percentile=0.3).to(dtype)
    assert torch.equal(out, in_float32) == (dtype != torch.float64)
    torch.testing.assert_close(out, in_float32, rtol=1e-5, atol=1e-5)


def test_no_pictures_pass_as_no_pictures():
    assert AugmentPipe(**PIPES["bgc"])(torch.empty(0, 3, 8, 8), 0.5).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("name", ["bg", "bgcfnc"])
@pytest.mark.parametrize(("shape", "seed"), [((2, 3, 4, 5), 10), ((3, 1, 4, 4), 9)])  # upright, turned, rotated pictures
def test_first_and_second_derivatives_are_right(name, shape, seed):
    pipe, noise = AugmentPipe(**PIPES[name]), torch.randn(shape, dtype=torch.float64)
    x = torch.randn(*shape[:2], shape[3], shape[2], dtype=torch.float64).transpose(2, 3).requires_grad_()  # not contiguous

    def augment(x):
        torch.manual_seed(seed)
        return pipe(x, 0.5, debug_noise=noise)

    def augment_squared(x):
        return augment(x * x)

    assert torch.autograd.gradcheck(augment, x)
    assert torch.autograd.gradgradcheck(augment_squared, x)


def test_gradient_penalty_reaches_the_weights_through_every_transform():
    x, pipe = pictures().requires_grad_(), AugmentPipe(**PIPES["bgcfnc"])
    weight = torch.randn(3, 32, 32, requires_grad=True)
    logits = (pipe(x, 0.8) * weight).square().sum()
    (gradient,) = torch.autograd.grad(logits, x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert second.isfinite().all()
    assert second.abs().sum() > 0


def test_the_pipe_has_no_state_to_save():
    pipe = AugmentPipe(**PIPES["bgcfnc"])
    assert not pipe.state_dict()
    assert not list(pipe.parameters())


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"xflip": 1.5}, "xflip is 1.5; a multiplier of the probability goes from 0 to 1."),
        ({"imgfilter": 1, "imgfilter_bands": [1, 1, 1]}, "imgfilter_bands has 3 values; there are 4 bands."),
        ({"imgfilter_bands": [1, 1, -1, 1]}, "imgfilter_bands[2] is -1"),
    ],
)
def test_an_impossible_option_is_named(options, text):
    with pytest.raises(ValueError) as error:
        AugmentPipe(**options)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("x", "p", "text"),
    [
        (torch.zeros(2, 2, 8, 8), 0.0, "need pictures of 1, 3 or 4 channels, not 2"),
        (torch.zeros(2, 3, 8, 8), 1.2, "goes from 0 to 1"),
        (torch.zeros(2, 3, 8, 8), float("nan"), "goes from 0 to 1"),
        (torch.zeros(3, 8, 8), 0.5, "[N, C, H, W]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 0.5, "torch.uint8"),
        (torch.zeros(2, 3, 0, 8), 0.5, "without pixels"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(x, p, text):
    with pytest.raises(ValueError) as error:
        AugmentPipe(**PIPES["bgc"])(x, p)
    assert text in str(error.value)

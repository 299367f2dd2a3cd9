"""The public ops with impl="cuda" beside the definition in float64: types, layouts, derivatives, sizes."""

import pytest
import torch

from sgtool.networks import build_discriminator, build_generator
from sgtool.ops import ACTIVATIONS, bias_act, choice, setup_filter, upfirdn2d

ROUNDING = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 2**-22, torch.float64: 2**-50}
DTYPES = pytest.mark.parametrize("dtype", ROUNDING, ids=lambda dtype: str(dtype).removeprefix("torch."))
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed", "expanded", "misaligned")
FILTERS = {
    "4x4": setup_filter([1, 3, 3, 1]),
    "12 separable": setup_filter([1, 2, 4, 7, 9, 11, 11, 9, 7, 4, 2, 1]),
    "4 separable": setup_filter([1, 3, 3, 1], separable=True),
    "5 separable": setup_filter([1, -2, 4, 1, 3], separable=True),
    "12x12": setup_filter([1, 2, 4, 7, 9, 11, 11, 9, 7, 4, 2, 1], separable=False),
    "1x4": torch.tensor([[0.1, 0.4, -0.3, 0.6]]),
    "3x5": torch.arange(15.0).reshape(3, 5) / 50 - 0.1,
}
FACTORS = ((2, 1), (1, 2), (1, 1), ((3, 2), (2, 3)))


def laid_out(layout, dtype, gpu, shape=(3, 16, 13, 10)):
    """Random numbers that every type holds, odd multiples of 1/128 below 2, in some order in memory."""
    n, c, h, w = shape
    torch.manual_seed(0)
    x = torch.randn(n, c, h, w, device=gpu).clamp(-1.9, 1.9).mul(64).floor().add(0.5).div(64).to(dtype)
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        return torch.stack([x, -x], -1).flatten(3)[..., ::2]
    if layout == "transposed":
        return x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    if layout == "expanded":
        return x[:, :1].expand(n, c, h, w)
    if layout == "misaligned":
        return torch.cat([x.flatten()[:1], x.flatten()])[1:].reshape(n, c, h, w)
    return x


def assert_close(value, exact, dtype, factor=1.0):
    """Within a few roundings of `dtype`, measured against each number and against their mean size."""
    assert value.dtype == dtype
    allowed = 2 * factor * ROUNDING[dtype] * (exact.abs() + exact.abs().mean()) + 1e-30
    worst = ((value.detach().double() - exact).abs() / allowed).max().item()
    assert worst <= 1, f"{worst:.2f} times the rounding that is allowed"


def derivatives(op, x, b=None):
    """{name: value or derivative of first or second order} of an op, along fixed directions."""
    x = x.detach().requires_grad_()
    inputs = {"x": x} if b is None else {"x": x, "b": b.detach().requires_grad_()}
    y = op(*inputs.values())
    torch.manual_seed(1)
    dy = torch.randn(y.shape, device=y.device).to(torch.bfloat16).to(y.dtype).requires_grad_()
    v = torch.randn(x.shape, device=y.device).to(torch.bfloat16).to(y.dtype)
    first = torch.autograd.grad(y, list(inputs.values()), dy, create_graph=True)
    wanted = {**inputs, "dy": dy}
    second = torch.autograd.grad((first[0] * v).sum(), list(wanted.values()), allow_unused=True)
    results = {"y": y} | {f"d{n}": d for n, d in zip(inputs, first, strict=True)}
    return results | {f"d2{n}": d for n, d in zip(wanted, second, strict=True) if d is not None}


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_bias_act_and_its_derivatives(act, layout, dtype, gpu):
    x = laid_out(layout, dtype, gpu)
    b = torch.linspace(-1, 0.875, 16, device=gpu, dtype=dtype)  # eighths: x + b is not 0, the kink
    for settings in ({}, {"gain": -2.0}, {"alpha": 0.7, "clamp": 3.1}, {"gain": 0.3, "clamp": 0.21}):
        for bias in (b, None):
            values = derivatives(lambda *t, s=settings: bias_act(*t, act=act, impl="cuda", **s), x, bias)
            wide = (t if t is None else t.double() for t in (x, bias))
            exact = derivatives(lambda *t, s=settings: bias_act(*t, act=act, impl="reference", **s), *wide)
            assert values["y"].stride() == torch.empty_like(x).stride()
            inside = smooth_at(exact["y"], settings.get("clamp"), dtype)
            for name, value in values.items():
                if name.endswith("b"):  # a sum of roundings, and of the elements that are left out below
                    if settings.get("clamp") is None:
                        assert_close(value, exact[name], dtype, factor=20)
                elif name in exact:
                    assert_close(value * inside, exact[name] * inside, dtype, factor=16 if name.startswith("d2") else 4)
                else:
                    assert not value.any()  # autograd knows that it is zero; so do the kernels


def smooth_at(y, clamp, dtype):
    """False at the kink of an activation, and where the rounding of y decides whether it is clamped, and with it the slope."""
    size = y.detach().abs()
    smooth = size > 0
    return smooth if clamp is None else smooth & ((size <= clamp * (1 - 8 * ROUNDING[dtype])) | (size >= clamp))


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("f", FILTERS.values(), ids=FILTERS)
def test_upfirdn2d_and_its_derivatives(f, layout, dtype, gpu):
    x, f = laid_out(layout, dtype, gpu), f.to(gpu)
    for up, down in FACTORS:
        settings = {"up": up, "down": down, "padding": [7, 9, 8, 7], "flip_filter": up == 1, "gain": 1.5}
        values = derivatives(lambda t, s=settings: upfirdn2d(t, f, impl="cuda", **s), x)
        exact = derivatives(lambda t, s=settings: upfirdn2d(t, f.double(), impl="reference", **s), x.double())
        for name, value in values.items():
            if name in exact:
                assert_close(value, exact[name], dtype, factor=4 * (3 - f.ndim))  # one axis: rounded between two launches


def test_cropping_and_pictures_smaller_than_a_tile(gpu):
    f = FILTERS["4x4"].to(gpu)
    for shape in ((1, 1, 1, 1), (2, 3, 2, 7), (70000, 1, 4, 4), (1, 70000, 4, 4), (2, 8, 65, 33)):
        for layout in ("contiguous", "channels_last"):
            x = laid_out(layout, torch.float32, gpu, shape)
            for up, down, padding in ((2, 1, [-1, 5, 4, -1]), (1, 2, [3, 4, 4, 3]), (1, 1, [4, -1, 3, 3])):
                y = upfirdn2d(x, f, up, down, padding, impl="cuda")
                assert_close(y, upfirdn2d(x.double(), f, up, down, padding, impl="reference"), torch.float32)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_numerical_derivatives_of_bias_act(act, gpu):
    torch.manual_seed(0)
    b = torch.randn(3, dtype=torch.float64, device=gpu, requires_grad=True)
    for layout in ("channels_last", "sliced"):
        x = laid_out(layout, torch.float64, gpu, (2, 3, 3, 4)).requires_grad_()
        op = lambda x, b: bias_act(x, b, act=act, alpha=0.3, gain=1.7, clamp=1.103, impl="cuda")  # noqa: E731
        assert torch.autograd.gradcheck(op, (x, b))
        assert torch.autograd.gradgradcheck(op, (x, b))


@pytest.mark.parametrize("f", FILTERS.values(), ids=FILTERS)
def test_numerical_derivatives_of_upfirdn2d(f, gpu):
    x, f = laid_out("channels_last", torch.float64, gpu, (1, 2, 5, 4)).requires_grad_(), f.to(gpu)
    for up, down in FACTORS:
        op = lambda x, up=up, down=down: upfirdn2d(x, f, up, down, [6, 6, 5, 6], impl="cuda")  # noqa: E731
        assert torch.autograd.gradcheck(op, (x,))
        assert torch.autograd.gradgradcheck(op, (x,))


@DTYPES
def test_empty_tensors(dtype, gpu):
    x = torch.ones(0, 3, 4, 6, dtype=dtype, device=gpu, requires_grad=True)
    y = bias_act(x, torch.ones(3, device=gpu), act="lrelu", clamp=1, impl="cuda")
    y = upfirdn2d(y, FILTERS["4x4"].to(gpu), up=2, padding=[2, 1, 2, 1], impl="cuda")
    assert y.shape == (0, 3, 8, 12)
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_nan_and_infinity_stay_visible(gpu):
    x = torch.tensor([[float("nan"), float("inf"), -float("inf"), 300.0]], device=gpu)
    for act in ACTIVATIONS:
        y, exact = (bias_act(x, act=act, clamp=256, impl=impl) for impl in ("cuda", "reference"))
        torch.testing.assert_close(y, exact, equal_nan=True)


def test_more_than_four_axes(gpu):
    x = torch.randn(2, 3, 2, 3, 2, 4, device=gpu).permute(5, 1, 0, 3, 2, 4)[:, :, :, ::2, :, ::2]
    torch.testing.assert_close(bias_act(x, act="lrelu", impl="cuda"), bias_act(x, act="lrelu", impl="reference"))


def test_more_elements_than_32_bits_count(gpu):
    if torch.cuda.mem_get_info(gpu)[0] < 30e9:
        pytest.skip("needs 30 GB of free GPU memory")
    x = torch.empty(33, 1024, 256, 256, dtype=torch.float16, device=gpu)
    assert x.numel() > 2**31
    x[0].normal_()
    x[1:] = x[0]
    b = torch.linspace(-1, 1, 1024, device=gpu, dtype=torch.float16)
    y = bias_act(x, b, act="lrelu", impl="cuda")
    assert torch.equal(y[0], bias_act(x[:1], b, act="lrelu", impl="cuda")[0])
    assert all(torch.equal(y[i], y[0]) for i in range(1, 33))
    del y
    f = FILTERS["4x4"].to(gpu)
    y = upfirdn2d(x, f, padding=[2, 1, 2, 1], impl="cuda")
    assert torch.equal(y[0], upfirdn2d(x[:1], f, padding=[2, 1, 2, 1], impl="cuda")[0])
    assert all(torch.equal(y[i], y[0]) for i in range(1, 33))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_the_networks_give_the_same_pictures_and_gradients(half, gpu, monkeypatch):
    torch.manual_seed(0)
    widths = {"channel_base": 1024, "channel_max": 64, "num_fp16_res": 2 if half else 0, "conv_clamp": 256}
    size = {"img_resolution": 32, "img_channels": 3, "c_dim": 0}
    G = build_generator(z_dim=16, w_dim=16, **size, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=widths).to(gpu)
    D = build_discriminator(**size, **widths).to(gpu)
    z = torch.randn(4, 16, device=gpu)

    def run():
        img = G(z, None, noise_mode="const")
        logits = D(img, None)
        return [img, logits, *torch.autograd.grad(logits.sum(), [*G.synthesis.parameters(), *D.parameters()], allow_unused=True)]

    with_kernels = run()
    monkeypatch.setattr(choice, "KERNEL_DEVICES", ())
    for value, expected in zip(with_kernels, run(), strict=True):
        if expected is not None:
            difference = (value - expected).norm() / (expected.norm() + 1e-6)
            assert difference < (0.03 if half else 1e-3)

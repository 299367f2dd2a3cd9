"""conv2d_resample and modulated_conv2d against reference numbers, their definitions, and numerical derivatives."""

import json

import numpy as np
import pytest
import torch

from sgtool.ops import bias_act, conv2d_bias_act, conv2d_resample, modulated_conv2d, setup_filter

IMPLS = ("auto", "reference")
SIZES = [(torch.float32, 1e-4), (torch.float64, 1e-6)]


def close(value, expected, tolerance, message):
    """Compare within `tolerance` of the largest magnitude."""
    assert value.shape == expected.shape, message
    worst = np.abs(value.detach().numpy() - expected).max()
    assert worst <= tolerance * max(np.abs(expected).max(), 1e-12), f"{message}: off by {worst}"


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "tolerance"), SIZES)
def test_conv2d_resample_equals_the_published_one(golden, impl, dtype, tolerance):
    data = np.load(golden / "conv2d_resample.npz")
    cases = json.loads(str(data["meta"]))["cases"]
    assert len(cases) == 28
    for case in cases:
        name = case["id"]
        x, w, dy = (torch.as_tensor(data[f"{name}.{key}"]).to(dtype) for key in ("x", "w", "dy"))
        f = torch.as_tensor(data[f"{name}.f"]) if f"{name}.f" in data else None
        x.requires_grad_(), w.requires_grad_()
        y = conv2d_resample(x, w, f, impl=impl, **case["args"])
        dx, dw = torch.autograd.grad(y, [x, w], dy)
        for key, value in (("y", y), ("dx", dx), ("dw", dw)):
            close(value, data[f"{name}.{key}"], tolerance, f"{case} {key}")


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "tolerance"), SIZES)
def test_modulated_conv2d_equals_the_published_one(golden, impl, dtype, tolerance):
    data = np.load(golden / "modulated_conv2d.npz")
    meta = json.loads(str(data["meta"]))
    assert len(meta["cases"]) == 52
    f = torch.as_tensor(data["f"])
    for case in meta["cases"]:
        name = case.get("same_arrays_as") or case["id"]
        x, w, s, dy = (torch.as_tensor(data[f"{name}.{key}"]).to(dtype).requires_grad_() for key in ("x", "w", "s", "dy"))
        noise = torch.as_tensor(data[f"{name}.noise"]).to(dtype).requires_grad_() if f"{name}.noise" in data else None
        y = modulated_conv2d(x, w, s, noise=noise, resample_filter=f, impl=impl, **arguments_of(case))
        inputs = [x, w, s] + ([] if noise is None else [noise])
        gradients = torch.autograd.grad(y, inputs, dy)
        for key, value in zip(["y", "dx", "dw", "ds", "dnoise"], [y, *gradients], strict=False):
            close(value, data[f"{name}.{key}"], tolerance, f"{case} {key}")


def arguments_of(case):
    source = case.get("args", case)
    return {key: source[key] for key in ("up", "down", "padding", "demodulate", "flip_weight") if key in source}


@pytest.mark.parametrize(("up", "down", "kernel"), [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 1), (1, 2, 1), (2, 2, 3), (3, 1, 2)])
def test_first_and_second_derivatives_are_right(up, down, kernel):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64).permute(0, 3, 1, 2).requires_grad_()  # odd size, channels last
    w = torch.randn(2, 3, kernel, kernel, dtype=torch.float64, requires_grad=True)
    s = (torch.randn(2, 3, dtype=torch.float64) + 1).requires_grad_()
    f = setup_filter([1, 3, 3, 1])

    def op(x, w, s):
        return modulated_conv2d(x, w, s, up=up, down=down, padding=kernel // 2, resample_filter=f, flip_weight=up == 1)

    assert torch.autograd.gradcheck(op, (x, w, s))
    assert torch.autograd.gradgradcheck(op, (x, w, s))


@pytest.mark.parametrize("padding", [0, 1, [2, 0], [0, 3, 1, 2], [-1, 0, 2, -2]])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_fast_path_equals_the_definition(padding, up, down, kernel):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    w = torch.randn(6, 2, kernel, kernel, dtype=torch.float64)
    for f in (None, setup_filter([1, 3, 3, 1]), setup_filter(range(1, 9))):
        for flips in ({}, {"flip_weight": False, "flip_filter": True}):
            arguments = {"f": f, "up": up, "down": down, "padding": padding, "groups": 2, **flips}
            torch.testing.assert_close(conv2d_resample(x, w, **arguments), conv2d_resample(x, w, impl="reference", **arguments))


def test_demodulated_output_does_not_depend_on_the_scale_of_styles():
    torch.manual_seed(0)
    x, w, s = torch.randn(2, 3, 6, 6), torch.randn(4, 3, 3, 3), torch.randn(2, 3) + 2
    torch.testing.assert_close(modulated_conv2d(x, w, s, padding=1), modulated_conv2d(x, w, s * 100, padding=1))


def test_float16_does_not_overflow_where_the_plain_product_would():
    torch.manual_seed(0)
    x, w, s = torch.randn(2, 8, 6, 6) * 50, torch.randn(4, 8, 3, 3) * 100, torch.randn(2, 8) * 1000
    exact = modulated_conv2d(x, w, s, padding=1)
    half = modulated_conv2d(x.half(), w, s, padding=1)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), exact, rtol=2e-2, atol=2e-2 * exact.abs().max().item())


@pytest.mark.parametrize(
    ("x", "w", "words"),
    [((1, 3, 4, 4), (2, 4, 3, 3), "do not fit x"), ((3, 4, 4), (2, 3, 3, 3), "do not fit x")],
)
def test_wrong_shapes_are_named(x, w, words):
    with pytest.raises(ValueError, match=words):
        conv2d_resample(torch.ones(x), torch.ones(w))
    with pytest.raises(ValueError, match="do not fit together"):
        modulated_conv2d(torch.ones(1, 3, 4, 4), torch.ones(2, 3, 3, 3), torch.ones(2, 3))


def convolved_and_activated(impl, dtype, up, down, kernel, bias, activation):
    """The result, its first derivatives, and second ones."""
    torch.manual_seed(1)
    f = setup_filter([1, 3, 3, 1])
    resampling = {"up": up, "down": down, "padding": kernel // 2, "flip_weight": False}
    x = torch.randn(2, 3, 6, 4).to(dtype).requires_grad_()
    w = torch.randn(5, 3, kernel, kernel).to(dtype).requires_grad_()
    b = torch.randn(5).to(dtype).requires_grad_() if bias else None
    if impl == "auto":
        y = conv2d_bias_act(x, w, b, f, **resampling, **activation)
    else:
        y = bias_act(conv2d_resample(x, w, f, **resampling, impl=impl), b, **activation, impl=impl)
    inputs = [t for t in (x, w, b) if t is not None]
    first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    return [y, *first, *torch.autograd.grad(first[0].square().sum(), inputs)]


@pytest.mark.parametrize(("up", "down", "kernel"), [(1, 1, 3), (1, 1, 1), (2, 1, 3), (1, 2, 3), (1, 2, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "activation",
    [
        {"act": "lrelu", "gain": 0.7, "clamp": 0.9},
        {"act": "lrelu", "clamp": 0.9},
        {"act": "lrelu", "clamp": 1e4},
        {"act": "relu"},
        {"act": "linear", "clamp": 0.9},
        {"act": "linear"},
        {"act": "swish", "clamp": 0.9},
    ],
    ids=str,
)
def test_convolution_bias_and_activation_at_once_are_the_three_one_after_the_other(up, down, kernel, bias, activation):
    activation = {"gain": 1.0} | activation
    results = [convolved_and_activated(impl, torch.float64, up, down, kernel, bias, activation) for impl in ("auto", "reference")]
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("clamp", [None, 0.9])
def test_what_onednn_does_in_one_pass_is_the_same(dtype, tolerance, clamp):
    activation = {"act": "lrelu", "gain": 1.0, "clamp": clamp}
    found = convolved_and_activated("auto", dtype, 1, 1, 3, True, activation)
    expected = convolved_and_activated("reference", torch.float64, 1, 1, 3, True, activation)
    if dtype == torch.bfloat16:
        found, expected = found[:1], expected[:1]  # rounding moves values across the clamp and across zero
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert (one.double() - two).abs().max() <= tolerance * two.abs().max()


def test_frozen_weights_get_no_gradient_and_cost_none():
    x, w = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 3, 3)
    y = conv2d_bias_act(x, w, torch.randn(2), padding=1, act="lrelu")
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape
    with torch.no_grad():
        assert not conv2d_bias_act(x, w, None, padding=1, act="relu").requires_grad


def test_tensors_on_two_devices_are_named():
    x, w = torch.randn(1, 3, 4, 4), torch.randn(2, 3, 3, 3, device="meta")
    with pytest.raises(ValueError, match="two devices, cpu and meta"):
        conv2d_resample(x, w)
    with pytest.raises(ValueError, match="two devices, cpu and meta"):
        modulated_conv2d(x, torch.randn(2, 3, 3, 3), torch.randn(1, 3, device="meta"))


def test_cuda_is_refused_for_cpu_tensors():
    x, w = torch.randn(1, 3, 4, 4), torch.randn(2, 3, 3, 3)
    for op in (lambda: conv2d_resample(x, w, impl="cuda"), lambda: modulated_conv2d(x, w, torch.ones(1, 3), impl="cuda")):
        with pytest.raises(RuntimeError, match='impl="cuda"'):
            op()

"""bias_act against reference numbers, its own definition, and numerical derivatives."""

import json

import numpy as np
import pytest
import torch

from sgtool.ops import ACTIVATIONS, bias_act

IMPLS = ("auto", "reference")


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_values_and_derivatives_equal_the_published_ones(golden, impl, dtype, tolerance):
    data = np.load(golden / "bias_act.npz")
    cases = json.loads(str(data["meta"]))["cases"]
    assert len(cases) == 72
    for case in cases:

        def array(key, i=case["id"]):
            return torch.as_tensor(data[f"{i}.{key}"]).to(dtype)

        x, dy, v = array("x").requires_grad_(), array("dy").requires_grad_(), array("v")
        b = array("b").requires_grad_() if case["bias"] else None
        arguments = {key: case[key] for key in ("dim", "act", "alpha", "gain", "clamp")}
        y = bias_act(x, b, impl=impl, **arguments)
        inputs = [x] if b is None else [x, b]
        first = torch.autograd.grad(y, inputs, dy, create_graph=True)
        second = torch.autograd.grad((first[0] * v).sum(), [*inputs, dy], allow_unused=True)
        names = ["x"] if b is None else ["x", "b"]
        results = [("y", y)]
        results += [(f"d{n}", g) for n, g in zip(names, first, strict=True)]
        results += [(f"d2{n}", g) for n, g in zip([*names, "dy"], second, strict=True)]
        for key, value in results:
            value = torch.zeros(()) if value is None else value.detach()
            np.testing.assert_allclose(
                np.broadcast_to(value.numpy(), array(key).shape), array(key), tolerance, tolerance, err_msg=f"{case} {key}"
            )


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_first_and_second_derivatives_are_right(act, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 3, dtype=torch.float64)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        x = torch.randn(3, 2, 6, 5, dtype=torch.float64).permute(1, 0, 3, 2)[:, :, :, ::2]
    x = x.requires_grad_()
    b = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def op(x, b):
        return bias_act(x, b, act=act, alpha=0.3, gain=1.7, clamp=1.1)

    assert torch.autograd.gradcheck(op, (x, b))
    assert torch.autograd.gradgradcheck(op, (x, b))


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_fast_path_equals_the_definition(act):
    torch.manual_seed(1)
    x, b = torch.randn(4, 6, 7), torch.randn(6)
    for arguments in ({}, {"clamp": 0.5}, {"gain": 0.3}, {"gain": -2.0}, {"alpha": 0.7}, {"alpha": -0.7, "clamp": 0.2}):
        torch.testing.assert_close(bias_act(x, b, act=act, **arguments), bias_act(x, b, act=act, impl="reference", **arguments))


def test_input_is_left_alone_and_not_shared():
    x = torch.randn(2, 3)
    before = x.clone()
    y = bias_act(x)
    y.add_(1)
    assert torch.equal(x, before)


@pytest.mark.parametrize("act", ["linear", "relu", "lrelu", "swish"])
@pytest.mark.parametrize("bias", [True, False])
def test_overwriting_gives_the_same_values_and_derivatives(act, bias):
    torch.manual_seed(0)
    source = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    results = []
    for overwrite in (False, True):
        x = source.clone().requires_grad_()
        b = torch.arange(3.0, dtype=torch.float64).requires_grad_() if bias else None
        fresh = x * 2
        y = bias_act(fresh, b, act=act, clamp=1.5, overwrite=overwrite)
        assert (y.data_ptr() == fresh.data_ptr()) == (overwrite and act != "swish")
        inputs = [x] if b is None else [x, b]
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        results.append([y, *first, *torch.autograd.grad(first[0].square().sum(), inputs)])
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("value", [255.9, 256.0, 300.0, float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_single_value_at_the_clamp_is_found_among_many(value, dtype):
    x = torch.ones(2, 4, 32, 32, dtype=dtype)  # as many as are looked at row by row
    x[1, 3, 30, 2] = -value
    x.requires_grad_()
    y = bias_act(x, clamp=256)
    (dx,) = torch.autograd.grad(y.sum(), x)
    stored = abs(float(torch.tensor(value, dtype=dtype)))
    assert y[1, 3, 30, 2] == -min(stored, 256)
    assert dx.sum() == x.numel() - (stored >= 256)
    with torch.no_grad():
        assert torch.equal(bias_act(x, clamp=256), y)


@pytest.mark.parametrize("part", [(..., slice(None, None, 2)), (slice(None), slice(1, 3)), (..., slice(4, None))])
def test_the_clamp_is_found_in_a_part_of_a_larger_tensor(part):
    b = torch.zeros(2, requires_grad=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        whole = torch.zeros(3, 4, 8, 8).contiguous(memory_format=layout)
        whole[2, 2, 7, 6] = 1000.0
        x = whole[part]
        y = bias_act(x, b if x.shape[1] == 2 else torch.zeros(4, requires_grad=True), clamp=256, overwrite=True)
        assert y.max().item() == 256


def test_nan_stays_visible_through_the_clamp():
    y = bias_act(torch.tensor([[float("nan"), 300.0, -300.0]]), act="lrelu", clamp=256)
    assert torch.isnan(y[0, 0])
    assert y[0, 1:].tolist() == pytest.approx([256.0, -300 * 0.2 * 2**0.5])


def test_empty_and_half_tensors_keep_shape_and_type():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        y = bias_act(torch.ones(0, 3, 4, dtype=dtype), torch.ones(3), act="lrelu", clamp=1)
        assert y.shape == (0, 3, 4)
        assert y.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"act": "gelu"}, ValueError, "act must be one of"),
        ({"clamp": -1}, ValueError, "clamp must be 0 or more"),
        ({"b": torch.ones(4)}, ValueError, "does not fit axis 1"),
        ({"b": torch.ones(3), "dim": 2}, ValueError, "does not fit axis 2"),
        ({"impl": "fast"}, ValueError, "impl must be one of"),
        ({"impl": "cuda"}, RuntimeError, "no CUDA kernels"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        bias_act(torch.ones(2, 3), **arguments)

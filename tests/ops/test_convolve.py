"""convolve against PyTorch's own convolution and its derivatives, and what it leaves out."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.ops import convolve as module
from sgtool.ops.convolve import convolve

CASES = [  # stride, padding (y, x), transposed, groups, kernel, size
    (1, (0, 0), False, 1, (3, 3), (5, 4)),
    (1, (1, 1), False, 1, (3, 2), (5, 4)),
    (2, (0, 0), False, 1, (3, 3), (7, 6)),  # one row is never read
    (2, (1, 0), False, 2, (2, 3), (6, 5)),
    (3, (0, 1), False, 1, (2, 2), (6, 7)),
    (2, (0, 0), True, 1, (3, 3), (3, 2)),
    (2, (1, 1), True, 2, (3, 3), (3, 4)),
    (1, (0, 0), False, 1, (1, 1), (3, 3)),
]


def tensors(transposed, groups, kernel, size, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(2, 4, *size, dtype=dtype)
    w = torch.randn(*([4, 6 // groups] if transposed else [6, 4 // groups]), *kernel, dtype=dtype)
    return x.requires_grad_(), w.requires_grad_(), torch.randn(6, dtype=dtype).requires_grad_()


def pytorch(x, w, b, stride, padding, transposed, groups):
    return (F.conv_transpose2d if transposed else F.conv2d)(x, w, b, stride=stride, padding=padding, groups=groups)


@pytest.mark.parametrize(("stride", "padding", "transposed", "groups", "kernel", "size"), CASES)
def test_values_and_first_two_derivatives_are_those_of_pytorch(stride, padding, transposed, groups, kernel, size):
    results = []
    for op in (convolve, pytorch):
        inputs = tensors(transposed, groups, kernel, size)
        y = op(*inputs, stride, padding, transposed, groups)
        gradients = torch.autograd.grad((y**3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)
        results.append([y, *gradients, *second])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("stride", "padding", "transposed", "groups", "kernel", "size"), CASES)
def test_derivatives_are_the_numerical_ones(stride, padding, transposed, groups, kernel, size):
    def op(x, w, b):
        return convolve(x, w, b, stride, padding, transposed, groups)

    inputs = tensors(transposed, groups, kernel, size)
    assert torch.autograd.gradcheck(op, inputs)
    assert torch.autograd.gradgradcheck(op, inputs)


@pytest.mark.parametrize("transposed", [False, True])
def test_autocast_convolves_in_its_type_and_the_gradients_keep_theirs(transposed):
    results = []
    for op in (convolve, pytorch):
        inputs = tensors(transposed, 1, (3, 3), (6, 6), torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            y = op(*inputs, 1, (1, 1), transposed, 1)
        assert y.dtype == torch.bfloat16
        results.append([y, *torch.autograd.grad(y.float().square().sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0.03, atol=0.03)
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve(*tensors(transposed, 1, (3, 3), (6, 6)), transposed=transposed).dtype == torch.float64


def test_shapes_follow_without_numbers():
    x, w, b = (t.to("meta") for t in tensors(False, 1, (3, 3), (6, 5)))
    assert convolve(x, w, b, 1, (1, 1)).shape == (2, 6, 6, 5)


@settings(max_examples=40, deadline=None)
@given(
    stride=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_the_transposed_one_is_the_adjoint(stride, kernel, size, padding):
    x, w, _ = tensors(False, 1, kernel, size)
    y = convolve(x, w, None, stride, padding)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    torch.testing.assert_close((y * dy).sum(), (x * dx).sum())


@pytest.mark.parametrize("wanted", ["x", "w"])
def test_a_gradient_that_nobody_asked_for_is_not_computed(wanted, monkeypatch):
    masks = []
    compute, weight_gradient = module._gradients, module._WeightGradient.apply

    def watched(dy, x, w, arguments, mask):
        masks.append(tuple(mask))
        return compute(dy, x, w, arguments, mask)

    monkeypatch.setattr(module, "_gradients", watched)
    monkeypatch.setattr(module._WeightGradient, "apply", lambda *args: masks.append("weights") or weight_gradient(*args))
    x, w, _ = tensors(False, 1, (3, 3), (5, 5))
    x = x * 1  # as in a network: made by another op
    y = convolve(x, w).square().sum()
    torch.autograd.grad(y, {"x": x, "w": w}[wanted], retain_graph=True)
    assert masks == [(wanted == "x", wanted == "w", False)]
    masks.clear()
    torch.autograd.grad(y, {"x": x, "w": w}[wanted], create_graph=True)
    assert masks == ([] if wanted == "x" else ["weights", (False, True, False)])


def test_float16_and_bfloat16_are_computed_in_their_type():
    for dtype in (torch.float16, torch.bfloat16):
        x, w, b = (t.detach().to(dtype) for t in tensors(False, 1, (3, 3), (5, 5)))
        y = convolve(x, w, b)
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), F.conv2d(x.double(), w.double(), b.double()), rtol=0.02, atol=0.1)

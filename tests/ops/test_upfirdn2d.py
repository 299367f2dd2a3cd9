"""upfirdn2d and its helpers against reference numbers, SciPy, and numerical derivatives."""

import json

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgtool.ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

OPS = {"upfirdn2d": upfirdn2d, "filter2d": filter2d, "upsample2d": upsample2d, "downsample2d": downsample2d}
IMPLS = ("auto", "reference")


@pytest.mark.parametrize("impl", IMPLS)
def test_values_and_gradients_equal_the_published_ones(golden, impl):
    data = np.load(golden / "upfirdn2d.npz")
    cases = json.loads(str(data["meta"]))["cases"]
    checked = 0
    for case in cases:
        if case["op"] == "setup_filter":
            continue
        name = case["id"]
        x = torch.as_tensor(data[f"{name}.x"]).requires_grad_()
        f = torch.as_tensor(data[f"{name}.f"]) if f"{name}.f" in data else None
        y = OPS[case["op"]](x, f, impl=impl, **case["args"])
        (dx,) = torch.autograd.grad(y, x, torch.as_tensor(data[f"{name}.dy"]))
        np.testing.assert_allclose(y.detach(), data[f"{name}.y"], 1e-5, 1e-5, err_msg=str(case))
        np.testing.assert_allclose(dx, data[f"{name}.dx"], 1e-5, 1e-5, err_msg=str(case))
        checked += 1
    assert checked == 36


def test_filters_equal_the_published_ones(golden):
    data = np.load(golden / "upfirdn2d.npz")
    cases = [c for c in json.loads(str(data["meta"]))["cases"] if c["op"] == "setup_filter"]
    assert len(cases) == 29
    for case in cases:
        raw = data.get(f"{case['id']}.raw")
        f = setup_filter(raw, **case["args"])
        expected = data[f"{case['id']}.f"]
        assert f.shape == expected.shape, case
        np.testing.assert_allclose(f, expected, 1e-6, 1e-7, err_msg=str(case))


shapes = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 9), st.integers(1, 9)),
        "taps": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "up": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "down": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.lists(st.integers(-2, 6), min_size=4, max_size=4),
        "flip_filter": st.booleans(),
        "one_axis": st.booleans(),
        "layout": st.sampled_from([torch.contiguous_format, torch.channels_last]),
    }
)


def draw_case(case):
    """Make x and f of a drawn case; None if the filter does not fit into the padded picture."""
    rng = np.random.default_rng(0)
    height, width = case["size"]
    taps = (case["taps"][0],) * 2 if case["one_axis"] else case["taps"]
    f = rng.normal(size=taps[:1] if case["one_axis"] else taps).astype(np.float32)
    left, right, top, bottom = case["padding"]
    padded = height * case["up"][1] + top + bottom, width * case["up"][0] + left + right
    if padded[0] < taps[0] or padded[1] < taps[1]:
        return None
    x = torch.as_tensor(rng.normal(size=(2, 3, height, width))).contiguous(memory_format=case["layout"])
    arguments = {"up": case["up"], "down": case["down"], "padding": case["padding"], "flip_filter": case["flip_filter"]}
    return x, torch.as_tensor(f), arguments


def by_loops(x, f, up, down, padding, flip_filter):
    """The definition by SciPy: zero insertion, padding, convolution where the filter fits, decimation."""
    x, f = x.numpy(), f.double().numpy()
    f = np.outer(f, f) if f.ndim == 1 else f
    n, c, h, w = x.shape
    z = np.zeros((n, c, h * up[1], w * up[0]))
    z[:, :, :: up[1], :: up[0]] = x
    left, right, top, bottom = padding
    z = np.pad(z, ((0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
    z = z[:, :, max(-top, 0) : z.shape[2] - max(-bottom, 0), max(-left, 0) : z.shape[3] - max(-right, 0)]
    f = f[::-1, ::-1] if flip_filter else f
    y = np.stack([[scipy.signal.convolve2d(p, f, mode="valid") for p in planes] for planes in z])
    return y[:, :, :: down[1], :: down[0]]


@settings(max_examples=150, deadline=None)
@given(case=shapes)
def test_every_shape_equals_scipy(case):
    drawn = draw_case(case)
    if drawn is None:
        return
    x, f, arguments = drawn
    expected = by_loops(x, f, **arguments)
    for impl in IMPLS:
        np.testing.assert_allclose(upfirdn2d(x, f, impl=impl, **arguments), expected, 1e-9, 1e-9)


@settings(max_examples=60, deadline=None)
@given(case=shapes)
def test_backward_is_the_adjoint(case):
    drawn = draw_case(case)
    if drawn is None:
        return
    x, f, arguments = drawn
    x = x.requires_grad_()
    y = upfirdn2d(x, f, gain=1.5, **arguments)
    v = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (dx,) = torch.autograd.grad(y, x, v, create_graph=True)
    torch.testing.assert_close((y * v).sum(), (x * dx).sum())  # <Ax, v> = <x, A'v>
    u = torch.ones_like(x)
    (dv,) = torch.autograd.grad(dx, v, u)
    torch.testing.assert_close(dv, upfirdn2d(u, f, gain=1.5, **arguments))


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1.0, 2.0, -1.0], list(range(1, 10))])
@pytest.mark.parametrize(("up", "down", "padding"), [(1, 1, 3), (2, 1, [8, 7, 2, 8]), (1, 2, 5), ([2, 3], [3, 2], [9, 7])])
def test_first_and_second_derivatives_are_right(taps, up, down, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 2, dtype=torch.float64).permute(0, 3, 2, 1).requires_grad_()  # odd sizes, not contiguous
    f = setup_filter(taps)

    def op(x):
        return upfirdn2d(x, f, up=up, down=down, padding=padding, gain=0.7)

    assert torch.autograd.gradcheck(op, (x,))
    assert torch.autograd.gradgradcheck(op, (x,))


def test_identity_filter_and_linearity():
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 3, 6, 5)
    f = setup_filter([1, 3, 3, 1])
    assert torch.equal(upfirdn2d(a, None), a)
    torch.testing.assert_close(upsample2d(2 * a - b, f), 2 * upsample2d(a, f) - upsample2d(b, f))


def test_resampling_keeps_a_constant_picture_away_from_the_edge():
    f = setup_filter([1, 3, 3, 1])
    x = torch.ones(1, 1, 16, 16)
    for y in (upsample2d(x, f), downsample2d(x, f), filter2d(x, f)):
        torch.testing.assert_close(y[:, :, 4:-4, 4:-4], torch.ones_like(y[:, :, 4:-4, 4:-4]))


def test_empty_batch_and_half_types_keep_shape_and_type():
    f = setup_filter([1, 3, 3, 1])
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        for impl in IMPLS:
            y = upsample2d(torch.ones(0, 3, 4, 6, dtype=dtype), f, impl=impl)
            assert y.shape == (0, 3, 8, 12)
            assert y.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"up": 0}, "up must be a whole number"),
        ({"down": [1, 2, 3]}, "down must be a whole number"),
        ({"padding": [1, 2, 3]}, "padding must be"),
        ({"f": torch.ones(9, 9)}, "does not fit into the padded picture"),
        ({"f": torch.ones(2, 2, 2)}, "one or two axes"),
        ({"f": torch.ones(2, 2, dtype=torch.float16)}, "float32"),
        ({"x": torch.ones(3, 4)}, r"\[N, C, H, W\]"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        upfirdn2d(**{"x": torch.ones(1, 1, 4, 4), "f": None, **arguments})


@pytest.mark.parametrize(("f", "separable"), [([], None), (np.ones((2, 2, 2)), None), (np.ones((2, 2)), True)])
def test_impossible_filters_are_refused(f, separable):
    with pytest.raises(ValueError):
        setup_filter(f, separable=separable)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_upsampling_in_half_precision_rounds_once(dtype):
    torch.manual_seed(0)
    x, f = torch.randn(2, 3, 5, 4).to(dtype), setup_filter([1, 3, 3, 1])
    y = upsample2d(x, f)
    assert y.dtype == dtype
    assert torch.equal(y, upsample2d(x.float(), f).to(dtype))

"""The bias_act kernels, run on the CPU, against the definition and its derivatives by autograd, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgtool.ops import ACTIVATIONS, PIECEWISE_LINEAR, bias_act
from sgtool.ops.kernels import bias_act_grad2_launch, bias_act_grad_launch, bias_act_launch, saves_output, variants
from sgtool.ops.kernels.bias_act import ACTIVATIONS as NUMBERED
from sgtool.ops.kernels.bias_act import UNROLL, _divisor, _launch, _plan

ROUNDING = {torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float32: 2**-24, torch.float64: 2**-53}
TINY = {torch.float16: 2**-24, torch.bfloat16: 1e-38, torch.float32: 1e-38, torch.float64: 1e-300}  # denormal numbers
LAYOUTS = ("contiguous", "channels_last", "transposed", "sliced", "expanded", "unaligned")
drawn = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


def values(shape, dtype, seed=0, size=2.0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape) * size).to(dtype)


def laid_out(x, layout):
    """The same values in another place in memory (expanded: the first ones, repeated)."""
    if layout == "channels_last" and x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    if layout == "sliced":
        large = torch.full([2 * n + 1 for n in x.shape[:-1]] + [x.shape[-1] + 2], torch.nan, dtype=x.dtype)
        part = large[tuple([slice(1, 2 * n, 2) for n in x.shape[:-1]] + [slice(1, x.shape[-1] + 1)])]
        part.copy_(x)
        return part
    if layout == "expanded":
        return x[tuple(slice(0, 1) for _ in x.shape)].contiguous().expand(x.shape)
    if layout == "unaligned":
        return torch.cat([x.flatten()[:1], x.flatten()])[1:].view(x.shape)
    return x.contiguous()


class Case:
    """x, b, dy, ddx of one case; what the kernels make of them, and what is exact."""

    def __init__(
        self, shape, dtype, act, layouts=("contiguous",) * 3, dim=1, bias=True, alpha=0.2, gain=1.3, clamp=None, size=2.0
    ):
        self.x, self.dy, self.ddx = (laid_out(values(shape, dtype, i, size), layouts[i]) for i in range(3))
        self.b = values([shape[dim]], dtype, 3) if bias else None
        self.options = {"dim": dim, "act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
        self.curved = act not in PIECEWISE_LINEAR

    def launches(self, wide=None):
        """Yield the launches of the result, of its first and of its second derivative, each with its results."""
        y, dx, ddy, dref = (torch.empty_like(self.x) for _ in range(4))
        o = self.options
        ref = y if saves_output(o["act"], o["alpha"], o["gain"]) else self.x

        def launch(order, inputs, outputs):
            return _launch(order, inputs, outputs, self.b, *o.values(), wide=wide)

        yield launch(0, (self.x, None, None), (y, None)), {"y": y}
        yield launch(1, (self.dy, ref, None), (dx, None)), {"dx": dx}
        if self.curved:
            yield launch(2, (self.ddx, ref, self.dy), (ddy, dref)), {"ddy": ddy, "dref": dref}
        else:
            yield launch(1, (self.ddx, ref, None), (ddy, None)), {"ddy": ddy}

    def exact(self):
        """The definition in float64 and its derivatives by autograd; x + b; the result before clamping."""
        x, dy, ddx = (t.double().clone() for t in (self.x, self.dy, self.ddx))
        b = None if self.b is None else self.b.double()
        y = bias_act(x.requires_grad_(), b, **self.options, impl="reference")
        (dx,) = torch.autograd.grad(y, x, dy.requires_grad_(), create_graph=True)
        ddy, dref = torch.autograd.grad(dx, [dy, x], ddx, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            sums = bias_act(x, b, self.options["dim"], impl="reference")
            free = bias_act(x, b, **{**self.options, "clamp": None}, impl="reference")
        return {"y": y.detach(), "dx": dx.detach(), "ddy": ddy, "dref": dref}, sums, free

    def check(self, emulator, backward=False, wide=None):
        """Compare every result; return the names of the kernels that ran.

        Allowed is one rounding to the type of the result and a few of the type that is computed in. Derivatives are not
        compared where they jump: at x + b = 0 and where the result reaches the clamp.
        """
        exact, sums, free = self.exact()
        dtype, clamp = self.x.dtype, self.options["clamp"]
        eps, few = ROUNDING[dtype], 32 * ROUNDING[torch.float64 if dtype == torch.float64 else torch.float32]
        smooth = sums.abs() > 4 * TINY[dtype]
        if clamp is not None:
            smooth &= (free.abs() - clamp).abs() > 4 * eps * clamp
        factors = {"y": torch.ones(()), "dx": self.dy, "ddy": self.ddx, "dref": self.dy.double() * self.ddx.double()}
        used = []
        for launch, results in self.launches(wide):
            emulator.run(launch, backward)
            used.append(launch.kernel)
            for name, value in results.items():
                size = (1 + sums.abs()) * factors[name].double().abs()
                allowed = 1.01 * eps * exact[name].abs() + few * size + 4 * TINY[dtype]
                wrong = ~((value.double() - exact[name]).abs() <= allowed)
                wrong &= smooth if name != "y" else True
                assert value.shape == exact[name].shape
                assert not bool(wrong.any()), (
                    name,
                    launch,
                    value[wrong],
                    exact[name][wrong],
                )
        return used


def test_the_kernels_number_the_activations_of_the_op():
    assert tuple(ACTIVATIONS) == NUMBERED


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("clamp", [None, 1.5])
def test_each_activation_and_its_derivatives_equal_the_definition(emulator, act, dtype, clamp):
    for layout, name in (("contiguous", "bias_act<"), ("channels_last", "bias_act<"), ("sliced", "bias_act_strided<")):
        used = Case([2, 16, 3, 16], dtype, act, [layout] * 3, clamp=clamp).check(emulator)
        assert all(kernel.startswith(name) for kernel in used)
        used = Case([2, 16, 3, 16], dtype, act, [layout] * 3, clamp=clamp).check(emulator, wide=True)
        assert all(kernel.startswith(name) and kernel.endswith("index64>") for kernel in used)


@drawn
@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 4, 5, 8, 16, 17]), min_size=1, max_size=4).filter(lambda s: np.prod(s) < 5000),
    axis=st.integers(0, 3),
    dtype=st.sampled_from(list(ROUNDING)),
    act=st.sampled_from(list(ACTIVATIONS)),
    layouts=st.one_of(st.sampled_from(LAYOUTS).map(lambda one: (one,) * 3), st.tuples(*[st.sampled_from(LAYOUTS)] * 3)),
    bias=st.booleans(),
    alpha=st.sampled_from([0.2, 0.0, 1.7, -0.3]),
    gain=st.sampled_from([1.0, np.sqrt(2), 0.4, -1.5]),
    clamp=st.sampled_from([None, 0.5, 256.0]),
    backward=st.booleans(),
    wide=st.sampled_from([None, True]),
)
def test_any_shape_layout_and_parameters_give_the_definition(
    emulator, shape, axis, dtype, act, layouts, bias, alpha, gain, clamp, backward, wide
):
    dim = axis % len(shape) - (len(shape) if axis % 2 else 0)
    Case(shape, dtype, act, layouts, dim, bias, alpha, gain, clamp).check(emulator, backward, wide)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_large_inputs_give_finite_results(emulator, act, dtype):
    case = Case([4, 64], dtype, act, bias=False, size=3000.0)
    case.x[0, :4] = torch.tensor([1e4, -1e4, 88.8, -88.8]).to(dtype)
    case.dy.clamp_(-1, 1), case.ddx.clamp_(-1, 1)
    case.check(emulator)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("layout", ["contiguous", "sliced"])
def test_nan_stays_nan(emulator, act, clamp, layout):
    case = Case([3, 8], torch.float32, act, [layout] * 3, clamp=clamp)
    case.x[1, 2] = torch.nan
    case.dy[2, 3] = torch.nan
    (forward, results), (first, slopes), *_ = case.launches()
    emulator.run(forward)
    assert torch.isnan(results["y"]).nonzero().tolist() == [[1, 2]]
    emulator.run(first)
    flat = clamp is not None and float(results["y"][2, 3].abs()) >= clamp
    assert bool(torch.isnan(slopes["dx"][2, 3])) != flat


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_no_gradient_passes_where_the_stored_result_is_the_limit(emulator, act, dtype):
    limit = 0.7  # no number of the narrow types
    case = Case([4, 64], dtype, act, clamp=limit)
    case.dy, case.ddx = torch.ones_like(case.dy), torch.ones_like(case.ddx)
    results = {}
    for launch, some in case.launches():
        emulator.run(launch)
        results |= some
    at_limit = results["y"].abs() >= torch.tensor(limit, dtype=torch.float64).to(dtype)
    assert 10 < int(at_limit.sum()) < 200
    assert torch.equal(results["dx"] == 0, at_limit)
    assert torch.equal(results["ddy"] == 0, at_limit)
    if act == "swish":
        assert bool((results["dref"][at_limit] == 0).all())


def test_five_axes_work_where_they_merge_to_four(emulator):
    x = values([2, 3, 2, 5, 4], torch.float32).permute(0, 1, 3, 4, 2)[:, :, :, 1:]
    b, y = values([3], torch.float32), torch.full([2, 3, 5, 3, 2], torch.nan)
    emulator.run(bias_act_launch(x, b, y, 1, "linear", 0.0, 1.0, None))
    assert torch.equal(y, x + b[:, None, None, None])
    x = values([4, 4, 4, 4, 4], torch.float32)[::2, ::2, ::2, ::2, ::2]
    with pytest.raises(NotImplementedError, match="dense only"):
        bias_act_launch(x, None, torch.empty_like(x), 1, "linear", 0.0, 1.0, None)


def test_what_linear_keeps_is_not_read(emulator):
    dy = values([3, 8], torch.float32)
    dx = torch.empty_like(dy)
    emulator.run(bias_act_grad_launch(dy, None, None, dx, 1, "linear", 0.0, -2.0, None))
    assert torch.equal(dx, -2 * dy)


def test_a_tensor_without_axes_works(emulator):
    x = torch.tensor(-2.0)
    y = torch.empty_like(x)
    emulator.run(bias_act_launch(x, None, y, 1, "lrelu", 0.5, 3.0, None))
    assert float(y) == -3


def test_piecewise_linear_activations_have_no_second_derivative():
    x = torch.ones(3, 4)
    with pytest.raises(ValueError, match="curvature"):
        bias_act_grad2_launch(x, x, x, None, x, x, 1, "relu", 0.0, 1.0, None)


def test_tensors_of_different_types_are_refused():
    x, b = torch.ones(3, 4), torch.ones(4)
    with pytest.raises(TypeError, match="type of x"):
        bias_act_launch(x, b.double(), x, 1, "relu", 0.0, 1.0, None)
    with pytest.raises(TypeError, match="all tensors"):
        bias_act_launch(x, b, x.half(), 1, "relu", 0.0, 1.0, None)
    with pytest.raises(TypeError, match="float16, bfloat16, float32, float64"):
        bias_act_launch(x.int(), None, x.int(), 1, "relu", 0.0, 1.0, None)


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_division_by_multiplication_is_exact(divisor, i):
    number, packed = _divisor(divisor)
    multiplier, shift = int(packed) & 0xFFFFFFFF, int(packed) >> 32
    for value in (i, i // divisor * divisor, max(i // divisor * divisor - 1, 0), 2**31 - 1):
        assert value * multiplier >> shift == value // divisor
        assert value * multiplier < 2**64
    assert number == divisor


def test_more_than_two_to_the_31_elements_take_64_bit_indices():
    for rows, index in ((2**15 - 1, "index32"), (2**15, "index64")):
        shape, strides = (rows, 2**16), (2**16, 1)
        kernel, grid, block, _ = _plan(0, "relu", torch.float16, shape, (strides, None, None, strides, None), 0, None, True, None)
        assert kernel == f"bias_act<float16, 1, 0, {index}>"
        assert 0 <= grid[0] * block[0] * UNROLL[0] * 8 - rows * 2**16 < block[0] * UNROLL[0] * 8


def test_every_variant_has_been_run(emulator):
    """Stands last: the tests above are to reach each kernel."""
    assert {v for v in variants() if v[0] == "bias_act.cu"} <= emulator.used

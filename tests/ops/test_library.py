"""The operators `torch.ops.sgtool`: registration, gradients, strides, compilers. A CPU runs them in plain PyTorch; on a GPU,
tests/gpu does the same with the kernels."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import forward_ad
from torch.library import opcheck
from torch.utils._python_dispatch import BaseTorchDispatchMode

from sgtool.networks import build_discriminator, build_generator
from sgtool.ops import ACTIVATIONS, bias_act, choice, library, plain, setup_filter, upfirdn2d

OPS = torch.ops.sgtool
SETTINGS = ({}, {"clamp": 0.5}, {"gain": -2.0}, {"alpha": 0.7, "clamp": 0.9}, {"alpha": -0.7, "clamp": 0.2})
FILTERS = {"[4, 4]": setup_filter([1, 3, 3, 1]), "[3]": setup_filter([1, 2, -0.5], separable=True), "[2, 5]": torch.rand(2, 5)}
FACTORS = (((2, 2), (1, 1), (2, 1, 2, 1)), ((1, 1), (2, 2), (1, 1, 1, 1)), ((1, 3), (2, 1), (4, -1, 3, 2)))


@pytest.fixture
def operators(monkeypatch):
    """Have `impl="auto"` use the operators on a CPU too."""
    monkeypatch.setattr(choice, "KERNEL_DEVICES", ("cuda", "cpu"))


@pytest.fixture
def direct(operators, monkeypatch):
    """Take the way past the dispatcher, which belongs to a GPU, with launches that are plain PyTorch on a CPU."""
    launches = []

    monkeypatch.setattr(library, "_are_eager", lambda tensors: True)
    monkeypatch.setattr(library, "_launch", run_in_plain_pytorch(launches))
    monkeypatch.setattr(library.kernels, "upfirdn2d_launch", plan_for_two_axes(launches))
    monkeypatch.setattr(library.cuda, "run", lambda launch, device: plain.upfirdn2d(**launch))
    return launches


def run_in_plain_pytorch(launches):
    """In the place of `_launch`: the definition, written into the tensors of the results."""

    def launch(plan, *arguments, like):
        name = plan.__name__.removesuffix("_launch")
        launches.append(name)
        tensors, settings = list(arguments[:-5]), arguments[-5:]
        if name == "bias_act":
            x, b, *results = tensors
            values = [plain.bias_act(x, b, *settings)]
        elif name == "bias_act_grad":
            dy, ref, b, *results = tensors
            values = [plain.bias_act_grad(dy, ref, b, *settings)]
        else:
            ddx, dy, ref, b, *results = tensors
            values = plain.bias_act_grad2(ddx, dy, ref, b, *settings)
        assert all(result.stride() == like.stride() for result in results)
        for result, value in zip(results, values, strict=True):
            result.copy_(value)

    return launch


def plan_for_two_axes(launches):
    """In the place of `upfirdn2d_launch`: takes filters with two axes only."""

    def plan(x, f, y, up, down, padding, flip_filter, gain):
        launches.append(f"upfirdn2d {f.ndim}")
        keys = ("x", "f", "up", "down", "padding", "flip_filter", "gain", "y")
        return None if f.ndim == 1 else dict(zip(keys, (x, f, up, down, padding, flip_filter, gain, y), strict=True))

    return plan


def pictures(layout="contiguous", dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, dtype=dtype)
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        return torch.randn(3, 2, 5, 8, dtype=dtype).transpose(0, 1)[:, :, :, ::2]
    return torch.randn(2, 3, 5, 1, dtype=dtype).expand(2, 3, 5, 4) if layout == "expanded" else x


LAYOUTS = ("contiguous", "channels_last", "strided", "expanded")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_bias_act_and_its_derivatives_pass_opcheck(act, layout):
    x = pictures(layout).float().detach()
    b = torch.randn(3)
    dy = pictures("expanded").float()
    for settings in ((0.2, 1.4, 0.5), (0.2, 1.4, None)):
        opcheck(OPS.bias_act, (x.clone().requires_grad_(), b.clone().requires_grad_(), 1, act, *settings))
        opcheck(OPS.bias_act, (x, None, 1, act, *settings))
        opcheck(OPS.bias_act_grad, (dy.clone().requires_grad_(), x.clone().requires_grad_(), None, 1, act, *settings))
    if act == "swish":
        opcheck(OPS.bias_act_grad, (dy.clone().requires_grad_(), x, b.clone().requires_grad_(), 1, act, 0.0, 1.0, None))
        opcheck(OPS.bias_act_grad2, (x, dy, x, b, 1, act, 0.0, 1.0, None))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("f", FILTERS.values(), ids=FILTERS)
def test_upfirdn2d_passes_opcheck(f, layout):
    x = pictures(layout).float().detach()
    for up, down, padding in FACTORS:
        opcheck(OPS.upfirdn2d, (x.clone().requires_grad_(), f, up, down, padding, True, 1.5))


@pytest.mark.parametrize("way", ["operators", "direct"])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_values_and_derivatives_equal_those_of_the_definition(act, way, request):
    request.getfixturevalue(way)
    for settings in SETTINGS:
        for bias in (True, False):
            results = [derivatives(lambda x, b, i=impl, s=settings: bias_act(x, b, act=act, impl=i, **s), bias)
                       for impl in ("auto", "reference")]  # fmt: skip
            for value, expected in zip(*results, strict=True):
                torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def derivatives(op, bias):
    """Value, first and second derivatives of an op of x and b, along fixed directions."""
    x, v = pictures("channels_last").requires_grad_(), pictures()
    b = torch.randn(3, dtype=torch.float64).requires_grad_() if bias else None
    inputs = [x, b] if bias else [x]
    y = op(x, b)
    dy = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape).requires_grad_()
    first = torch.autograd.grad(y, inputs, dy, create_graph=True)
    second = torch.autograd.grad((first[0] * v).sum(), [*inputs, dy], allow_unused=True)
    zeros = [torch.zeros_like(t) for t in [*inputs, dy]]
    return [y, *first, *(zero if d is None else d for d, zero in zip(second, zeros, strict=True))]


@pytest.mark.parametrize("way", ["operators", "direct"])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_gradients_of_bias_act_are_right(act, way, request):
    request.getfixturevalue(way)
    b = torch.randn(3, dtype=torch.float64, requires_grad=True)
    for layout in ("channels_last", "strided"):
        inputs = (pictures(layout).requires_grad_(), b)
        op = lambda x, b: bias_act(x, b, act=act, alpha=0.3, gain=1.7, clamp=1.1)  # noqa: E731
        assert torch.autograd.gradcheck(op, inputs)
        assert torch.autograd.gradgradcheck(op, inputs)


@pytest.mark.parametrize("way", ["operators", "direct"])
@pytest.mark.parametrize("f", FILTERS.values(), ids=FILTERS)
def test_values_and_gradients_of_upfirdn2d_are_right(f, way, request):
    request.getfixturevalue(way)
    for up, down, padding in FACTORS:
        for layout in ("channels_last", "strided"):
            x = pictures(layout).requires_grad_()
            settings = {"up": up, "down": down, "padding": padding, "flip_filter": up == (1, 1), "gain": 1.5}
            op = lambda x, s=settings, impl="auto": upfirdn2d(x, f, impl=impl, **s)  # noqa: E731
            torch.testing.assert_close(op(x), op(x, impl="reference"))
            assert torch.autograd.gradcheck(op, (x,))
            assert torch.autograd.gradgradcheck(op, (x,))


def test_the_direct_way_launches_one_kernel_for_each_op_and_derivative(direct):
    x, f = pictures().requires_grad_(), FILTERS["[4, 4]"]
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(bias_act(x, b, act="swish").sum(), x, create_graph=True)
    dx.sum().backward()
    assert direct == ["bias_act", "bias_act_grad", "bias_act_grad2"]
    direct.clear()
    with torch.no_grad():
        bias_act(x, b, act="lrelu")
    upfirdn2d(x, f, padding=2).sum().backward()
    assert direct == ["bias_act", "upfirdn2d 2", "upfirdn2d 2"]
    direct.clear()
    bias_act(x, b, gain=2.0).sum().backward()  # a plain factor: no kernel of ours for the gradient
    assert direct == ["bias_act"]


def test_a_filter_with_one_axis_takes_two_launches_where_no_kernel_does_both_axes(direct):
    upfirdn2d(pictures(), FILTERS["[3]"])
    assert direct == ["upfirdn2d 1", "upfirdn2d 2", "upfirdn2d 2"]


@pytest.mark.parametrize("way", ["operators", "direct"])
def test_the_result_keeps_the_memory_format(way, request):
    request.getfixturevalue(way)
    f = FILTERS["[4, 4]"]
    for layout in ("contiguous", "channels_last"):
        x = pictures(layout)
        expected = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        assert bias_act(x).stride() == x.stride()
        assert upfirdn2d(x, f, up=2, padding=2).is_contiguous(memory_format=expected)
    assert upfirdn2d(pictures("strided"), f, padding=2).is_contiguous()


@pytest.mark.parametrize("way", ["operators", "direct"])
@pytest.mark.parametrize(("act", "clamp", "kept"), [("linear", None, False), ("lrelu", None, False), ("lrelu", 1.0, False),
                                                    ("relu", None, False), ("swish", None, True)])  # fmt: skip
def test_a_piecewise_linear_activation_does_not_keep_its_input(act, clamp, kept, way, request):
    request.getfixturevalue(way)
    x = pictures().requires_grad_() * 1
    alive = weakref.ref(x)
    y = bias_act(x, act=act, clamp=clamp)
    del x
    gc.collect()
    assert (alive() is not None) == kept
    y.sum().backward()


@pytest.mark.parametrize("way", ["operators", "direct"])
def test_a_third_derivative_is_refused_in_words(way, request):
    request.getfixturevalue(way)
    x = pictures().requires_grad_()
    value = bias_act(x, act="tanh").sum()
    for _ in range(2):
        value = torch.autograd.grad(value, x, create_graph=True)[0].sum()
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad(value, x)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own use, of forward mode; until it needs none
@pytest.mark.parametrize("way", ["operators", "direct"])
@pytest.mark.parametrize("trained", [True, False])
def test_a_forward_mode_derivative_is_refused_and_not_zero(trained, way, request):
    request.getfixturevalue(way)
    for op in (bias_act, lambda x, **more: upfirdn2d(x, FILTERS["[4, 4]"], padding=2, **more)):
        with forward_ad.dual_level():
            x = forward_ad.make_dual(pictures().requires_grad_(trained), torch.ones(2, 3, 5, 4, dtype=torch.float64))
            with pytest.raises(NotImplementedError, match='impl="reference" has'):
                op(x)
            assert forward_ad.unpack_dual(op(x, impl="reference")).tangent is not None
            op(x.detach())
        with pytest.raises(NotImplementedError, match='impl="reference" has'):
            torch.func.jvp(op, (pictures(),), (pictures(),))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # old, but still used; until it is gone
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # shapes are checked in Python, and become constants
def test_what_pytorch_records_or_rewrites_does_not_pass_it_by(operators):
    seen = []

    def look(x):
        seen.append(library._is_watched())
        return x + 1

    x = torch.ones(2, 3, 4, 4)
    look(x)
    torch.jit.trace(look, x, check_trace=False)
    torch.vmap(look)(x)
    with BaseTorchDispatchMode():
        look(x)
    assert seen == [False, True, True, True]
    traced = torch.jit.trace(lambda x: upfirdn2d(bias_act(x, act="lrelu"), FILTERS["[4, 4]"], padding=2), x)
    assert "sgtool::bias_act" in str(traced.graph)
    assert "sgtool::upfirdn2d" in str(traced.graph)


def test_the_direct_way_is_for_plain_tensors_on_a_gpu(monkeypatch):
    monkeypatch.setattr(library, "PLAIN_TYPES", (SimpleNamespace,))
    plainly = SimpleNamespace(is_cuda=True, is_neg=lambda: False)
    negated = SimpleNamespace(is_cuda=True, is_neg=lambda: True)  # memory holds the numbers with the other sign
    assert library._are_eager([plainly, plainly])
    assert not library._are_eager([plainly, negated])
    assert not library._are_eager([SimpleNamespace(is_cuda=False, is_neg=lambda: False)])
    assert not library._are_eager([plainly, torch.ones(1)])  # of another type: a stand-in, a subclass


def test_a_view_that_is_still_to_be_negated_is_negated(operators):
    x = pictures()
    assert torch.equal(bias_act(torch._neg_view(x)), -x)
    f = FILTERS["[4, 4]"]
    torch.testing.assert_close(upfirdn2d(torch._neg_view(x), f, padding=2), upfirdn2d(-x, f, padding=2))


@pytest.mark.parametrize("way", ["operators", "direct"])
def test_empty_tensors_keep_shape_and_type(way, request):
    launches = request.getfixturevalue(way)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.ones(0, 3, 4, 6, dtype=dtype, requires_grad=True)
        y = upfirdn2d(bias_act(x, torch.ones(3), act="swish", clamp=1), FILTERS["[4, 4]"], up=2, padding=[2, 1, 2, 1])
        assert y.shape == (0, 3, 8, 12)
        assert y.dtype == dtype
        (dx,) = torch.autograd.grad(y.sum(), x)
        assert dx.shape == x.shape
    assert not launches


def test_more_than_four_axes_are_copied_where_a_kernel_wants_them_dense(monkeypatch):
    planned = []

    def bias_act_launch(x, b, y, *settings):
        planned.append((x, y))
        if x.stride() != y.stride():
            raise NotImplementedError("dense only")

    monkeypatch.setattr(library.cuda, "run", lambda launch, device: None)
    x = torch.rand(2, 3, 2, 3, 2, 4)[..., ::2]
    y = torch.empty_like(x)
    library._launch(bias_act_launch, x, None, y, 1, "linear", 0.0, 1.0, None, like=y)
    assert planned[0][0] is x
    copy, result = planned[1]
    assert result is y
    assert torch.equal(copy, x)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    widths = {"channel_base": 64, "channel_max": 8, "num_fp16_res": 0, "conv_clamp": 256}
    size = {"img_resolution": 8, "img_channels": 3, "c_dim": 0}
    G = build_generator(z_dim=4, w_dim=4, **size, mapping_kwargs={"num_layers": 1}, synthesis_kwargs=widths)
    return G, build_discriminator(**size, **widths)


@pytest.mark.parametrize("way", ["operators", "plain"])
def test_a_block_and_the_discriminator_compile_into_one_graph(networks, way, request):
    if way == "operators":
        request.getfixturevalue("operators")
    G, D = networks
    torch._dynamo.reset()
    block, x = G.synthesis.b8, torch.randn(2, 8, 4, 4, requires_grad=True)
    ws, img = torch.randn(3, 2, 4, requires_grad=True), torch.randn(2, 3, 4, 4, requires_grad=True)
    picture = torch.randn(4, 3, 8, 8, requires_grad=True)

    def synthesize(compute):
        x_out, img_out = compute(x, img, ws, noise_mode="const")
        return [x_out, img_out, *torch.autograd.grad(img_out.square().sum() + x_out.sum(), [x, img, ws, *block.parameters()])]

    def discriminate(compute):
        logits = compute(picture, None)
        return [logits, *torch.autograd.grad(logits.square().sum(), [picture, *D.parameters()])]

    for network, run in ((block, synthesize), (D, discriminate)):
        graphs = []

        def backend(graph, inputs, graphs=graphs):
            graphs.append(str(graph.graph))
            return torch._dynamo.backends.debugging.aot_eager(graph, inputs)

        compiled = run(torch.compile(network, fullgraph=True, backend=backend))
        for value, expected in zip(compiled, run(network), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
        assert len(graphs) == 1
        assert ("sgtool.bias_act" in graphs[0]) == ("sgtool.upfirdn2d" in graphs[0]) == (way == "operators")

"""bias_act and upfirdn2d as operators of PyTorch (`torch.ops.sgtool`), so that compilers, exporters and graphs see through them.

Each has a schema, an implementation for CUDA (the kernels) and one for the CPU (plain.py), a rule for shapes, types and strides,
and a gradient, which is again made of these operators and can be differentiated once more. In eager mode on a GPU
the functions below leave PyTorch's dispatcher out, which saves about 20 microseconds a call (measured on a CPU: 27 against 7).
"""

import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from sgtool.ops import cuda, kernels, plain
from sgtool.ops.kernels.bias_act import PIECEWISE_LINEAR
from sgtool.ops.shapes import adjoint_padding, resampled_shape

LIBRARY = torch.library.Library("sgtool", "DEF")
# The rules below repeat the strides that they see, so a compiler must hand over the tensors as they were when it asked.
TAGS = (torch.Tag.pt2_compliant_tag, getattr(torch.Tag, "needs_exact_strides", torch.Tag.needs_fixed_stride_order))
PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)


def _define(name, schema, on_cuda, on_cpu, fake, keep, backward):
    """Register an operator; return the function to call.

    Args:
        schema: arguments and result in PyTorch's notation.
        on_cuda, on_cpu, fake: implementations, and the rule for the result, of the same arguments.
        keep: `(ctx, inputs, output)`, what is to be kept for `backward`.
        backward: `(ctx, *gradients of the results) -> gradients of the inputs`.
    """
    LIBRARY.define(name + schema, tags=TAGS)
    LIBRARY.impl(name, on_cuda, "CUDA")
    LIBRARY.impl(name, on_cpu, "CPU")
    torch.library.register_fake(f"sgtool::{name}", fake, lib=LIBRARY)
    torch.library.register_autograd(f"sgtool::{name}", backward, setup_context=keep, lib=LIBRARY)
    operator = getattr(torch.ops.sgtool, name).default

    class Direct(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            output = on_cuda(*inputs)
            keep(ctx, inputs, output)
            return output

    Direct.backward = staticmethod(backward)

    def call(*inputs):
        if torch.compiler.is_compiling():
            return operator(*inputs)
        tensors = [t for t in inputs if isinstance(t, torch.Tensor)]
        _refuse_forward_mode(tensors)
        if not _are_eager(tensors):
            return operator(*inputs)
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            return Direct.apply(*inputs)
        return on_cuda(*inputs)

    return call


def _are_eager(tensors):
    """True if tensors are on a GPU and nothing else: not stand-ins, not views that are still to be negated, not watched."""
    return all(t.is_cuda and type(t) in PLAIN_TYPES and not t.is_neg() for t in tensors) and not _is_watched()


def _is_watched():
    """True while PyTorch records or rewrites what passes its dispatcher: past it, a launch would be left out unseen."""
    return is_in_torch_dispatch_mode() or torch._C._get_tracing_state() is not None or torch._C._are_functorch_transforms_active()


def _refuse_forward_mode(tensors):
    """PyTorch takes the forward-mode derivative of an operator that has a rule for the backward pass alone for zero."""
    if forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in tensors):
        raise NotImplementedError('the CUDA kernels have no derivatives in forward mode; impl="reference" has')


def _launch(plan, *arguments, like):
    """Launch what `plan` says for the arguments, of which `like` is the result, or has the result's strides.

    Tensors of more than four axes that are not dense are copied first: the kernels do not read those.
    """
    try:
        launch = plan(*arguments)
    except NotImplementedError:
        launch = plan(*(_with_strides_of(like, a) for a in arguments))
    cuda.run(launch, like.device)


def _with_strides_of(like, argument):
    if not isinstance(argument, torch.Tensor) or argument.shape != like.shape or argument.stride() == like.stride():
        return argument
    return torch.empty_like(like).copy_(argument)


# bias_act


def _bias_act_on_cuda(x, b, dim, act, alpha, gain, clamp):
    y = torch.empty_like(x)
    if y.numel():
        _launch(kernels.bias_act_launch, x, b, y, dim, act, alpha, gain, clamp, like=y)
    return y


def _bias_act_keep(ctx, inputs, output):
    x, b, *ctx.arguments = inputs
    _, act, alpha, gain, clamp = ctx.arguments
    if act == "linear" and clamp is None:
        return  # the slope is `gain` everywhere
    ctx.save_for_backward(*([output, None] if kernels.saves_output(act, alpha, gain) else [x, b]))


def _bias_act_backward(ctx, dy):
    dim, act, alpha, gain, clamp = ctx.arguments
    if act == "linear" and clamp is None:
        dx = dy if gain == 1 else dy * gain
    else:
        ref, b = ctx.saved_tensors
        ref = ref.detach() if kernels.saves_output(act, alpha, gain) else ref
        dx = bias_act_grad(dy, ref, b, dim, act, alpha, gain, clamp)
    db = _over_other_axes(dx, dim) if ctx.needs_input_grad[1] else None
    return dx, db, None, None, None, None, None


def _over_other_axes(t, dim):
    """Sum over all axes but one."""
    return t.sum([axis for axis in range(t.ndim) if axis != dim]) if t.ndim > 1 else t


BIAS_ACT = "int dim, str act, float alpha, float gain, float? clamp"
_bias_act = _define(
    "bias_act",
    f"(Tensor x, Tensor? b, {BIAS_ACT}) -> Tensor",
    on_cuda=_bias_act_on_cuda,
    on_cpu=plain.bias_act,
    fake=lambda x, b, *others: torch.empty_like(x),
    keep=_bias_act_keep,
    backward=_bias_act_backward,
)


def bias_act(x, b, dim, act, alpha, gain, clamp):
    """Return clip(gain * act(x + b), -clamp, clamp), with the strides of `torch.empty_like(x)`.

    Args:
        x: tensor of any shape and strides, on a GPU (a CPU runs the definition); float16, bfloat16, float32 or float64.
        b: `[x.shape[dim]]` of the type of `x`, or None.
        dim: 0 or more.
        act: a name in `ACTIVATIONS`.
        alpha, gain: floats.
        clamp: float, or None.
    Returns:
        A new tensor. Can be differentiated twice with respect to `x` and `b`.
    """
    return _bias_act(x, b, dim, act, alpha, gain, clamp)


# Its first derivative. `ref` is the result of bias_act where `saves_output`, else its input.


def _bias_act_grad_on_cuda(dy, ref, b, dim, act, alpha, gain, clamp):
    dx = torch.empty_like(ref)
    if dx.numel():
        _launch(kernels.bias_act_grad_launch, dy, ref, b, dx, dim, act, alpha, gain, clamp, like=dx)
    return dx


def _bias_act_grad_keep(ctx, inputs, output):
    dy, ref, b, *ctx.arguments = inputs
    ctx.save_for_backward(None if ctx.arguments[1] in PIECEWISE_LINEAR else dy, ref, b)


def _bias_act_grad_backward(ctx, ddx):
    dy, ref, b = ctx.saved_tensors
    if dy is None:  # no curvature
        return bias_act_grad(ddx, ref, b, *ctx.arguments), None, None, None, None, None, None, None
    ddy, dref = bias_act_grad2(ddx, dy, ref, b, *ctx.arguments)
    db = _over_other_axes(dref, ctx.arguments[0]) if ctx.needs_input_grad[2] else None
    return ddy, dref, db, None, None, None, None, None


bias_act_grad = _define(
    "bias_act_grad",
    f"(Tensor dy, Tensor ref, Tensor? b, {BIAS_ACT}) -> Tensor",
    on_cuda=_bias_act_grad_on_cuda,
    on_cpu=plain.bias_act_grad,
    fake=lambda dy, ref, *others: torch.empty_like(ref),
    keep=_bias_act_grad_keep,
    backward=_bias_act_grad_backward,
)


# Its second derivative, of activations that have one: what goes to dy, and what goes to x + b.


def _bias_act_grad2_on_cuda(ddx, dy, ref, b, dim, act, alpha, gain, clamp):
    ddy, dref = torch.empty_like(ref), torch.empty_like(ref)
    if ddy.numel():
        _launch(kernels.bias_act_grad2_launch, ddx, dy, ref, b, ddy, dref, dim, act, alpha, gain, clamp, like=ddy)
    return ddy, dref


def _bias_act_grad2_backward(ctx, *gradients):
    raise RuntimeError("bias_act's kernels can be differentiated twice, not three times")


bias_act_grad2 = _define(
    "bias_act_grad2",
    f"(Tensor ddx, Tensor dy, Tensor ref, Tensor? b, {BIAS_ACT}) -> (Tensor, Tensor)",
    on_cuda=_bias_act_grad2_on_cuda,
    on_cpu=plain.bias_act_grad2,
    fake=lambda ddx, dy, ref, *others: (torch.empty_like(ref), torch.empty_like(ref)),
    keep=lambda ctx, inputs, output: None,
    backward=_bias_act_grad2_backward,
)


# upfirdn2d


def _empty_result(x, f, up, down, padding):
    """A tensor for the result: channels-last if `x` is dense in that order (and in no other), else contiguous."""
    shape = resampled_shape(x.shape, (f.shape[-1], f.shape[0]), up, down, padding)
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.empty(
        shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last if last else torch.contiguous_format
    )


def _upfirdn2d_on_cuda(x, f, up, down, padding, flip_filter, gain):
    y = _empty_result(x, f, up, down, padding)
    if y.numel() == 0 or x.numel() == 0:
        return y.zero_()
    up, down, padding = tuple(up), tuple(down), tuple(padding)
    launch = kernels.upfirdn2d_launch(x, f, y, up, down, padding, flip_filter, gain)
    if launch is None:
        return _along_each_axis(x, f, up, down, padding, flip_filter, gain)
    cuda.run(launch, x.device)
    return y


def _along_each_axis(x, f, up, down, padding, flip_filter, gain):
    """A filter with one axis that no kernel applies to both at once."""
    left, right, top, bottom = padding
    x = _upfirdn2d_on_cuda(x, f[None, :], (up[0], 1), (down[0], 1), (left, right, 0, 0), flip_filter, gain)
    return _upfirdn2d_on_cuda(x, f[:, None], (1, up[1]), (1, down[1]), (0, 0, top, bottom), flip_filter, 1.0)


def _upfirdn2d_on_cpu(x, f, up, down, padding, *others):
    return plain.upfirdn2d(x, f, up, down, padding, *others, y=_empty_result(x, f, up, down, padding))


def _upfirdn2d_keep(ctx, inputs, output):
    x, f, up, down, padding, flip_filter, gain = inputs
    taps = f.shape[-1], f.shape[0]
    ctx.save_for_backward(f)
    ctx.arguments = down, up, adjoint_padding(x.shape, output.shape, taps, up, down, padding), not flip_filter, gain


def _upfirdn2d_backward(ctx, dy):
    (f,) = ctx.saved_tensors
    return _upfirdn2d(dy, f, *ctx.arguments), None, None, None, None, None, None


_upfirdn2d = _define(
    "upfirdn2d",
    "(Tensor x, Tensor f, SymInt[] up, SymInt[] down, SymInt[] padding, bool flip_filter, float gain) -> Tensor",
    on_cuda=_upfirdn2d_on_cuda,
    on_cpu=_upfirdn2d_on_cpu,
    fake=lambda x, f, up, down, padding, *others: _empty_result(x, f, up, down, padding),
    keep=_upfirdn2d_keep,
    backward=_upfirdn2d_backward,
)


def upfirdn2d(x, f, up, down, padding, flip_filter, gain):
    """Pad, upsample, filter and downsample, as `sgtool.ops.upfirdn2d` defines it.

    Args:
        x: `[N, C, H, W]` of any strides, on a GPU (a CPU runs the definition); float16, bfloat16, float32 or float64.
        f: float32 `[height, width]`, or `[taps]` for both axes; float64 too if `x` is. On the device of `x`.
        up, down: (x, y).
        padding: (left, right, top, bottom).
        flip_filter: True = correlation.
        gain: float.
    Returns:
        `[N, C, H_out, W_out]`, channels-last if `x` is, else contiguous. Can be differentiated any number of times.
    """
    return _upfirdn2d(x, f, up, down, padding, flip_filter, gain)

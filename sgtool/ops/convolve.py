"""Plain convolution whose second derivatives are computed as fast as its first.

PyTorch's own gradient of a convolution's gradient reaches the weights by a convolution with a kernel the size of the
picture, which no library is made for. Here it is what the first gradient of the weights is: one more call of the same
backward pass. R1 and path length regularization go through it.
"""

import torch
import torch.nn.functional as F
from torch.autograd import Function

from sgtool.ops.bias_act import clamp_, through_activation

ONE_PASS_TYPES = (torch.float32, torch.bfloat16)  # in which oneDNN convolves and activates at once


def convolve(x, w, b=None, stride=1, padding=(0, 0), transposed=False, groups=1):
    """Correlate pictures with a kernel, or apply the adjoint of that.

    Args:
        x: `[N, in_channels, H, W]`.
        w: `[out_channels, in_channels / groups, kernel_height, kernel_width]`; transposed: `[in_channels, out_channels /
            groups, ...]`.
        b: `[out_channels]` or None, added to the result.
        stride: whole number >= 1, along both axes.
        padding: (y, x) zeros on both sides; transposed: rows and columns cut off on both sides.
        transposed: True = the adjoint.
        groups: groups of channels that are convolved apart.
    Returns:
        `[N, out_channels, H_out, W_out]`. Can be differentiated any number of times.
    """
    if torch.compiler.is_compiling():  # a compiler finds the gradients by itself
        return torch.convolution(x, w, b, [stride] * 2, list(padding), [1, 1], transposed, [0, 0], groups)
    if torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type):
        x, w, b = (_as_autocast_does(t) for t in (x, w, b))
    w = w.view_as(w) if w.is_leaf and w.requires_grad else w  # PyTorch does not tell whether a leaf's gradient is asked for
    return _Convolution.apply(x, w, b, (stride, padding, transposed, (0, 0), groups))


def convolve_and_activate(x, w, b, stride, padding, slope, clamp):
    """Convolve, add a bias, apply a leaky ReLU of slope `slope`, and clamp, in one pass over the result where oneDNN can.

    On a CPU only; not transposed, one group.

    Args:
        x, w, b, stride, padding: as in `convolve`.
        slope: below zero, >= 0; 1 = no activation.
        clamp: limit of the magnitude, None = none.
    Returns:
        `[N, out_channels, H_out, W_out]`. Can be differentiated twice.
    """
    w = w.view_as(w) if w.is_leaf and w.requires_grad else w
    return _ActivatedConvolution.apply(x, w, b, slope, clamp, (stride, padding, False, (0, 0), 1))


def _as_autocast_does(t):
    """The type in which torch.autocast convolves. Inside of `_Convolution` the backward pass would not know of the cast."""
    full = t is None or t.dtype == torch.float64
    return t if full else t.to(torch.get_autocast_dtype(t.device.type))


class _Convolution(Function):
    """Linear in `x` and in `w`; its adjoint in `x` is itself with `transposed` turned around."""

    @staticmethod
    def forward(ctx, x, w, b, arguments):
        stride, padding, transposed, more, groups = arguments
        ctx.save_for_backward(x, w)
        ctx.arguments = arguments
        x = x.contiguous(memory_format=torch.channels_last)
        return torch.convolution(x, w, b, [stride] * 2, padding, [1, 1], transposed, more, groups)

    @staticmethod
    def backward(ctx, dy):
        return *_backward(ctx, dy, *ctx.saved_tensors), None


class _ActivatedConvolution(Function):
    """The activation's gradient needs the result only."""

    @staticmethod
    def forward(ctx, x, w, b, slope, clamp, arguments):
        stride, padding, *_ = arguments
        channels_last = x.contiguous(memory_format=torch.channels_last)
        if slope != 1 and x.dtype in ONE_PASS_TYPES and torch.backends.mkldnn.is_available():
            y = torch.ops.mkldnn._convolution_pointwise.default(
                channels_last, w, b, padding, [stride] * 2, [1, 1], 1, "leaky_relu", [slope], ""
            )
        else:
            y = torch.convolution(channels_last, w, b, [stride] * 2, padding, [1, 1], False, [0, 0], 1)
            y = F.leaky_relu_(y, slope) if slope != 1 else y
        ctx.slope, ctx.clamp, ctx.arguments = slope, clamp_(y, clamp), arguments
        ctx.save_for_backward(x, w, y if ctx.clamp is not None or slope != 1 else None)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, y = ctx.saved_tensors
        dy = through_activation(dy, y, ctx.slope, ctx.clamp)
        return *_backward(ctx, dy, x, w), None, None, None


def _backward(ctx, dy, x, w):
    """(dx, dw, db) of a convolution, None where nobody asks; differentiable if that is asked for."""
    wanted = [_wanted(ctx, i) for i in range(3)]
    if not torch.is_grad_enabled():
        return _gradients(dy, x, w, ctx.arguments, wanted)
    dx = _Convolution.apply(dy, w, None, _adjoint(ctx.arguments, x, dy, w)) if wanted[0] else None
    dw = _WeightGradient.apply(dy, x, w.detach(), ctx.arguments) if wanted[1] else None
    return dx, dw, dy.sum([0, 2, 3]) if wanted[2] else None


class _WeightGradient(Function):
    """The gradient of a convolution's weights: linear in the gradient `dy` of its result, and in its input `x`."""

    @staticmethod
    def forward(ctx, dy, x, w, arguments):
        ctx.save_for_backward(dy, x)
        ctx.arguments = arguments
        return _gradients(dy, x, w, arguments, (False, True, False))[1]

    @staticmethod
    def backward(ctx, ddw):
        dy, x = ctx.saved_tensors
        ddy = _Convolution.apply(x, ddw, None, ctx.arguments) if _wanted(ctx, 0) else None
        dx = _Convolution.apply(dy, ddw, None, _adjoint(ctx.arguments, x, dy, ddw)) if _wanted(ctx, 1) else None
        return ddy, dx, None, None


def _gradients(dy, x, w, arguments, wanted):
    """(dx, dw, db), None where not wanted."""
    stride, padding, transposed, more, groups = arguments
    out_channels = [dy.shape[1]]
    dy, x = (t.contiguous(memory_format=torch.channels_last) for t in (dy, x))
    return torch.ops.aten.convolution_backward.default(
        dy, x, w, out_channels, [stride] * 2, padding, [1, 1], transposed, more, groups, list(wanted)
    )


def _adjoint(arguments, x, y, w):
    """Arguments of the convolution that leads from something like `y` back to something like `x`."""
    stride, padding, transposed, _, groups = arguments
    if transposed:
        return stride, padding, False, (0, 0), groups
    more = tuple(x.shape[i] - ((y.shape[i] - 1) * stride - 2 * padding[i - 2] + w.shape[i]) for i in (2, 3))
    return stride, padding, True, more, groups


def _wanted(ctx, i):
    """Whether this backward pass has a use for the gradient of input `i`: R1 and path length leave the weights' out."""
    if not ctx.needs_input_grad[i]:
        return False
    node = ctx.next_functions[i][0]
    if node is None or node.name() == "torch::autograd::AccumulateGrad":
        return True
    return torch._C._will_engine_execute_node(node)

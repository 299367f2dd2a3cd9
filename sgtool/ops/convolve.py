"""Plain convolution whose second derivatives are computed as fast as its first.

PyTorch's own gradient of a convolution's gradient reaches the weights by a convolution with a kernel the size of the
picture, which no library is made for. Here it is what the first gradient of the weights is: one more call of the same
backward pass. R1 and path length regularization go through it.
"""

import torch
from torch.autograd import Function


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
    return _Convolution.apply(x, w, b, (stride, padding, transposed, (0, 0), groups))


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
        x, w = ctx.saved_tensors
        wanted = [_wanted(ctx, i) for i in range(3)]
        if not torch.is_grad_enabled():
            return *_gradients(dy, x, w, ctx.arguments, wanted), None
        dx = _Convolution.apply(dy, w, None, _adjoint(ctx.arguments, x, dy, w)) if wanted[0] else None
        dw = _WeightGradient.apply(dy, x, w.detach(), ctx.arguments) if wanted[1] else None
        return dx, dw, dy.sum([0, 2, 3]) if wanted[2] else None, None


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

"""Bias, activation, gain and clamp in one step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sgtool.ops import library
from sgtool.ops.choice import choose
from sgtool.ops.kernels.bias_act import PIECEWISE_LINEAR


@dataclass(frozen=True)
class Activation:
    """One row of the table of activations."""

    function: Callable  # (x, alpha) -> same shape
    alpha: float = 0.0  # default slope; only lrelu has one
    gain: float = 1.0  # default gain, which keeps the variance of a unit Gaussian input near 1


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), alpha=0.2, gain=math.sqrt(2)),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: x * torch.sigmoid(x), gain=math.sqrt(2)),
}


def bias_act(x, b=None, dim=1, act="linear", alpha=None, gain=None, clamp=None, impl="auto", overwrite=False):
    """Add a bias, apply an activation, scale, and clamp: clip(gain * act(x + b), -clamp, clamp).

    StyleGAN2-ADA (Karras et al. 2020), appendix D; the gains are those of He initialization.

    Args:
        x: tensor of any shape and floating type.
        b: `[x.shape[dim]]`, added along `dim`; None = no bias.
        dim: the axis of `x` that `b` belongs to; negative counts from the end.
        act: a name in `ACTIVATIONS`.
        alpha: slope for lrelu (default 0.2); other activations have none and ignore it.
        gain: factor after the activation; None = sqrt(2) for relu, lrelu and swish, else 1.
        clamp: limit of the magnitude, >= 0; None = no limit. Where it is active the gradient is zero.
        impl: "auto", "reference" or "cuda".
        overwrite: the result may take the place of `x`, which was just computed and which nothing else has a use for.
    Returns:
        A tensor of the shape and type of `x`. Can be differentiated twice with respect to `x` and `b`.
    Raises:
        ValueError: unknown `act` or `impl`, a bias of the wrong shape or on another device, or a negative clamp.
        RuntimeError, TypeError: impl is "cuda", and the kernels cannot run, or not on such a tensor.
    """
    if act not in ACTIVATIONS:
        raise ValueError(f"act must be one of {', '.join(ACTIVATIONS)}, not {act!r}")
    if clamp is not None and clamp < 0:
        raise ValueError(f"clamp must be 0 or more, not {clamp}")
    if b is not None and (b.ndim != 1 or not -x.ndim <= dim < x.ndim or b.shape[0] != x.shape[dim]):
        raise ValueError(f"the bias of shape {list(b.shape)} does not fit axis {dim} of x {list(x.shape)}")
    row = ACTIVATIONS[act]
    alpha = row.alpha if alpha is None else float(alpha)
    gain = row.gain if gain is None else float(gain)
    path = choose(impl, x, b)
    if path == "kernels":
        b = b if b is None else b.to(x.dtype)
        limit = clamp if clamp is None else float(clamp)
        return library.bias_act(x, b, dim % max(x.ndim, 1), act, alpha, gain, limit)
    if b is not None:
        b = b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    compiled = torch.compiler.is_compiling()  # a compiler makes the definition fast by itself
    if path == "reference" or compiled or act not in PIECEWISE_LINEAR or alpha < 0 or gain <= 0:
        return _reference(x, b, row.function, alpha, gain, clamp)
    return _PiecewiseLinear.apply(x, b, slope_of(act, alpha), gain, clamp, overwrite)


def slope_of(act, alpha):
    """Return the slope below zero of an activation in `PIECEWISE_LINEAR`; above, it is 1."""
    return {"linear": 1.0, "relu": 0.0, "lrelu": alpha}[act]


def _reference(x, b, function, alpha, gain, clamp):
    """The definition."""
    y = function(x if b is None else x + b, alpha) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


class _PiecewiseLinear(torch.autograd.Function):
    """linear, relu and lrelu with at most one new tensor; the backward pass needs the result only, not the input."""

    @staticmethod
    def forward(ctx, x, b, slope, gain, clamp, overwrite):
        if overwrite:
            ctx.mark_dirty(x)
            y = x if b is None else x.add_(b)
        else:
            y = x.clone() if b is None else x + b
        if slope != 1:
            F.leaky_relu_(y, slope)
        if gain != 1:
            y.mul_(gain)
        ctx.slope, ctx.gain, ctx.clamp = slope, gain, clamp_(y, clamp)
        ctx.bias_shape = None if b is None else b.shape
        ctx.save_for_backward(y if ctx.clamp is not None or slope != 1 else None)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        dx = through_activation(dy, y, ctx.slope, ctx.clamp)
        if ctx.gain != 1:
            dx = dx * ctx.gain
        db = dx.sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[1] else None
        return dx, db, None, None, None, None


def through_activation(dy, y, slope, clamp):
    """Take the gradient `dy` of the result `y` of a leaky ReLU back to its input. `y` may be None if it is not needed."""
    dx = dy
    if clamp is not None:
        dx = dx.masked_fill(y.detach().abs() >= clamp, 0)
    if slope != 1:
        dx = torch.ops.aten.leaky_relu_backward(dx, y.detach(), slope, True)  # piecewise linear: no curvature
    return dx


def clamp_(y, limit):
    """Clamp in place. Returns `limit` if it can be felt, None if all values lie below it or there is none."""
    if limit is None or _stays_below(y, limit):
        return None
    y.clamp_(-limit, limit)
    return limit


ROW = 4096  # values whose length bounds each of them


def _stays_below(y, limit):
    """True if all |y| < limit is easily seen. On a GPU the answer would stall the queue, so there it is always False.

    The length of a vector bounds each of its elements, and is found at the speed of memory; their extremes are not.
    """
    last = y.ndim == 4 and y.is_contiguous(memory_format=torch.channels_last)
    if y.device.type != "cpu" or not (last or y.is_contiguous()):
        return False
    if y.numel() == 0:
        return True
    flat = y.as_strided([y.numel()], [1])  # y is dense
    if y.numel() % ROW == 0 and bool(torch.linalg.vector_norm(flat.view(-1, ROW), dim=1).max() < 0.99 * limit):
        return True
    low, high = torch.aminmax(flat)
    return bool(low > -limit and high < limit)  # NaN does not

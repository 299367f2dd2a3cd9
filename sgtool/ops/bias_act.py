"""Bias, activation, gain and clamp in one step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from sgtool.ops.choice import uses_reference


@dataclass(frozen=True)
class Activation:
    """One row of the table of activations."""

    function: Callable  # (x, alpha) -> same shape
    alpha: float = 0.0  # default slope; only lrelu has one
    gain: float = 1.0  # default gain, which keeps the variance of a unit Gaussian input near 1


ACTIVATIONS = {
    "linear": Activation(lambda x, alpha: x),
    "relu": Activation(lambda x, alpha: F.relu(x), gain=np.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), alpha=0.2, gain=np.sqrt(2)),
    "tanh": Activation(lambda x, alpha: torch.tanh(x)),
    "sigmoid": Activation(lambda x, alpha: torch.sigmoid(x)),
    "elu": Activation(lambda x, alpha: F.elu(x)),
    "selu": Activation(lambda x, alpha: F.selu(x)),
    "softplus": Activation(lambda x, alpha: F.softplus(x)),
    "swish": Activation(lambda x, alpha: x * torch.sigmoid(x), gain=np.sqrt(2)),
}

PIECEWISE_LINEAR = ("linear", "relu", "lrelu")


def bias_act(x, b=None, dim=1, act="linear", alpha=None, gain=None, clamp=None, impl="auto"):
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
    Returns:
        A tensor of the shape and type of `x`. Can be differentiated twice with respect to `x` and `b`.
    Raises:
        ValueError: unknown `act` or `impl`, a bias of the wrong shape or type, or a negative clamp.
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
    reference = uses_reference(impl)
    if b is not None:
        b = b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    if reference or act not in PIECEWISE_LINEAR or alpha < 0 or gain <= 0:
        return _reference(x, b, row.function, alpha, gain, clamp)
    slope = {"linear": 1.0, "relu": 0.0, "lrelu": alpha}[act]
    return _PiecewiseLinear.apply(x, b, slope, gain, clamp)


def _reference(x, b, function, alpha, gain, clamp):
    """The definition."""
    y = function(x if b is None else x + b, alpha) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


class _PiecewiseLinear(torch.autograd.Function):
    """linear, relu and lrelu with one new tensor forward; the backward pass needs the result only, not the input."""

    @staticmethod
    def forward(ctx, x, b, slope, gain, clamp):
        y = x.clone() if b is None else x + b
        if slope != 1:
            F.leaky_relu_(y, slope)
        if gain != 1:
            y.mul_(gain)
        clamped = clamp is not None and _exceeds(y, clamp)
        if clamped:
            y.clamp_(-clamp, clamp)
        ctx.slope, ctx.gain = slope, gain
        ctx.clamp = clamp if clamped else None
        ctx.bias_shape = None if b is None else b.shape
        ctx.save_for_backward(y if clamped or slope != 1 else None)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        dx = dy
        if y is not None:
            y = y.detach()  # piecewise linear: no curvature
        if ctx.clamp is not None:
            dx = dx.masked_fill(y.abs() >= ctx.clamp, 0)
        if ctx.slope != 1:
            dx = torch.ops.aten.leaky_relu_backward(dx, y, ctx.slope, True)
        if ctx.gain != 1:
            dx = dx * ctx.gain
        db = dx.sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[1] else None
        return dx, db, None, None, None


def _exceeds(y, limit):
    """True if some |y| >= limit. On a GPU the answer would stall the queue, so there it is always True."""
    if y.device.type != "cpu":
        return True
    if y.numel() == 0:
        return False
    low, high = torch.aminmax(y.as_strided([y.numel()], [1]))  # y is dense, in whatever order of axes
    return not (low > -limit and high < limit)  # NaN counts as exceeding

"""The ops of library.py in plain PyTorch, from their definitions: what they do to tensors on a CPU.

They have no gradients of their own; library.py gives them. The definitions are imported when they are called, because
their own modules import library.py.
"""

import torch

from sgtool.ops.kernels import saves_output

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017


def bias_act(x, b, dim, act, alpha, gain, clamp):
    """Return clip(gain * act(x + b)) with the strides of `empty_like(x)`; arguments as in library.py."""
    from sgtool.ops.bias_act import bias_act as definition

    return torch.empty_like(x).copy_(definition(_accurate(x), b, dim, act, alpha, gain, clamp, impl="reference"))


def bias_act_grad(dy, ref, b, dim, act, alpha, gain, clamp):
    """Return dx = dy * slope, with the strides of `empty_like(ref)`."""
    slope, _ = _slope_and_curvature(ref, b, dim, act, alpha, gain, clamp)
    return torch.empty_like(ref).copy_(dy * slope)


def bias_act_grad2(ddx, dy, ref, b, dim, act, alpha, gain, clamp):
    """Return ddy = ddx * slope and dref = ddx * dy * curvature, with the strides of `empty_like(ref)`."""
    slope, curvature = _slope_and_curvature(ref, b, dim, act, alpha, gain, clamp)
    return torch.empty_like(ref).copy_(ddx * slope), torch.empty_like(ref).copy_(ddx * (dy * curvature))


def _slope_and_curvature(ref, b, dim, act, alpha, gain, clamp):
    """First and second derivative of clip(gain * act(u)), in at least float32. `ref` is the result where `saves_output`."""
    from sgtool.ops.bias_act import ACTIVATIONS

    u = _accurate(ref)
    if saves_output(act, alpha, gain):
        y = u  # has the sign of u, and that is all the slope depends on
    else:
        if b is not None:
            u = u + b.to(u.dtype).reshape([-1 if i == dim else 1 for i in range(u.ndim)])
        y = gain * ACTIVATIONS[act].function(u, alpha)
    slope, curvature = DERIVATIVES[act](u, alpha)
    inside = 1 if clamp is None else (y.abs() < torch.tensor(clamp, dtype=ref.dtype)).to(u.dtype)
    return gain * slope * inside, gain * curvature * inside


def _accurate(x):
    """`x` in the type that the kernels compute in: at least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _linear(u, alpha):
    return torch.ones_like(u), torch.zeros_like(u)


def _relu(u, alpha):
    return (u > 0).to(u.dtype), torch.zeros_like(u)


def _lrelu(u, alpha):
    return torch.where(u > 0, u.new_ones(()), u.new_tensor(alpha)), torch.zeros_like(u)


def _tanh(u, alpha):
    t = torch.tanh(u)
    return 1 - t * t, -2 * t * (1 - t * t)


def _sigmoid(u, alpha):
    s = torch.sigmoid(u)
    return s * (1 - s), s * (1 - s) * (1 - 2 * s)


def _elu(u, alpha):
    e = torch.exp(u.clamp(max=0))
    return torch.where(u > 0, 1.0, e), torch.where(u > 0, 0.0, e)


def _selu(u, alpha):
    e = SELU_ALPHA * torch.exp(u.clamp(max=0))
    return SELU_SCALE * torch.where(u > 0, 1.0, e), SELU_SCALE * torch.where(u > 0, 0.0, e)


def _softplus(u, alpha):
    s = torch.sigmoid(u)
    return s, s * (1 - s)


def _swish(u, alpha):
    s = torch.sigmoid(u)
    return s + u * s * (1 - s), s * (1 - s) * (2 + u * (1 - 2 * s))


DERIVATIVES = {
    "linear": _linear,
    "relu": _relu,
    "lrelu": _lrelu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "elu": _elu,
    "selu": _selu,
    "softplus": _softplus,
    "swish": _swish,
}


def upfirdn2d(x, f, up, down, padding, flip_filter, gain, y):
    """Fill `y`, which has the right shape and strides, with the result; arguments as in library.py."""
    from sgtool.ops.upfirdn2d import upfirdn2d as definition

    return y.copy_(definition(_accurate(x), f, up, down, padding, flip_filter, gain, impl="reference"))

"""Which implementation of an op runs."""

import functools

import torch

from sgtool.ops import cuda
from sgtool.ops.cubins import say_once

IMPLEMENTATIONS = ("auto", "reference", "cuda")
KERNEL_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
KERNEL_DEVICES = ("cuda",)  # tests add "cpu": then the operators of library.py run there, in plain PyTorch


def choose(impl, x, *others):
    """Say how an op is to be computed: "reference", "plain" (PyTorch, arranged for speed) or "kernels".

    Args:
        impl: "auto", "reference" or "cuda".
        x: the tensor that decides.
        others: further tensors of the op, or None.
    Raises:
        ValueError: `impl` is no implementation's name, or the tensors are on different devices.
        RuntimeError: impl is "cuda", and `x` is not on a GPU or the kernels cannot run; it says what to install.
        TypeError: impl is "cuda", and there are no kernels for the type of `x`.
    """
    _check_name(impl)
    for other in others:
        if other is not None and other.device != x.device:
            raise ValueError(f"the tensors are on two devices, {x.device} and {other.device}; move one of them")
    if impl == "reference":
        return "reference"
    device, has_type = x.device, x.dtype in KERNEL_TYPES
    if impl == "cuda":
        _insist(device.index if device.type == "cuda" else None)
        if device.type != "cuda":
            raise RuntimeError(f'impl="cuda": the tensor is on {device}, and the kernels run on a GPU; move it there')
        if not has_type:
            names = ", ".join(map(_name, KERNEL_TYPES))
            raise TypeError(f'impl="cuda": the kernels take {names}, not {_name(x.dtype)}')
        return "kernels"
    return "kernels" if has_type and device.type in KERNEL_DEVICES and _ready(device.type, device.index) else "plain"


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def _check_name(impl):
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {', '.join(IMPLEMENTATIONS)}, not {impl!r}")


def _as_constant(function):
    """Have torch.compile call a function while it traces, and keep the answer.

    torch.compiler.assume_constant_result sets the same mark, but imports the compiler, which takes a second.
    """
    function._dynamo_marked_constant = True
    return function


@_as_constant
def _ready(device_type, index):
    """True if the operators of library.py can run on a device."""
    return device_type != "cuda" or _kernels_ready(index)


@functools.cache
def _kernels_ready(index):
    """True if the kernels can run on a GPU; if they cannot, say once why, unless the user switched them off."""
    reason = cuda.unavailable(index)
    if reason and cuda.SWITCH not in reason:
        say_once(f"plain PyTorch takes the place of the CUDA kernels, and is slower. {reason}")
    return reason is None


@_as_constant
def _insist(index):
    reason = cuda.unavailable(index)
    if reason:
        raise RuntimeError(f'impl="cuda": no CUDA kernels can run here. {reason}')

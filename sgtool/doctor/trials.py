"""Ops as the doctor tries them: how far the result is from the definition, and how long it takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sgtool.ops import bias_act, setup_filter, upfirdn2d

CLAMP = 256.0  # what networks in half precision use
BLUR = (1, 3, 3, 1)  # what StyleGAN2's networks use


@dataclass(frozen=True)
class Trial:
    """An op at work on pictures.

    make: `(impl, x, dy) -> function without arguments` that gives the result; `dy` is a gradient of the shape of `x`.
    passes: how often as many bytes as `x` has are read.
    small: `x` has half the size, because the result has double.
    """

    name: str
    make: Callable
    passes: int = 1
    small: bool = False

    def pictures(self, n, channels, size, dtype, device):
        """Return (x, dy): `[n, channels, size, size]`, or half the size, channels-last as in the networks; the same each time."""
        side = size // 2 if self.small else size
        generator = torch.Generator(device=device).manual_seed(0)
        shape, settings = (n, side, side, channels), {"generator": generator, "dtype": dtype, "device": device}
        return tuple(torch.randn(shape, **settings).permute(0, 3, 1, 2) for _ in range(2))


def _biases(x):
    return torch.linspace(-1, 1, x.shape[1], device=x.device).to(torch.float16).to(x.dtype)


def _forward(impl, x, dy):
    b = _biases(x)
    return lambda: bias_act(x, b, act="lrelu", clamp=CLAMP, impl=impl)


def _backward(impl, x, dy):
    x = x.detach().requires_grad_(True)
    y = bias_act(x, _biases(x), act="lrelu", clamp=CLAMP, impl=impl)
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)[0]


def _up(impl, x, dy):
    f = setup_filter(BLUR, device=x.device)
    return lambda: upfirdn2d(x, f, up=2, padding=[2, 1, 2, 1], gain=4, impl=impl)


def _down(impl, x, dy):
    f = setup_filter(BLUR, device=x.device)
    return lambda: upfirdn2d(x, f, down=2, padding=1, impl=impl)


TRIALS = (
    Trial("bias_act", _forward),
    Trial("bias_act backward", _backward, passes=2),
    Trial("upfirdn2d up 2", _up, small=True),
    Trial("upfirdn2d down 2", _down),
)


def error_of(trial, result, x, dy):
    """Return the largest difference from the definition in float64, over the definition's largest magnitude.

    The first and the last picture are compared: both ends of the memory that was written.
    """
    worst = 0.0
    for part in {0, len(x) - 1}:
        of_part = [t[part : part + 1].double() for t in (x, dy)]
        exact = trial.make("reference", *of_part)()
        difference = (result[part : part + 1].double() - exact).abs().max() / exact.abs().max()
        worst = max(worst, difference.item()) if worst == worst and not difference.isnan() else float("nan")
    return worst


def bytes_moved(trial, x, result):
    """Return the bytes of inputs and result, each counted once."""
    return trial.passes * x.numel() * x.element_size() + result.numel() * result.element_size()


def seconds_of(call, device, rounds=5, at_least=0.01):
    """Return the seconds of one call: the shortest of some rounds, each of enough calls to take `at_least` seconds."""
    call()  # compiles what is compiled
    calls = 1
    while (took := _time(call, calls, device)) < at_least and calls < 1000:
        calls = min(max(2 * calls, int(1.2 * calls * at_least / max(took, 1e-6))), 1000)
    return min(_time(call, calls, device) for _ in range(rounds)) / calls


def _time(call, calls, device):
    _wait(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(numbers, device):
    """Return GB/s of copying some float32 numbers on a device, reading and writing counted."""
    source = torch.zeros(numbers, device=device)
    target = torch.empty_like(source)
    return 8 * numbers / seconds_of(lambda: target.copy_(source), device) / 1e9

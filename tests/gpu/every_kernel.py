"""One small launch of every kernel in sgtool.ops.kernels.variants(), with what it should compute.

python tests/gpu/every_kernel.py              launch all; compute-sanitizer looks on (see benchmarks/gpu_check.py)
python tests/gpu/every_kernel.py upfirdn2d    only kernels whose names contain this

What is not in the cache is compiled one after the other; test_every_kernel.py does it on all cores.
"""

import concurrent.futures
import multiprocessing
import os
import sys
from dataclasses import dataclass

import torch

from sgtool.ops import ACTIVATIONS, PIECEWISE_LINEAR, cubins, cuda, kernels, plain, upfirdn2d
from sgtool.ops.kernels import Launch
from sgtool.ops.kernels.bias_act import _launch as plan_bias_act
from sgtool.ops.kernels.launch import TYPES
from sgtool.ops.kernels.upfirdn2d import CASES, SPECIAL_TYPES
from sgtool.ops.shapes import resampled_shape

BIAS_ACT = {"alpha": 0.3, "gain": 1.3, "clamp": 1.125}  # a number of every type


@dataclass
class Case:
    """A launch, the tensors it fills, and their exact values in float64."""

    launch: Launch
    results: list
    exact: list
    jumps: torch.Tensor | None = None  # True where a rounding decides which side of a jump an element is on


def cases(device):
    """Yield a `Case` for each variant."""
    yield from _bias_act_cases(device)
    yield from _upfirdn2d_cases(device)


def _random(shape, dtype, seed):
    """Numbers that float16 and bfloat16 hold, so that every type sees the same."""
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return numbers.to(torch.bfloat16).to(dtype)


def _bias_act_cases(device):
    for dtype in TYPES:
        for act in ACTIVATIONS:
            for order in range(2 if act in PIECEWISE_LINEAR else 3):
                for dense in (True, False):
                    for wide in (False, True):
                        yield _bias_act_case(device, dtype, act, order, dense, wide)


def _bias_act_case(device, dtype, act, order, dense, wide):
    settings = (1, act, BIAS_ACT["alpha"], BIAS_ACT["gain"], BIAS_ACT["clamp"])
    x, dy, ddx = (_random([3, 5, 4, 12], dtype, seed) for seed in range(3))
    b = _random([5], dtype, 3)
    if not dense:
        x, dy = _random([3, 5, 4, 24], dtype, 0)[:, :, :, ::2], _random([3, 5, 12, 4], dtype, 1).transpose(2, 3)
        ddx = _random([3, 1, 4, 12], dtype, 2).expand(3, 5, 4, 12)
    saved = kernels.saves_output(act, *settings[2:4])
    ref = plain.bias_act(x.double(), b.double(), *settings).to(dtype) if saved else x
    if order == 0:
        inputs, exact = (x, None, None), [plain.bias_act(x.double(), b.double(), *settings)]
    elif order == 1:
        inputs, exact = (dy, ref, None), [plain.bias_act_grad(dy.double(), ref.double(), b.double(), *settings)]
    else:
        inputs = (ddx, ref, dy)
        exact = plain.bias_act_grad2(ddx.double(), dy.double(), ref.double(), b.double(), *settings)
    inputs = [None if t is None else _to(device, t) for t in inputs]
    results = [torch.empty(e.shape, dtype=dtype, device=device) for e in exact]
    outputs = (*results, None)[:2]
    launch = plan_bias_act(order, inputs, outputs, b.to(device), *settings, wide=wide)
    free = plain.bias_act(x.double(), b.double(), *settings[:-1], None).abs()
    near = (free - settings[-1]).abs() <= 4 * torch.finfo(dtype).eps * settings[-1]
    return Case(launch, results, list(exact), near if order else None)


def _to(device, t):
    """Copy to a device with the same strides: the memory is copied, and looked at in the same way."""
    size = 1 + sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
    memory = t.as_strided([size], [1]).to(device)
    return memory.as_strided(t.shape, t.stride(), 0)


def _upfirdn2d_cases(device):
    for dtype in SPECIAL_TYPES:
        for case in CASES.values():
            f = _random(case.taps[::-1], torch.float32, 5)
            yield _upfirdn2d_case(device, dtype, f, case.up, case.down, channels_last=True)
            yield _upfirdn2d_case(device, dtype, f, case.up, case.down, channels_last=False)
            if case.taps == (12, 12):
                yield _upfirdn2d_case(device, dtype, f[0], case.up, case.down, channels_last=False)
    for dtype, f_type in [*((dtype, torch.float32) for dtype in TYPES), (torch.float64, torch.float64)]:
        for channels_last in (False, True):
            yield _upfirdn2d_case(device, dtype, _random([3, 2], f_type, 5), (3, 2), (2, 3), channels_last)


def _upfirdn2d_case(device, dtype, f, up, down, channels_last):
    x = _random([2, 8, 21, 19], dtype, 4)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    taps = f.shape[-1], f.shape[0]
    padding = (taps[0] // 2, taps[0] - 1, taps[1] - 1, taps[1] // 2)
    shape = resampled_shape(x.shape, taps, up, down, padding)
    last = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.empty(shape, dtype=dtype, device=device, memory_format=last)
    exact = upfirdn2d(x.double(), f.double(), up, down, padding, True, 1.5, impl="reference")
    launch = kernels.upfirdn2d_launch(_to(device, x), f.to(device), y, up, down, padding, True, 1.5)
    return Case(launch, [y], [exact])


def compile_all(arch):
    """Fill the cache with every variant, on all cores."""
    context = multiprocessing.get_context("spawn")
    sources, names = zip(*kernels.variants(), strict=True)
    with concurrent.futures.ProcessPoolExecutor(min(os.cpu_count(), 16), mp_context=context) as pool:
        list(pool.map(cubins.load_or_compile, sources, names, [arch] * len(names), chunksize=8))


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    device = torch.device("cuda", 0)
    launched = set()
    for case in cases(device):
        if part in case.launch.kernel:
            cuda.run(case.launch, device)
            launched.add(case.launch.kernel)
    torch.cuda.synchronize()
    wanted = {name for _, name in kernels.variants() if part in name}
    print(f"{len(launched)} of {len(wanted)} kernels launched")
    sys.exit(launched != wanted)


if __name__ == "__main__":
    main()

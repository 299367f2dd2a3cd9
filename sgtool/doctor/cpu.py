"""The CPU: the ops beside their definitions, and convolutions, in a second or two."""

import torch
import torch.nn.functional as F

from sgtool.doctor.rows import Row
from sgtool.doctor.trials import TRIALS, error_of, seconds_of

CPU = torch.device("cpu")
TOLERANCE = 1e-5  # relative to the largest magnitude
SHAPE = (4, 32, 64)  # pictures, channels, size: what a network at 64 pixels computes
FAST_ENOUGH = 0.5  # of the definition's speed; a busy machine makes single measurements worse
CONVOLUTION = (8, 64, 64)
TYPES = (torch.float32, torch.bfloat16)
REINSTALL = "pip install --force-reinstall torch"


def ops(shape=SHAPE):
    """A row: the largest error of any op in float32, and how many times as fast as their definitions they are."""
    details = {}
    for trial in TRIALS:
        x, dy = trial.pictures(*shape, torch.float32, CPU)
        call = trial.make("auto", x, dy)
        error = error_of(trial, call(), x, dy)
        definition = seconds_of(trial.make("reference", x, dy), CPU, rounds=3)
        details[trial.name] = {"error": error, "faster": definition / seconds_of(call, CPU, rounds=3)}
    return judged(details)


def judged(details):
    """Return the row of {op: {"error": ..., "faster": ...}}."""
    name, values = "CPU ops", details.values()
    wrong = [op for op, value in details.items() if not value["error"] <= TOLERANCE]
    slow = [op for op, value in details.items() if value["faster"] < FAST_ENOUGH]
    worst, speeds = max((value["error"] for value in values), key=_nan_last), [value["faster"] for value in values]
    found = f"error {worst:.1e}, {min(speeds):.1f} to {max(speeds):.1f} times as fast as the definitions"
    if wrong:
        remedy = f"PyTorch gives wrong numbers on this CPU ({', '.join(wrong)}); run: {REINSTALL}"
        return Row(name, found, "broken", remedy, details)
    if slow:
        remedy = f"{', '.join(slow)}: slower than the plain definition; end what else keeps the cores busy and run: sgtool doctor"
        return Row(name, found, "slow", remedy, details)
    return Row(name, found, details=details)


def _nan_last(number):
    return number != number, number


def convolution(shape=CONVOLUTION):
    """A row: GFLOP/s of a 3x3 convolution in float32 and bfloat16, a multiplication and an addition counted as two."""
    n, channels, size = shape
    operations = 2 * 9 * n * channels * channels * size * size
    rates = {}
    for dtype in TYPES:
        x = torch.randn(n, size, size, channels).to(dtype).permute(0, 3, 1, 2)
        w = torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
        rates[str(dtype).removeprefix("torch.")] = operations / _seconds(x, w) / 1e9
    found = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items())
    return Row("CPU convolution", f"{found} (3x3, {channels} channels)", details={"gflop_per_s": rates})


def _seconds(x, w):
    with torch.no_grad():
        return seconds_of(lambda: F.conv2d(x, w, padding=1), CPU, rounds=3)

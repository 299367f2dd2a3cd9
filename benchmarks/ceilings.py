"""What the machine can do at most: copying, and multiplying. Measured in the run whose figures are held against it."""

import functools

import measure
import torch
import torch.nn.functional as F

COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30, "mps": 1 << 28}  # read and as many written; beyond the usual caches
SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # of square matrices
PICTURES = {
    "cpu": (8, 256, 32),
    "cuda": (64, 512, 64),
    "mps": (32, 256, 64),
}  # N, channels, height and width of a 3x3 convolution


def copy_gb_per_s(device, rounds=7):
    """Return GB/s of copying, bytes read and bytes written counted: the best of some rounds."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.zeros_like(source)
    seconds = measure.seconds_of({"copy": lambda: target.copy_(source)}, rounds, device=device)["copy"]
    return 2 * 4 * source.numel() / min(seconds) / 1e9


def copying(total_bytes, device):
    """Return a callable that copies so that `total_bytes` are read and written together, and how many bytes that really is."""
    source = torch.ones(max(total_bytes // 8, 1), device=device)
    target = torch.zeros_like(source)
    return (lambda: target.copy_(source)), 8 * source.numel()


@torch.no_grad()
def gflop_per_s(device, dtype, rounds=7):
    """Return GFLOP/s of the better of a matrix product and a 3x3 convolution: the best of some rounds.

    A multiplication and an addition count as two. Both are of the size and layout that suit the library best, so a network's own
    layers cannot be expected to reach it.
    """
    work = {"matrix product": _matrices(device, dtype), "convolution": _convolution(device, dtype)}
    times = measure.seconds_of({name: call for name, (call, _) in work.items()}, rounds, warm_up=2, device=device)
    return max(operations / min(times[name]) for name, (_, operations) in work.items()) / 1e9


def _matrices(device, dtype):
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return functools.partial(torch.mm, a, b), 2 * side**3


def _convolution(device, dtype):
    n, channels, size = PICTURES[device.type]
    x = torch.randn(n, size, size, channels, device=device).to(dtype).permute(0, 3, 1, 2)
    w = torch.randn(channels, channels, 3, 3, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    return functools.partial(F.conv2d, x, w, padding=1), 2 * 9 * n * (channels * size) ** 2


class Ceilings:
    """GFLOP/s by type on one device: the best that was seen, however often it was measured.

    Attributes:
        gflop_per_s: {dtype: GFLOP/s}.
    """

    def __init__(self, device):
        self.device, self.gflop_per_s = device, {}

    def measure(self, dtypes):
        """Measure (again) for some types."""
        for dtype in dtypes:
            self.gflop_per_s[dtype] = max(gflop_per_s(self.device, dtype), self.gflop_per_s.get(dtype, 0))

    def floor(self, operations):
        """Return the fewest seconds that {dtype: operations} can take."""
        return sum(count / (1e9 * self.gflop_per_s[dtype]) for dtype, count in operations.items())

    def in_words(self):
        """Return "110 GFLOP/s float32, ..."."""
        return ", ".join(f"{rate:.0f} GFLOP/s {name}" for name, rate in self.by_name().items())

    def by_name(self):
        """Return {"float32": GFLOP/s}."""
        return {str(dtype).removeprefix("torch."): rate for dtype, rate in self.gflop_per_s.items()}

"""Seconds from the first call of an op with kernels to its result, in this new process. benchmarks/ops.py starts it.

PyTorch and the GPU are ready before: what is counted is finding the compiler, compiling (or reading the cache), loading,
launching.
"""

import json

import measure
import torch

from sgtool.ops import bias_act, setup_filter, upsample2d


def main():
    device = torch.device("cuda")
    x, b = torch.randn(8, 64, 64, 64, device=device), torch.randn(64, device=device)
    f = setup_filter([1, 3, 3, 1], device=device)
    torch.relu(x + 1)  # so that PyTorch has loaded kernels of its own
    start = measure.now(device)
    bias_act(x, b, act="lrelu", impl="cuda")
    first = measure.now(device)
    upsample2d(x, f, impl="cuda")
    second = measure.now(device)
    print(json.dumps({"bias_act": first - start, "then upfirdn2d": second - first, "both": second - start}))


if __name__ == "__main__":
    main()

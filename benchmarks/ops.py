"""Each op's path for this device ("auto") beside its definition ("reference"), forward and backward, in the same run.

python benchmarks/ops.py
python benchmarks/ops.py --batch 8 --channels 128 --size 64
"""

import argparse
import statistics

import measure
import torch

from sgtool.ops import bias_act, conv2d_resample, modulated_conv2d, setup_filter, upfirdn2d


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--channels", type=int, default=64, help="in and out (default: %(default)s)")
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="of PyTorch (default: as it chooses)")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/ops-DATE.json")
    return parser.parse_args()


def cases(args):
    """{name: (call of `impl`, tensors to differentiate)}."""
    n, c, size = args.batch, args.channels, args.size
    torch.manual_seed(0)
    x = torch.randn(n, c, size, size).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    w3 = torch.randn(c, c, 3, 3, requires_grad=True)
    b, styles = torch.randn(c, requires_grad=True), torch.randn(n, c, requires_grad=True)
    f = setup_filter([1, 3, 3, 1])

    def modulated(**kwargs):
        return lambda impl: modulated_conv2d(x, w3, styles, padding=1, impl=impl, **kwargs)

    def convolution(**kwargs):
        return lambda impl: conv2d_resample(x, w3, padding=1, impl=impl, **kwargs)

    return {
        "bias_act lrelu": (lambda impl: bias_act(x, b, act="lrelu", impl=impl), [x, b]),
        "upfirdn2d blur": (lambda impl: upfirdn2d(x, f, padding=[2, 1, 2, 1], impl=impl), [x]),
        "upfirdn2d up 2": (lambda impl: upfirdn2d(x, f, up=2, padding=[2, 1, 2, 1], gain=4, impl=impl), [x]),
        "upfirdn2d down 2": (lambda impl: upfirdn2d(x, f, down=2, padding=1, impl=impl), [x]),
        "conv2d_resample": (convolution(), [x, w3]),
        "conv2d_resample up 2": (convolution(f=f, up=2), [x, w3]),
        "conv2d_resample down 2": (convolution(f=f, down=2), [x, w3]),
        "modulated_conv2d": (modulated(), [x, w3, styles]),
        "modulated_conv2d up 2": (modulated(up=2, resample_filter=f), [x, w3, styles]),
    }


def forward_and_backward(call, inputs, impl):
    return lambda: torch.autograd.grad(call(impl).sum(), inputs)


def main():
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    rows, results = [], {}
    for name, (call, inputs) in cases(args).items():
        variants = {impl: forward_and_backward(call, inputs, impl) for impl in ("auto", "reference")}
        times = measure.seconds_of(variants, args.rounds, warm_up=2)
        auto, reference = (1000 * statistics.median(times[impl]) for impl in ("auto", "reference"))
        gain = measure.ratio(times["reference"], times["auto"])
        rows.append((name, f"{auto:.2f}", f"{reference:.2f}", f"{gain:.1f}x"))
        results[name] = {"auto_ms": auto, "reference_ms": reference, "ratio": gain}
    print(f"forward and backward, [{args.batch}, {args.channels}, {args.size}, {args.size}] float32, channels-last")
    measure.print_table(["op", "auto ms", "reference ms", "faster"], rows)
    measure.report("ops", vars(args), results, args.json)


if __name__ == "__main__":
    main()

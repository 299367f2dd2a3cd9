"""The kernels among PyTorch's own things: operator checks, compiler, CUDA graphs, streams, threads, devices, start."""

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.library import opcheck

from sgtool.networks import build_discriminator, build_generator
from sgtool.ops import bias_act, setup_filter, upfirdn2d

OPS = torch.ops.sgtool
ROOT = Path(__file__).parents[2]


def picture(gpu, last=False, dtype=torch.float32, shape=(2, 8, 6, 5)):
    torch.manual_seed(0)
    x = torch.randn(shape, device=gpu, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last) if last else x


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_bias_act_passes_opcheck(act, last, gpu):
    x, b = picture(gpu, last), torch.randn(8, device=gpu)
    dy = torch.ones(1, device=gpu).expand_as(x)
    for clamp in (None, 0.5):
        opcheck(OPS.bias_act, (x.clone().requires_grad_(), b.clone().requires_grad_(), 1, act, 0.2, 1.4, clamp))
        opcheck(OPS.bias_act_grad, (dy.clone().requires_grad_(), x.clone().requires_grad_(), None, 1, act, 0.2, 1.4, clamp))
    if act == "swish":
        opcheck(OPS.bias_act_grad2, (x, dy, x, b, 1, act, 0.0, 1.4, None))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_upfirdn2d_passes_opcheck(separable, last, gpu):
    f = setup_filter([1, 3, 3, 1], separable=separable, device=gpu)
    for up, down in (((2, 2), (1, 1)), ((1, 1), (2, 2)), ((1, 3), (2, 1))):
        opcheck(OPS.upfirdn2d, (picture(gpu, last).requires_grad_(), f, up, down, (2, 1, 2, 1), False, 1.5))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_a_block_and_the_discriminator_compile_into_one_graph(half, gpu):
    torch.manual_seed(0)
    torch._dynamo.reset()
    widths = {"channel_base": 512, "channel_max": 32, "num_fp16_res": 2 if half else 0, "conv_clamp": 256}
    size = {"img_resolution": 16, "img_channels": 3, "c_dim": 0}
    G = build_generator(z_dim=8, w_dim=8, **size, mapping_kwargs={"num_layers": 1}, synthesis_kwargs=widths).to(gpu)
    D = build_discriminator(**size, **widths).to(gpu)
    block, ws = G.synthesis.b16, torch.randn(3, 2, 8, device=gpu)
    x, img = picture(gpu, shape=(2, 32, 8, 8)).requires_grad_(), picture(gpu, shape=(2, 3, 8, 8)).requires_grad_()
    large = picture(gpu, shape=(4, 3, 16, 16)).requires_grad_()

    def synthesize(compute):
        x_out, img_out = compute(x, img, ws, noise_mode="const")
        return [x_out, img_out, *torch.autograd.grad(img_out.square().sum() + x_out.sum(), [x, img, *block.parameters()])]

    def discriminate(compute):
        logits = compute(large, None)
        return [logits, *torch.autograd.grad(logits.square().sum(), [large, *D.parameters()])]

    for network, run in ((block, synthesize), (D, discriminate)):
        for value, expected in zip(run(torch.compile(network, fullgraph=True)), run(network), strict=True):
            assert (value - expected).norm() <= (0.03 if half else 2e-3) * expected.norm() + 1e-5


@pytest.mark.parametrize("first_use", [False, True], ids=["warm", "first use inside the capture"])
def test_a_cuda_graph_replays_the_kernels(first_use, gpu):
    act, dtype = ("elu", torch.float64) if first_use else ("lrelu", torch.float32)
    x, f = picture(gpu, dtype=dtype), setup_filter([1, 3, 3, 1], device=gpu)
    op = lambda: upfirdn2d(bias_act(x, act=act, gain=1.1, impl="cuda"), f, up=2, padding=[2, 1, 2, 1], impl="cuda")  # noqa: E731
    if not first_use:
        op()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = op()
    for seed in (1, 2):
        torch.manual_seed(seed)
        x.normal_()
        graph.replay()
        torch.testing.assert_close(y, op())


def test_a_trace_contains_the_kernels(gpu):
    f = setup_filter([1, 3, 3, 1], device=gpu)
    op = lambda x: upfirdn2d(bias_act(x, act="lrelu", impl="cuda"), f, up=2, padding=[2, 1, 2, 1], impl="cuda")  # noqa: E731
    traced = torch.jit.trace(op, picture(gpu))
    x = picture(gpu) - 1
    assert torch.equal(traced(x), op(x))
    assert torch.equal(torch.vmap(op)(x[None])[0], op(x))
    assert torch.equal(op(torch._neg_view(x)), op(-x))


def test_the_discriminator_learns_under_autocast(gpu):
    size = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 512, "channel_max": 32}
    D = build_discriminator(**size).to(gpu)
    x = picture(gpu, shape=(4, 3, 16, 16))
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cuda", torch.bfloat16, enabled=enabled):
            logits = D(x, None)
        gradients.append(torch.autograd.grad(logits.float().sum(), list(D.parameters())))
    for value, expected in zip(*gradients, strict=True):
        assert value.dtype == expected.dtype
        assert (value - expected).norm() <= 0.1 * expected.norm() + 1e-4


def test_a_launch_goes_to_the_current_stream(gpu):
    x, stream = torch.zeros(1 << 20, device=gpu), torch.cuda.Stream(gpu)
    bias_act(x, impl="cuda", dim=0)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # cycles: tens of milliseconds
        x.fill_(2.0)
        y = bias_act(x, impl="cuda", dim=0)  # on another stream it would read zeros
        assert not stream.query()  # and it did not wait
    stream.synchronize()
    assert bool((y == 2).all())


def test_a_new_thread_can_launch(gpu):
    x = picture(gpu)
    expected = bias_act(x, act="lrelu", impl="cuda")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = [pool.submit(bias_act, x, act="lrelu", impl="cuda") for _ in range(32)]
        for result in results:
            assert torch.equal(result.result(), expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_launch_goes_to_the_device_of_the_tensor():
    x = picture(torch.device("cuda", 1)).requires_grad_()
    with torch.cuda.device(0):
        y = bias_act(x, act="swish", impl="cuda")
        (dx,) = torch.autograd.grad(y.sum(), x)
        assert torch.cuda.current_device() == 0
    torch.testing.assert_close(y.cpu(), bias_act(x.cpu(), act="swish"))
    assert dx.device == x.device
    with pytest.raises(ValueError, match="two devices|cuda:1.*cuda:0"):
        bias_act(x, torch.ones(8, device="cuda:0"), impl="cuda")


START = """
import json, sys, time
import torch
from sgtool.ops import bias_act
x = torch.randn(8, 64, 64, 64, device="cuda")
torch.cuda.synchronize()
start = time.perf_counter()
y = bias_act(x, torch.ones(64, device="cuda"), act="lrelu", clamp=256, impl="cuda")
torch.cuda.synchronize()
first = time.perf_counter() - start
start = time.perf_counter()
for _ in range(1000):
    bias_act(x[:1, :1, :1, :1], impl="cuda")
torch.cuda.synchronize()
print(json.dumps({"first_s": first, "call_us": (time.perf_counter() - start) * 1000}))
"""


def test_the_first_result_comes_soon(gpu, tmp_path, capsys):
    environment = os.environ | {"SGTOOL_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = {}
    for cache in ("cold", "warm"):
        done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[cache] = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\nfirst result after torch and its context are there, and a call: {found}")
    assert found["cold"]["first_s"] < 2
    assert found["warm"]["first_s"] < 0.2
    assert found["warm"]["call_us"] < 60

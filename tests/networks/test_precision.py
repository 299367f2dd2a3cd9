"""Types of computation: what is said of them, and what they change."""

import pytest
import torch

from sgtool.networks import build_discriminator, build_generator, describe_precision, precision, set_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def generator(num_fp16_res=2):
    torch.manual_seed(0)
    synthesis = {"channel_base": 256, "channel_max": 16, "num_fp16_res": num_fp16_res, "conv_clamp": 256}
    return build_generator(z_dim=8, c_dim=0, w_dim=8, img_resolution=32, img_channels=3, synthesis_kwargs=synthesis)


@pytest.mark.parametrize(
    ("asked", "device", "words"),
    [
        ("auto", CPU, "float32"),
        ("fp32", CUDA, "float32"),
        ("auto", CUDA, "float16 from 16 to 32 pixels, else float32"),
        ("bf16", CUDA, "bfloat16 from 16 to 32 pixels, else float32"),
    ],
)
def test_the_type_is_told(asked, device, words):
    assert describe_precision(generator(), asked, device) == (words, [])


def test_d_is_described_like_g():
    D = build_discriminator(c_dim=0, img_resolution=16, img_channels=3, channel_base=64, num_fp16_res=1)
    assert describe_precision(D, "auto", CUDA) == ("float16 at 16 pixels, else float32", [])


def test_a_type_that_a_network_cannot_take_is_told():
    (warning,) = describe_precision(generator(num_fp16_res=0), "bf16", CPU)[1]
    assert warning.startswith("--precision bf16 has no effect")
    assert describe_precision(generator(num_fp16_res=0), "auto", CUDA) == ("float32", [])


def test_a_cpu_without_the_instructions_is_told(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False}, raising=False)
    (warning,) = describe_precision(generator(), "bf16", CPU)[1]
    assert warning == "this CPU has no instructions for bfloat16: --precision fp32 is faster here."
    assert describe_precision(generator(), "bf16", CUDA)[1] == []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert precision.has_hardware(torch.bfloat16)
    assert not precision.has_hardware(torch.float16)


@pytest.mark.parametrize("asked", ["bf16", "fp16"])
def test_half_precision_changes_a_picture_by_its_rounding_only(asked):
    G = generator().eval()
    z = torch.randn(4, 8)
    full = G(z, noise_mode="const")
    set_precision(G, asked)
    half = G(z, noise_mode="const")
    assert half.dtype == torch.float32
    difference = (half - full).abs().max() / full.abs().max()
    assert 0 < difference < {"bf16": 0.05, "fp16": 0.01}[asked]
    set_precision(G, "auto")
    assert torch.equal(G(z, noise_mode="const"), full)

import json
import subprocess
import sys

import pytest
import torch

from sgtool.networks import build_discriminator, build_generator

G_SIZES = {"z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3}
D_SIZES = {"c_dim": 0, "img_resolution": 16, "img_channels": 3, "channel_base": 64, "channel_max": 8}


def test_defaults_are_those_of_the_spelling():
    nested = build_generator(**G_SIZES, synthesis_kwargs={"channel_base": 64})
    flat = build_generator(**G_SIZES, channel_base=64)
    assert (nested.mapping.w_avg_beta, flat.mapping.w_avg_beta) == (0.995, 0.998)
    assert (nested.synthesis.b16.conv1.conv_clamp, flat.synthesis.b16.conv1.conv_clamp) == (None, 256)
    assert (nested.synthesis.b16.use_fp16, flat.synthesis.b16.use_fp16) == (False, True)
    assert (nested.mapping.num_layers, flat.mapping.num_layers) == (8, 8)


def test_init_kwargs_are_plain_and_make_the_same_network_again():
    torch.manual_seed(0)
    G = build_generator(
        **G_SIZES | {"img_resolution": (24, 16)}, channel_base=64, resample_filter=(1, 2, 1), fused_modconv_default=True
    )
    assert json.loads(json.dumps(G.init_kwargs)) == G.init_kwargs
    again = build_generator(**G.init_kwargs)
    again.load_state_dict(G.state_dict(), strict=True)
    z = torch.randn(2, 8)
    assert torch.equal(again(z, noise_mode="const"), G(z, noise_mode="const"))


def test_callers_keywords_stay_as_they_are():
    kwargs = G_SIZES | {"mapping_kwargs": {"num_layers": 2}, "channel_base": 64}
    before = json.dumps(kwargs)
    build_generator(**kwargs)
    assert json.dumps(kwargs) == before


@pytest.mark.parametrize(
    ("build", "kwargs", "message"),
    [
        (build_generator, G_SIZES | {"synthesis_kwargs": {"chanel_base": 64}}, "Generator: .*chanel_base"),
        (build_generator, G_SIZES | {"chanel_base": 64}, "Generator: .*chanel_base"),
        (build_generator, G_SIZES | {"mapping_kwargs": {"layers": 2}}, "Generator: .*layers"),
        (build_discriminator, D_SIZES | {"z_dim": 8}, "Discriminator: .*z_dim"),
        (build_discriminator, D_SIZES | {"epilogue_kwargs": {"mbstd": 4}}, "Discriminator: .*mbstd"),
        (build_discriminator, D_SIZES | {"block_kwargs": {"frozen": 4}}, "Discriminator: .*frozen"),
        (build_generator, G_SIZES | {"architecture": "dense"}, "architecture must be one of skip, resnet, orig, not 'dense'"),
        (build_discriminator, D_SIZES | {"architecture": None}, "architecture must be one of skip, resnet, orig, not None"),
        (
            build_generator,
            G_SIZES | {"mapping_kwargs": {"activation": "gelu"}},
            "activation must be one of linear, .*, not 'gelu'",
        ),
        (build_discriminator, D_SIZES | {"block_kwargs": {"activation": 3}}, "activation must be one of linear, .*, not 3"),
        (build_generator, G_SIZES | {"img_resolution": 16.5}, "img_resolution must be"),
        (build_generator, G_SIZES | {"conv_clamp": "256"}, "conv_clamp must be a number from 0 on, not '256'"),
        (build_generator, G_SIZES | {"conv_clamp": float("nan")}, "conv_clamp must be a number"),
        (
            build_discriminator,
            D_SIZES | {"epilogue_kwargs": {"mbstd_group_size": 2.5}},
            "mbstd_group_size must be a whole number",
        ),
        (build_generator, G_SIZES | {"channels": [8]}, r"channels must be \d positive ints, not \[8\]"),
    ],
)
def test_an_impossible_network_is_refused(build, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


def test_listed_channels_are_those_of_the_blocks_smallest_first():
    G = build_generator(**G_SIZES | {"img_resolution": 16, "channels": [5, 7, 3]})
    D = build_discriminator(**D_SIZES | {"img_resolution": 16, "channels": [5, 7, 3]})
    assert [getattr(G.synthesis, name).conv1.weight.shape[0] for name in ("b4", "b8", "b16")] == [5, 7, 3]
    assert [getattr(D, name).conv0.weight.shape[0] for name in ("b4", "b8", "b16") if name != "b4"] == [7, 3]
    assert D.b4.conv.weight.shape[0] == 5
    assert build_generator(**G_SIZES | {"channel_base": 64, "channel_max": 16}).synthesis.b4.const.shape[0] == 16


def test_a_network_without_memory_imports_nothing_more_and_draws_nothing():
    program = """
import sys, torch
from sgtool.networks import build_discriminator, build_generator
before, state = set(sys.modules), torch.get_rng_state()
with torch.device("meta"):
    G = build_generator(z_dim=8, c_dim=2, w_dim=8, img_resolution=8, img_channels=3, synthesis_kwargs={})
    D = build_discriminator(c_dim=2, img_resolution=8, img_channels=3)
assert all(tensor.is_meta for network in (G, D) for tensor in network.parameters())
assert torch.equal(state, torch.get_rng_state())
print(len(set(sys.modules) - before))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 20  # torch's descriptions of operations are hundreds of modules

"""Presets and options: which number each of them gives, and which reason is told."""

import dataclasses
import json

import pytest
import torch

from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.networks import build_discriminator, build_generator
from sgtool.training.config import TrainConfig
from sgtool.training.presets import PRESETS
from sgtool.training.resolve import Options, resolve


class Data:
    """What the configuration looks at of a dataset."""

    name, fingerprint, channels = "faces", "abc", 3

    def __init__(self, size=256, label_dim=0):
        self.resolution = (size, size) if isinstance(size, int) else size
        self.label_dim = label_dim

    def __len__(self):
        return 1000


def resolved(data=None, **options):
    return resolve(Options(**options), data or Data())[0]


def reasons(data=None, **options):
    return resolve(Options(**options), data or Data())[1]


# Numbers of stylegan2-ada-pytorch's train.py. The presets but auto were tuned for several GPUs, whose share of the batch is
# computed at a time on one: kimg, batch, batch_gpu, mbstd_group, channel_base, lr, gamma, ema_kimg, ema_rampup, map_depth
ROWS = {
    "stylegan2": (25_000, 32, 4, 4, 32768, 0.002, 10, 10, None, 8),
    "paper256": (25_000, 64, 8, 8, 16384, 0.0025, 1, 20, None, 8),
    "paper512": (25_000, 64, 8, 8, 32768, 0.0025, 0.5, 20, None, 8),
    "paper1024": (25_000, 32, 4, 4, 32768, 0.002, 2, 10, None, 8),
    "cifar": (100_000, 64, 32, 32, 32768, 0.0025, 0.01, 500, 0.05, 2),
}
AUTO = {  # by resolution
    32: (25_000, 32, 32, 4, 16384, 0.0025, 0.0064, 10, 0.05, 2),
    256: (25_000, 16, 16, 4, 16384, 0.0025, 0.8192, 5, 0.05, 2),
    512: (25_000, 8, 8, 4, 32768, 0.0025, 6.5536, 2.5, 0.05, 2),
    1024: (25_000, 4, 4, 4, 32768, 0.002, 52.4288, 1.25, 0.05, 2),
    2048: (25_000, 2, 2, 2, 32768, 0.002, 419.4304, 0.625, 0.05, 2),
}


def row(config):
    assert config.glr == config.dlr
    return (
        config.kimg,
        config.batch,
        config.batch_gpu,
        config.mbstd_group,
        config.channel_base,
        config.glr,
        pytest.approx(config.gamma),
        config.ema_kimg,
        config.ema_rampup,
        config.map_depth,
    )


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_has_the_published_numbers(name):
    assert row(resolved(cfg=name)) == ROWS[name]


@pytest.mark.parametrize("resolution", AUTO)
def test_the_automatic_preset_follows_the_resolution(resolution):
    assert row(resolved(Data(resolution))) == AUTO[resolution]


def test_only_cifar_goes_without_path_length_mixing_and_shortcuts():
    for name in PRESETS:
        config = resolved(cfg=name)
        found = config.pl_weight, config.style_mixing_prob, config.d_architecture
        assert found == ((0, 0, "orig") if name == "cifar" else (2, 0.9, "resnet"))


def test_what_all_published_presets_share():
    for name in [*ROWS, "auto"]:
        config = resolved(cfg=name)
        assert (config.z_dim, config.w_dim, config.channel_max, config.num_fp16_res, config.conv_clamp) == (512, 512, 512, 4, 256)
        assert (config.g_reg_interval, config.d_reg_interval, config.ada_interval, config.ada_kimg) == (4, 16, 4, 500)
        assert (config.aug, config.augpipe, config.target, config.p, config.p_max) == ("ada", "bgc", 0.6, 0, 0.8)
        assert (config.tick, config.snap, config.seed, config.pl_decay, config.pl_batch_shrink) == (4, 50, 0, 0.01, 2)


def test_the_tiny_preset_is_small():
    config = resolved(Data(32), cfg="tiny")
    assert (config.channel_base, config.channel_max, config.z_dim, config.kimg, config.batch, config.snap) == (
        2048,
        64,
        128,
        1000,
        32,
        10,
    )
    assert config.gamma == pytest.approx(0.0002 * 32 * 32 / 32)


OPTIONS = {  # option: (value, field, expected)
    "z_dim": (24, "z_dim", 24),
    "w_dim": (40, "w_dim", 40),
    "pl_weight": (0.5, "pl_weight", 0.5),
    "style_mixing_prob": (0.3, "style_mixing_prob", 0.3),
    "kimg": (7, "kimg", 7),
    "batch": (24, "batch", 24),
    "batch_gpu": (4, "batch_gpu", 4),
    "gamma": (0.5, "gamma", 0.5),
    "glr": (0.001, "glr", 0.001),
    "dlr": (0.003, "dlr", 0.003),
    "cbase": (4096, "channel_base", 4096),
    "cmax": (128, "channel_max", 128),
    "map_depth": (5, "map_depth", 5),
    "mbstd_group": (2, "mbstd_group", 2),
    "seed": (3, "seed", 3),
    "subset": (9, "subset", 9),
    "mirror": (True, "mirror", True),
    "aug": ("noaug", "aug", "noaug"),
    "p_max": (0.5, "p_max", 0.5),
    "target": (0.7, "target", 0.7),
    "augpipe": ("blit", "augpipe", "blit"),
    "freezed": (3, "freezed", 3),
    "tick": (0.5, "tick", 0.5),
    "snap": (1, "snap", 1),
    "metrics": ((), "metrics", ()),
    "metrics_share": (25.0, "metrics_share", 25.0),
    "workers": (1, "workers", 1),
    "nobench": (True, "nobench", True),
    "allow_tf32": (True, "allow_tf32", True),
    "keep": (3, "keep", 3),
    "keep_every": (0.5, "keep_every", 0.5),
    "disk_budget": (1.5, "disk_budget", 1.5),
    "precision": ("bf16", "precision", "bf16"),
    "on_nan": ("stop", "on_nan", "stop"),
    "on_collapse": ("rollback", "on_collapse", "rollback"),
    "held_out": ("rest.zip", "held_out", "rest.zip"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_sets_its_number_and_what_follows_from_it_alone(name):
    value, field, expected = OPTIONS[name]
    changed, before = resolved(**{name: value}).as_dict(), resolved().as_dict()
    assert changed[field] == (list(expected) if isinstance(expected, tuple) else expected)
    others = {key for key in before if changed[key] != before[key]} - {field}
    assert others == {"batch": {"batch_gpu", "gamma", "ema_kimg"}}.get(name, set())


def test_every_option_has_a_field_or_an_effect_of_its_own():
    tested = {*OPTIONS, "freeze_mapping", "cfg", "gpus", "cond", "p", "fp32", "transfer", "grow"}
    assert {field.name for field in dataclasses.fields(Options)} == tested


def test_processes_share_the_batch_and_leave_it_as_it_is():
    one, four = resolved(batch=32), resolved(batch=32, gpus=4)
    assert four.batch_gpu == 8
    assert {name for name, value in one.as_dict().items() if four.as_dict()[name] != value} == {"batch_gpu"}


def test_labels_are_used_when_asked_for():
    assert resolved(Data(label_dim=10)).c_dim == 0
    assert resolved(Data(label_dim=10), cond=True).c_dim == 10


def test_full_precision_takes_the_clamp_away():
    config = resolved(fp32=True)
    assert (config.num_fp16_res, config.conv_clamp) == (0, None)


def test_fixed_augmentation_has_a_probability():
    assert resolved(aug="fixed").p == 0.2
    assert resolved(aug="fixed", p=0.9).p == 0.9


def test_options_of_another_augmentation_are_accepted_and_said_to_be_unused():
    assert resolved(p=0.5).p == 0.0
    assert reasons(p=0.5)["p"] == "--p 0.5 is not used: it is for --aug fixed"
    assert reasons(aug="noaug", target=0.5)["target"] == "not used with --aug noaug"


def test_transfer_adapts_faster_and_averages_at_once():
    config = resolved(transfer=True)
    assert (config.ada_kimg, config.ema_rampup) == (100, None)
    assert "transfer" in reasons(transfer=True)["ada_kimg"]


def test_a_preset_keeps_its_own_batch_at_a_time_unless_a_batch_is_given():
    assert resolved(cfg="paper256").batch_gpu == 8
    assert resolved(cfg="paper256", batch=16).batch_gpu == 16
    assert resolved(cfg="paper256", batch=16, batch_gpu=4).batch_gpu == 4


def test_the_group_shrinks_to_a_divisor_of_the_batch():
    assert resolved(batch=10).mbstd_group == 2
    assert resolved(cfg="paper256", batch=12).mbstd_group == 6
    assert reasons(batch=10)["mbstd_group"] == "largest group of at most 4 that divides batch_gpu 10"


def test_every_computed_number_tells_why():
    why = reasons(gamma=3.0)
    assert why["batch"] == "min(4096 / resolution, 32) per GPU"
    assert why["gamma"] == "as asked"
    assert why["mbstd_group"] == "min(batch_gpu, 4)"
    assert reasons()["gamma"] == "0.0002 * 256 * 256 / batch 16"
    assert reasons(cfg="paper512")["gamma"] == "preset paper512"
    assert reasons(cfg="paper512", batch=8)["ema_kimg"] == "preset paper512, made for batch 64"
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert set(why) <= fields


def test_gamma_of_a_wide_picture_counts_its_pixels():
    assert resolved(Data((128, 256)), batch=16).gamma == pytest.approx(0.0002 * 128 * 256 / 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 0}, "--gpus 0: it must be 1 or more."),
        ({"gamma": -1.0}, "--gamma -1.0: it must be 0.0 or more."),
        ({"gamma": float("nan")}, "--gamma nan: it must be 0.0 or more."),
        ({"glr": float("inf")}, "--glr inf"),
        ({"batch": 0}, "--batch 0: it must be 1 or more."),
        ({"batch_gpu": 0}, "--batch-gpu 0: it must be 1 or more."),
        ({"kimg": 0}, "--kimg 0: it must be 1 or more."),
        ({"map_depth": 0}, "--map-depth 0: it must be 1 or more."),
        ({"tick": 0.0}, "--tick 0: a tick needs at least some pictures"),
        ({"snap": 0}, "--snap 0: it must be 1 or more."),
        ({"keep": 0}, "--keep 0: it must be 1 or more."),
        ({"keep_every": 0.0}, "--keep-every 0.0: it must be more than 0."),
        ({"disk_budget": float("nan")}, "--disk-budget nan: it must be more than 0."),
        ({"freezed": -1}, "--freezed -1: it must be 0 or more."),
        ({"seed": -1}, "--seed -1: it must be from 0 to 4294967295."),
        ({"aug": "fixed", "p": 1.5}, "--p 1.5: it must be from 0 to 1."),
        ({"p_max": -0.1}, "--p-max -0.1: it must be from 0 to 1."),
        ({"target": -2.0}, "--target -2.0: it must be from -1 to 1."),
        ({"batch": 33, "batch_gpu": 8}, "--batch 33 is no multiple of --batch-gpu 8."),
        ({"batch_gpu": 5}, "--batch 16 is no multiple of --batch-gpu 5."),
        ({"batch_gpu": 64}, "--batch 16 is no multiple of --batch-gpu 64."),
        ({"batch": 8, "mbstd_group": 3}, "--mbstd-group 3 does not divide the batch of 8"),
        ({"mbstd_group": 5}, "--mbstd-group 5 does not divide the batch of 16"),
        ({"batch": 32, "gpus": 3}, "--batch 32 is no multiple of --gpus 3."),
        ({"batch": 32, "gpus": 2, "batch_gpu": 32}, "2 processes with --batch-gpu 32 take 64 pictures at a time."),
        ({"cond": True}, "--cond: faces has no labels."),
        ({"fp32": True, "precision": "bf16"}, "--fp32 and --precision bf16 contradict each other."),
    ],
    ids=str,
)
def test_a_bad_value_is_named(options, message):
    with pytest.raises(UserError) as error:
        resolved(**options)
    assert message in error.value.message


@pytest.mark.parametrize("size", [4, (3, 9), (255, 256)])
def test_pictures_that_cannot_be_halved_are_refused(size):
    with pytest.raises(UserError, match="cannot be halved"):
        resolved(Data(size))


def test_the_configuration_is_plain_and_comes_back(data):
    config = resolve(Options(cfg="tiny", cond=True), open_dataset(data))[0]
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.batch = 3


def test_networks_are_built_from_the_configuration():
    config = resolved(Data((32, 16), label_dim=2), cfg="cifar", cond=True, freezed=2, mbstd_group=8, cbase=64, cmax=8)
    with torch.device("meta"):
        G, D = build_generator(**config.generator_kwargs()), build_discriminator(**config.discriminator_kwargs())
    assert (G.c_dim, D.c_dim, G.img_resolution, D.img_resolution) == (2, 2, [32, 16], [32, 16])
    assert (G.mapping.num_layers, G.mapping.w_avg_beta) == (2, 0.998)
    assert (D.b4.mbstd.group_size, D.b32.is_resnet, D.b32.use_fp16, D.b32.conv0.conv_clamp) == (8, False, True, 256)
    assert [p.requires_grad for p in D.b32.fromrgb.parameters()] == [False, False]


# --- networks adopted from a snapshot

ADOPTED_G = {
    "z_dim": 8,
    "c_dim": 0,
    "w_dim": 9,
    "img_resolution": 32,
    "img_channels": 3,
    "mapping_kwargs": {"embed_features": 5},
    "synthesis_kwargs": {"channels": [8, 7, 6, 5], "use_noise": False, "num_fp16_res": 2},
}
ADOPTED_D = {"c_dim": 0, "img_resolution": 32, "img_channels": 3, "architecture": "orig", "channel_max": 16, "cmap_dim": 7}
CASES = [
    {},
    {"cond": True},
    {"cbase": 64},
    {"cmax": 5},
    {"map_depth": 3, "z_dim": 4},
    {"fp32": True},
    {"precision": "bf16"},
    {"mbstd_group": 2, "freezed": 3},
    {"batch": 10},
]


@pytest.mark.parametrize("size", [32, 64, 16, (48, 32)])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_adopting_what_was_adopted_changes_nothing(options, size):
    """So a run that goes on, with its own networks as the source, has the configuration it began with."""
    options = Options(**options | {"transfer": True})
    for D in (ADOPTED_D, None):
        config = resolve(options, Data(size, label_dim=2), (ADOPTED_G, D))[0]
        assert resolve(options, Data(size, label_dim=2), config.networks)[0] == config
        assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
        with torch.device("meta"):
            G, D = build_generator(**config.generator_kwargs()), build_discriminator(**config.discriminator_kwargs())
        assert (G.init_kwargs, D.init_kwargs) == config.networks
        assert (G.z_dim, G.w_dim, G.c_dim, D.c_dim) == (config.z_dim, config.w_dim, config.c_dim, config.c_dim)
        assert (G.img_resolution, D.img_resolution) == (config.img_resolution, config.img_resolution)
        assert G.mapping.num_layers == config.map_depth


def test_adopted_keywords_stay_as_they_were():
    before = json.dumps([ADOPTED_G, ADOPTED_D])
    config = resolve(Options(cbase=64, fp32=True), Data(64), (ADOPTED_G, ADOPTED_D))[0]
    assert json.dumps([ADOPTED_G, ADOPTED_D]) == before
    config.generator_kwargs()["synthesis_kwargs"]["num_fp16_res"] = 99
    assert config.generator["synthesis_kwargs"]["num_fp16_res"] == 0
    assert (
        config.generator["synthesis_kwargs"] | {"use_noise": False, "channel_base": 64, "channel_max": 512}
        == (config.generator["synthesis_kwargs"])
    )
    assert config.generator["mapping_kwargs"] == {"embed_features": 5, "num_layers": 8, "w_avg_beta": 0.998}
    assert (config.discriminator["channel_base"], config.discriminator["channel_max"]) == (64, 16)


def test_a_configuration_of_another_version_is_told_by_its_fields():
    values = resolved().as_dict()
    assert TrainConfig.knows(values)
    assert TrainConfig.knows(values.keys() - {"generator", "precision"})
    assert not TrainConfig.knows(values.keys() - {"gamma"})
    assert not TrainConfig.knows(values.keys() | {"delta"})

"""Presets: published configurations as rows of a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """One row: numbers of a published configuration; "auto" = computed from resolution and batch."""

    kimg: int
    batch: int | str
    gpus: int  # it was tuned for; batch / gpus is its batch_gpu
    mbstd_group: int | str
    channel_base: int | str
    lr: float | str
    gamma: float | str
    ema_kimg: float | str
    ema_rampup: float | None
    map_depth: int
    channel_max: int = 512
    latent: int = 512  # z_dim and w_dim
    pl_weight: float = 2.0
    style_mixing_prob: float = 0.9
    d_architecture: str = "resnet"
    snap: int = 50


#                        kimg    batch  gpus mbstd   base    lr      gamma   ema_kimg ramp  map
PRESETS = {
    "auto":      Preset(25000,  "auto", 1,  "auto", "auto", "auto", "auto", "auto",  0.05, 2),
    "stylegan2": Preset(25000,  32,     8,  4,      32768,  0.002,  10.0,   10.0,    None, 8),
    "paper256":  Preset(25000,  64,     8,  8,      16384,  0.0025, 1.0,    20.0,    None, 8),
    "paper512":  Preset(25000,  64,     8,  8,      32768,  0.0025, 0.5,    20.0,    None, 8),
    "paper1024": Preset(25000,  32,     8,  4,      32768,  0.002,  2.0,    10.0,    None, 8),
    "cifar":     Preset(100000, 64,     2,  32,     32768,  0.0025, 0.01,   500.0,   0.05, 2,
                        pl_weight=0.0, style_mixing_prob=0.0, d_architecture="orig"),
    "tiny":      Preset(1000,   32,     1,  4,      2048,   0.0025, "auto", "auto",  0.05, 2,
                        channel_max=64, latent=128, snap=10),
}  # fmt: skip

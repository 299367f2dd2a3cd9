"""Configuration of a run: presets as rows of a table, and how options and data turn into numbers, each with its reason."""

import dataclasses
from dataclasses import dataclass

from sgtool.errors import UserError
from sgtool.networks import PictureShape
from sgtool.training.schedules import auto_batch, auto_ema_kimg, auto_gamma


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
    path_length: bool = True
    style_mixing: bool = True
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
                        path_length=False, style_mixing=False, d_architecture="orig"),
    "tiny":      Preset(1000,   32,     1,  4,      2048,   0.0025, "auto", "auto",  0.05, 2,
                        channel_max=64, latent=128, snap=10),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What the user asked for; None = the preset's or a computed default."""

    cfg: str = "auto"
    gpus: int = 1
    cond: bool = False
    subset: int | None = None
    mirror: bool = False
    seed: int = 0
    kimg: int | None = None
    batch: int | None = None
    batch_gpu: int | None = None
    gamma: float | None = None
    glr: float | None = None
    dlr: float | None = None
    cbase: int | None = None
    cmax: int | None = None
    map_depth: int | None = None
    mbstd_group: int | None = None
    aug: str = "ada"
    p: float | None = None
    p_max: float = 0.8
    target: float | None = None
    augpipe: str = "bgc"
    freezed: int = 0
    fp32: bool = False
    transfer: bool = False  # starting from a snapshot's networks
    tick: float = 4
    snap: int | None = None
    metrics: tuple = ("swd", "msssim")
    workers: int = 3
    nobench: bool = False
    allow_tf32: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """All numbers of a run. Written to training_options.json before the first step, and into each snapshot."""

    # data
    dataset: str  # its name
    fingerprint: str  # of its pictures
    num_images: int  # after --subset and --mirror
    height: int  # pixels
    width: int
    channels: int
    c_dim: int  # width of the label, 0 = none used
    subset: int | None
    mirror: bool
    # networks
    cfg: str
    z_dim: int
    w_dim: int
    map_depth: int
    channel_base: int
    channel_max: int
    d_architecture: str
    mbstd_group: int
    num_fp16_res: int
    conv_clamp: float | None
    freezed: int
    # training
    seed: int
    kimg: int  # length of the run, thousands of pictures
    batch: int
    batch_gpu: int  # computed at a time; gradients are accumulated
    glr: float
    dlr: float
    gamma: float  # R1 weight
    ema_kimg: float
    ema_rampup: float | None
    pl_weight: float
    style_mixing_prob: float
    # augmentation
    aug: str
    augpipe: str
    p: float  # to begin with, or fixed
    p_max: float
    target: float
    ada_kimg: float
    # reports
    tick: float  # kimg
    snap: int  # ticks
    metrics: tuple
    workers: int
    nobench: bool
    allow_tf32: bool
    precision: str = "auto"
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    g_reg_interval: int = 4
    d_reg_interval: int = 16
    ada_interval: int = 4

    def as_dict(self):
        """Give it as plain values."""
        return dataclasses.asdict(self) | {"metrics": list(self.metrics)}

    @classmethod
    def from_dict(cls, values):
        """Make it from `as_dict`; unknown keys, of a newer version, are an error."""
        return cls(**values | {"metrics": tuple(values["metrics"])})

    def generator_kwargs(self):
        """Keywords of `build_generator`."""
        return {
            "z_dim": self.z_dim,
            "c_dim": self.c_dim,
            "w_dim": self.w_dim,
            "img_resolution": self._img_resolution(),
            "img_channels": self.channels,
            "mapping_kwargs": {"num_layers": self.map_depth, "w_avg_beta": 0.998},
            "synthesis_kwargs": self._block_kwargs(),
        }

    def discriminator_kwargs(self):
        """Keywords of `build_discriminator`."""
        return {
            "c_dim": self.c_dim,
            "img_resolution": self._img_resolution(),
            "img_channels": self.channels,
            "architecture": self.d_architecture,
            "block_kwargs": {"freeze_layers": self.freezed},
            "epilogue_kwargs": {"mbstd_group_size": self.mbstd_group},
            **self._block_kwargs(),
        }

    def _img_resolution(self):
        return self.height if self.height == self.width else [self.height, self.width]

    def _block_kwargs(self):
        names = ("channel_base", "channel_max", "num_fp16_res", "conv_clamp")
        return {name: getattr(self, name) for name in names}


def resolve(options, dataset):
    """Turn options and a dataset into a configuration.

    Args:
        options: `Options`.
        dataset: `ImageDataset`, with --subset and --mirror applied.
    Returns:
        (`TrainConfig`, {field: reason} for the values that were computed or follow from others).
    Raises:
        UserError: options contradict one another or the data.
    """
    check_options(options)
    check_data(options, dataset)
    preset, reasons = PRESETS[options.cfg], {}
    height, width = dataset.resolution
    size = max(height, width)

    def choose(name, given, row, computed=None, why=""):
        """The option if given, else the preset's number, else the computed one; notes the reason."""
        value = given if given is not None else computed if row == "auto" else row
        reasons[name] = "as asked" if given is not None else why if row == "auto" else f"preset {options.cfg}"
        return value

    batch = choose("batch", options.batch, preset.batch, auto_batch(size, options.gpus), "min(4096 / resolution, 32) per GPU")
    batch_gpu = choose_batch_gpu(options, preset, batch, reasons)
    check_batch(options, batch, batch_gpu)
    gamma = choose(
        "gamma", options.gamma, preset.gamma, auto_gamma(height, width, batch), f"0.0002 * {height} * {width} / batch {batch}"
    )
    lr = choose("lr", None, preset.lr, 0.002 if size >= 1024 else 0.0025, "0.002 from 1024 pixels on, else 0.0025")
    reasons["glr"] = "as asked" if options.glr is not None else reasons["lr"]
    reasons["dlr"] = "as asked" if options.dlr is not None else reasons.pop("lr")
    reasons.pop("lr", None)
    base = choose("channel_base", options.cbase, preset.channel_base, 32768 if size >= 512 else 16384, "32768 from 512 pixels on")
    group = choose("mbstd_group", options.mbstd_group, preset.mbstd_group, min(batch_gpu, 4), "min(batch_gpu, 4)")
    if options.mbstd_group is None and batch_gpu % group:
        most, group = group, max(n for n in range(1, group + 1) if batch_gpu % n == 0)
        reasons["mbstd_group"] = f"largest group of at most {most} that divides batch_gpu {batch_gpu}"
    ema_kimg = choose("ema_kimg", None, preset.ema_kimg, auto_ema_kimg(batch), f"batch {batch} * 10 / 32")
    ema_rampup = None if options.transfer else preset.ema_rampup
    if options.transfer:
        reasons["ema_rampup"] = reasons["ada_kimg"] = "transfer learning starts from trained networks"
    if options.batch is not None and preset.batch != "auto" and options.batch != preset.batch:
        reasons["ema_kimg"] = f"preset {options.cfg}, made for batch {preset.batch}"

    config = TrainConfig(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        num_images=len(dataset),
        height=height,
        width=width,
        channels=dataset.channels,
        c_dim=dataset.label_dim if options.cond else 0,
        subset=options.subset,
        mirror=options.mirror,
        cfg=options.cfg,
        z_dim=preset.latent,
        w_dim=preset.latent,
        map_depth=choose("map_depth", options.map_depth, preset.map_depth),
        channel_base=base,
        channel_max=choose("channel_max", options.cmax, preset.channel_max),
        d_architecture=preset.d_architecture,
        mbstd_group=group,
        num_fp16_res=0 if options.fp32 else 4,
        conv_clamp=None if options.fp32 else 256,
        freezed=options.freezed,
        seed=options.seed,
        kimg=choose("kimg", options.kimg, preset.kimg),
        batch=batch,
        batch_gpu=batch_gpu,
        glr=lr if options.glr is None else options.glr,
        dlr=lr if options.dlr is None else options.dlr,
        gamma=gamma,
        ema_kimg=ema_kimg,
        ema_rampup=ema_rampup,
        pl_weight=2.0 if preset.path_length else 0.0,
        style_mixing_prob=0.9 if preset.style_mixing else 0.0,
        aug=options.aug,
        augpipe=options.augpipe,
        p=(0.2 if options.p is None else options.p) if options.aug == "fixed" else 0.0,
        p_max=options.p_max,
        target=0.6 if options.target is None else options.target,
        ada_kimg=100 if options.transfer else 500,
        tick=options.tick,
        snap=choose("snap", options.snap, preset.snap),
        metrics=options.metrics,
        workers=options.workers,
        nobench=options.nobench,
        allow_tf32=options.allow_tf32,
    )
    return config, {name: why for name, why in reasons.items() if why}


def choose_batch_gpu(options, preset, batch, reasons):
    """Pictures computed at a time: as asked; batch / GPUs; a preset's own share of its own batch."""
    if options.batch_gpu is not None:
        reasons["batch_gpu"] = "as asked"
        return options.batch_gpu
    if options.batch is None and preset.batch != "auto" and preset.gpus > 1:
        reasons["batch_gpu"] = f"preset {options.cfg}: batch {preset.batch} on {preset.gpus} GPUs"
        return preset.batch // preset.gpus
    reasons["batch_gpu"] = "batch / gpus"
    return batch // options.gpus


def check_options(options):
    """Raise UserError if an option is out of range or contradicts another."""
    if options.gpus != 1:
        raise UserError(f"--gpus {options.gpus}: this version trains with one process. Leave --gpus out, or say --gpus 1.")
    positive = {"kimg": 1, "batch": 1, "batch_gpu": 1, "cbase": 1, "cmax": 1, "map_depth": 1, "mbstd_group": 1, "snap": 1}
    positive |= {"tick": 0.0, "gamma": 0.0, "glr": 0.0, "dlr": 0.0, "freezed": 0, "workers": 0, "subset": 1}
    for name, least in positive.items():
        value = getattr(options, name)
        if value is not None and not least <= value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be {least} or more.")
    for name, low in (("p", 0), ("p_max", 0), ("target", -1)):
        value = getattr(options, name)
        if value is not None and not low <= value <= 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be from {low} to 1.")
    if options.tick == 0:
        raise UserError("--tick 0: a tick needs at least some pictures; say for instance --tick 0.5 (thousands).")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed {options.seed}: it must be from 0 to {2**32 - 1}.")
    if options.p is not None and options.aug != "fixed":
        raise UserError(f"--p {options.p:g} is for --aug fixed, but --aug is {options.aug}. Leave one of them out.")
    if options.target is not None and options.aug != "ada":
        raise UserError(f"--target {options.target:g} is for --aug ada, but --aug is {options.aug}. Leave one of them out.")


def check_batch(options, batch, batch_gpu):
    """Raise UserError if the batch, given or the preset's, cannot be split as asked."""
    if batch % batch_gpu:
        raise UserError(f"--batch {batch} is no multiple of --batch-gpu {batch_gpu}. Make it one.")
    if options.mbstd_group is not None and batch_gpu % options.mbstd_group:
        raise UserError(
            f"--mbstd-group {options.mbstd_group} does not divide the batch of {batch_gpu} that is computed at a time. "
            "Choose a divisor of --batch-gpu (or of --batch)."
        )


def check_data(options, dataset):
    """Raise UserError if the dataset cannot be trained on as asked."""
    height, width = dataset.resolution
    if PictureShape.of((height, width)).doublings == 0:
        raise UserError(
            f"--data {dataset.name}: pictures of {width}x{height} cannot be halved, so the networks have no layers for them. "
            "Both sides must be 4, 3, 5, ... times a power of two, such as 256x256 or 512x384: sgtool prepare --resolution."
        )
    if options.cond and dataset.label_dim == 0:
        raise UserError(f"--cond: {dataset.name} has no labels. Leave --cond out, or prepare the data with --labels.")

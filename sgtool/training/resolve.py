"""From options and data to a configuration, each computed value with its reason."""

from dataclasses import dataclass, replace

from sgtool.errors import UserError
from sgtool.networks import PictureShape
from sgtool.training.adoption import adopt, decided_fields
from sgtool.training.config import TrainConfig
from sgtool.training.pipes import transforms_of, written
from sgtool.training.presets import PRESETS
from sgtool.training.schedules import auto_batch, auto_ema_kimg, auto_gamma


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
    batch_gpu: int | str | None = None  # "auto": fewer where memory does not suffice
    gamma: float | None = None
    glr: float | None = None
    dlr: float | None = None
    cbase: int | None = None
    cmax: int | None = None
    map_depth: int | None = None
    z_dim: int | None = None
    w_dim: int | None = None
    mbstd_group: int | None = None
    pl_weight: float | None = None
    style_mixing_prob: float | None = None
    aug: str = "ada"
    p: float | None = None
    p_max: float = 0.8
    target: float | None = None
    augpipe: str = "bgc"
    freezed: int = 0
    freeze_mapping: bool = False
    fp32: bool = False
    precision: str | None = None
    transfer: bool = False  # starting from a snapshot's networks
    grow: bool = False  # of which only the layers that fit are taken
    tick: float = 4
    snap: int | None = None
    metrics: tuple = ("swd", "msssim")
    metrics_share: float = 10
    workers: int = 3
    nobench: bool = False
    allow_tf32: bool = False
    keep: int | None = None
    keep_every: float | None = None
    disk_budget: float | None = None
    on_nan: str = "rollback"
    on_collapse: str = "warn"
    held_out: str | None = None  # path of a dataset


def resolve(options, dataset, networks=None):
    """Turn options and a dataset into a configuration.

    Args:
        options: `Options`.
        dataset: `ImageDataset`, with --subset and --mirror applied.
        networks: (keywords of G, keywords of D or None) to adopt, see `adoption`; None = the preset's.
    Returns:
        (`TrainConfig`, {field: reason} for the values that were computed or follow from others).
    Raises:
        UserError: options contradict one another or the data.
    """
    check_options(options)
    check_data(options, dataset)
    choose = Chooser(options, PRESETS[options.cfg], {} if networks is None else decided_fields(*networks, options))
    size = max(dataset.resolution)
    batch = choose("batch", options.batch, auto_batch(size, options.gpus), "min(4096 / resolution, 32) per GPU")
    batch_gpu = choose_batch_gpu(choose, batch)
    check_batch(options, batch, batch_gpu)
    config = TrainConfig(
        batch=batch,
        batch_gpu=batch_gpu,
        batch_gpu_auto=options.batch_gpu == "auto",
        **data_fields(options, dataset),
        **network_fields(choose, size, batch_gpu),
        **optimization_fields(choose, dataset.resolution, batch),
        **augmentation_fields(choose),
        **report_fields(choose),
    )
    return (config if networks is None else with_networks(config, choose, networks)), choose.reasons


def with_networks(config, choose, networks):
    """Return the configuration with adopted networks."""
    choose.reasons["cfg"] = "for training; the networks are the source's"
    choose.reasons |= dict.fromkeys(("generator", "discriminator"), "from the source, for these pictures and labels")
    if networks[1] is None:
        choose.reasons["discriminator"] = "the source has none; feature maps as in G"
    return replace(config, **adopt(config, choose.options, *networks))


class Chooser:
    """Decides on a value, and notes why.

    It is the option's if that was given, else that of adopted networks, else the preset's, else ("auto") the computed one.
    """

    def __init__(self, options, preset, adopted):
        self.options, self.preset, self.adopted, self.reasons = options, preset, adopted, {}

    def __call__(self, field, given, computed=None, why=None, row=None):
        """Choose the value of `field`; `row` names the preset's column where it is not `field`."""
        if given is not None:
            self.reasons[field] = "as asked"
            return given
        if field in self.adopted:
            self.reasons[field] = "from the source"
            return self.adopted[field]
        preset = getattr(self.preset, row or field)
        self.reasons[field] = why if preset == "auto" else f"preset {self.options.cfg}"
        return computed if preset == "auto" else preset


def choose_batch_gpu(choose, batch):
    """Pictures computed at a time: as asked; batch / GPUs; a preset's own share of its own batch."""
    options, preset = choose.options, choose.preset
    if options.batch_gpu == "auto":
        choose.reasons["batch_gpu"] = "batch / gpus, and less where memory does not suffice"
        return batch // options.gpus
    if options.batch_gpu is not None:
        choose.reasons["batch_gpu"] = "as asked"
        return options.batch_gpu
    if options.batch is None and preset.batch != "auto" and preset.gpus > 1:
        choose.reasons["batch_gpu"] = f"preset {options.cfg}: batch {preset.batch} on {preset.gpus} GPUs"
        return min(preset.batch // preset.gpus, batch // options.gpus)
    choose.reasons["batch_gpu"] = "batch / gpus"
    return batch // options.gpus


def data_fields(options, dataset):
    """What is trained on."""
    height, width = dataset.resolution
    return {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "num_images": len(dataset),
        "height": height,
        "width": width,
        "channels": dataset.channels,
        "c_dim": dataset.label_dim if options.cond else 0,
        "subset": options.subset,
        "mirror": options.mirror,
        "cfg": options.cfg,
        "seed": options.seed,
    }


def network_fields(choose, size, batch_gpu):
    """What is trained."""
    options = choose.options
    group = choose("mbstd_group", options.mbstd_group, min(batch_gpu, 4), "min(batch_gpu, 4)")
    if options.mbstd_group is None and group is not None and batch_gpu % group:
        most, group = group, max(n for n in range(1, group + 1) if batch_gpu % n == 0)
        choose.reasons["mbstd_group"] = f"largest group of at most {most} that divides batch_gpu {batch_gpu}"
    return {
        "z_dim": choose("z_dim", options.z_dim, row="latent"),
        "w_dim": choose("w_dim", options.w_dim, row="latent"),
        "map_depth": choose("map_depth", options.map_depth),
        "channel_base": choose("channel_base", options.cbase, 32768 if size >= 512 else 16384, "32768 from 512 pixels on"),
        "channel_max": choose("channel_max", options.cmax),
        "d_architecture": choose("d_architecture", None),
        "mbstd_group": group,
        **half_precision_fields(choose),
        "freezed": options.freezed,
        "freeze_mapping": options.freeze_mapping,
        "precision": choose_precision(choose),
    }


def half_precision_fields(choose):
    """Which resolutions may compute in half precision, and the limit of activations that it needs."""
    options, adopted = choose.options, choose.adopted
    if options.fp32:
        return {"num_fp16_res": 0, "conv_clamp": None}
    names, asked = ("num_fp16_res", "conv_clamp"), options.precision in ("fp16", "bf16")
    if adopted and not (asked and adopted["num_fp16_res"] == 0):
        fields = {name: choose(name, None) for name in names}
        if adopted["num_fp16_res"] == 0:
            choose.reasons["num_fp16_res"] = "from the source, float32 throughout; on a GPU --precision fp16 is faster"
        return fields
    if adopted:
        choose.reasons |= dict.fromkeys(names, f"for --precision {options.precision}; the source has float32 throughout")
    return {"num_fp16_res": 4, "conv_clamp": 256}


def choose_precision(choose):
    """The type of the highest resolutions: as asked, else by the device ("auto")."""
    options = choose.options
    if options.precision is not None:
        choose.reasons["precision"] = "as asked"
        return options.precision
    choose.reasons["precision"] = "--fp32: float32 throughout" if options.fp32 else "float16 on CUDA, else float32"
    return "auto"


def optimization_fields(choose, resolution, batch):
    """How it is trained."""
    options, preset = choose.options, choose.preset
    height, width = resolution
    lr = 0.002 if max(resolution) >= 1024 else 0.0025, "0.002 from 1024 pixels on, else 0.0025"
    fields = {
        "kimg": choose("kimg", options.kimg),
        "glr": choose("glr", options.glr, *lr, row="lr"),
        "dlr": choose("dlr", options.dlr, *lr, row="lr"),
        "gamma": choose("gamma", options.gamma, auto_gamma(height, width, batch), f"0.0002 * {height} * {width} / batch {batch}"),
        "ema_kimg": choose("ema_kimg", None, auto_ema_kimg(batch), f"batch {batch} * 10 / 32"),
        "ema_rampup": None if options.transfer else preset.ema_rampup,
        "pl_weight": choose("pl_weight", options.pl_weight),
        "style_mixing_prob": choose("style_mixing_prob", options.style_mixing_prob),
    }
    if options.batch not in (None, preset.batch) and preset.batch != "auto" and preset.ema_kimg != "auto":
        choose.reasons["ema_kimg"] = f"preset {options.cfg}, made for batch {preset.batch}"
    if options.transfer:
        choose.reasons["ema_rampup"] = "transfer learning starts from trained networks"
    return fields


def augmentation_fields(choose):
    """What D sees of it."""
    options = choose.options
    if options.p is not None:
        choose.reasons["p"] = "as asked" if options.aug == "fixed" else f"--p {options.p:g} is not used: it is for --aug fixed"
    if options.target is not None:
        choose.reasons["target"] = "as asked" if options.aug == "ada" else f"not used with --aug {options.aug}"
    if options.transfer:
        choose.reasons["ada_kimg"] = "transfer learning starts from trained networks"
    return {
        "aug": options.aug,
        "augpipe": written(options.augpipe),
        "p": (0.2 if options.p is None else options.p) if options.aug == "fixed" else 0.0,
        "p_max": options.p_max,
        "target": 0.6 if options.target is None else options.target,
        "ada_kimg": 100 if options.transfer else 500,
    }


def report_fields(choose):
    """What is told of it."""
    options = choose.options
    return {
        "tick": options.tick,
        "snap": choose("snap", options.snap),
        "metrics": options.metrics,
        "metrics_share": options.metrics_share,
        "workers": options.workers,
        "nobench": options.nobench,
        "allow_tf32": options.allow_tf32,
        "keep": options.keep,
        "keep_every": options.keep_every,
        "disk_budget": options.disk_budget,
        "on_nan": options.on_nan,
        "on_collapse": options.on_collapse,
        "held_out": options.held_out,
    }


def check_options(options):
    """Raise UserError if an option is out of range or contradicts another."""
    if options.gpus < 1:
        raise UserError(f"--gpus {options.gpus}: it must be 1 or more.")
    whole = ("kimg", "batch", "batch_gpu", "cbase", "cmax", "map_depth", "mbstd_group", "snap", "z_dim", "w_dim", "subset")
    positive = dict.fromkeys(whole, 1) | {"freezed": 0, "workers": 0, "keep": 1}
    positive |= dict.fromkeys(("tick", "gamma", "glr", "dlr", "pl_weight"), 0.0)
    for name, least in positive.items():
        value = getattr(options, name)
        if value is not None and (name, value) != ("batch_gpu", "auto") and not least <= value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be {least} or more.")
    for name, low in (("p", 0), ("p_max", 0), ("style_mixing_prob", 0), ("target", -1)):
        value = getattr(options, name)
        if value is not None and not low <= value <= 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be from {low} to 1.")
    transforms_of(options.augpipe)
    if options.freeze_mapping and not options.transfer:
        raise UserError(
            "--freeze-mapping: the mapping network of a run from nothing would stay random. Name a trained network by --resume."
        )
    if options.fp32 and options.precision in ("bf16", "fp16"):
        raise UserError(f"--fp32 and --precision {options.precision} contradict each other. Leave one of them out.")
    if not 0 < options.metrics_share <= 100:
        raise UserError(f"--metrics-share {options.metrics_share:g}: it must be more than 0, and at most 100 percent.")
    if options.tick == 0:
        raise UserError("--tick 0: a tick needs at least some pictures; say for instance --tick 0.5 (thousands).")
    for name in ("keep_every", "disk_budget"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be more than 0.")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed {options.seed}: it must be from 0 to {2**32 - 1}.")


def check_batch(options, batch, batch_gpu):
    """Raise UserError if the batch, given or the preset's, cannot be split as asked."""
    if batch % options.gpus:
        raise UserError(f"--batch {batch} is no multiple of --gpus {options.gpus}. Make it one.")
    if batch_gpu and batch % (batch_gpu * options.gpus) and batch % batch_gpu == 0:
        raise UserError(
            f"--batch {batch}: {options.gpus} processes with --batch-gpu {batch_gpu} take {batch_gpu * options.gpus} pictures "
            "at a time. Make it a multiple of that, or --batch-gpu smaller."
        )
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
    nominal = PictureShape.of((height, width)).levels[-1].resolution
    if options.cbase is not None and options.cbase < nominal:
        raise UserError(f"--cbase {options.cbase}: it leaves no channel at {nominal} pixels. Give {nominal} or more.")
    if options.cond and dataset.label_dim == 0:
        raise UserError(f"--cond: {dataset.name} has no labels. Leave --cond out, or prepare the data with --labels.")

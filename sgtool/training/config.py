"""The configuration of a run: every number that decides how it comes out."""

import copy
import dataclasses
from dataclasses import dataclass

W_AVG_BETA = 0.998  # decay of the mean of w, at each step


@dataclass(frozen=True)
class TrainConfig:
    """All numbers of a run. Written to training_options.json before the first step, and into each snapshot.

    Fields with a default came later: in the runs of older versions, which lack them, they had that value.
    """

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
    channel_base: int | None  # None = the networks adopted from a snapshot list their feature maps block by block
    channel_max: int | None
    d_architecture: str
    mbstd_group: int | None  # None = all that is computed at a time
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
    batch_gpu_auto: bool = False  # batch_gpu becomes smaller where memory does not suffice
    freeze_mapping: bool = False  # G's mapping network is not trained
    metrics_share: float = 10  # percent of the time that published metrics take at most
    # how many snapshots stay
    keep: int | None = None  # so many newest ones; None = all
    keep_every: float | None = None  # the first of each so many kimg too
    disk_budget: float | None = None  # GB that the run folder may take
    # when something goes wrong
    on_nan: str = "rollback"
    on_collapse: str = "warn"
    held_out: str | None = None  # pictures that are not trained on, to measure with
    fp32_blocks: str = ""  # blocks in single precision throughout, "D.b8,G.synthesis.b16": of a rollback
    # transfer learning
    generator: dict | None = None  # all keywords of the networks adopted from a snapshot; None = those of the fields above
    discriminator: dict | None = None
    source: dict | None = None  # the snapshot: "file" as it was named, "sha256", "format", "nimg"

    def as_dict(self):
        """Give it as plain values."""
        return dataclasses.asdict(self) | {"metrics": list(self.metrics)}

    @classmethod
    def from_dict(cls, values):
        """Make it from `as_dict`, also of an older version; unknown keys, of a newer version, are a TypeError."""
        return cls(**values | {"metrics": tuple(values["metrics"])})

    @classmethod
    def knows(cls, keys):
        """Whether `from_dict` reads a dict with these keys: none of another version but fields that came later."""
        fields = dataclasses.fields(cls)
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        return needed <= set(keys) <= {field.name for field in fields}

    @property
    def networks(self):
        """Keywords of the adopted networks, (G's, D's), or None."""
        return None if self.generator is None else (self.generator, self.discriminator)

    def generator_kwargs(self):
        """Keywords of `build_generator`."""
        if self.generator is not None:
            return copy.deepcopy(self.generator)
        return {
            "z_dim": self.z_dim,
            "c_dim": self.c_dim,
            "w_dim": self.w_dim,
            "img_resolution": self.img_resolution,
            "img_channels": self.channels,
            "mapping_kwargs": {"num_layers": self.map_depth, "w_avg_beta": W_AVG_BETA},
            "synthesis_kwargs": self._block_kwargs(),
        }

    def discriminator_kwargs(self):
        """Keywords of `build_discriminator`."""
        if self.discriminator is not None:
            return copy.deepcopy(self.discriminator)
        return {
            "c_dim": self.c_dim,
            "img_resolution": self.img_resolution,
            "img_channels": self.channels,
            "architecture": self.d_architecture,
            "block_kwargs": {"freeze_layers": self.freezed},
            "epilogue_kwargs": {"mbstd_group_size": self.mbstd_group},
            **self._block_kwargs(),
        }

    @property
    def img_resolution(self):
        """Size of the pictures as networks take it: an int, or [height, width]."""
        return self.height if self.height == self.width else [self.height, self.width]

    def _block_kwargs(self):
        names = ("channel_base", "channel_max", "num_fp16_res", "conv_clamp")
        return {name: getattr(self, name) for name in names}

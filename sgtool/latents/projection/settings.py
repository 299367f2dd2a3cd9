"""The numbers of a projection."""

import dataclasses

SPACES = ("w", "w+")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How latents are searched and how a generator is tuned around them.

    The numbers of the search are those of the published projector: StyleGAN2 (Karras et al. 2020), section 5 and appendix D; the
    numbers of the tuning those of pivotal tuning (Roich et al. 2021), section 3.2. Where they are another's, it is said.

    Raises:
        ValueError: a number with which nothing can be computed.
    """

    space: str = "w"  # "w": one row for all layers; "w+": a row for each layer
    num_steps: int = 1000
    seed: int = 303  # of the noise maps at the start and of what is added to w
    w_avg_samples: int = 10000  # latents from which the mean and the spread of w are taken
    initial_learning_rate: float = 0.1
    initial_noise_factor: float = 0.05  # what is added to w at first, in spreads of w
    lr_rampup_length: float = 0.05  # these three are fractions of the steps
    lr_rampdown_length: float = 0.25
    noise_ramp_length: float = 0.75
    regularize_noise_weight: float = 1e5
    optimise_noise: bool = True  # False: the network's own maps, as `generate` uses them
    patience: int = 0  # steps without improvement after which a picture is finished off; 0 = never. Ours
    min_improvement: float = 0.01  # of its distance, relative, that counts as one. Ours

    tuning_steps: int = 350
    tuning_learning_rate: float | None = None  # None: the published 3e-4, more for narrow networks, see `tuning.learning_rate`
    tuning_distance_weight: float = 1.0
    tuning_pixel_weight: float = 1.0  # of the mean squared difference, pictures being in -1..1
    locality_weight: float = 0.0  # 0 = no locality regularisation
    locality_radius: float = 30.0  # how far from the pivot, in W, the network is held to what it was

    def __post_init__(self):
        if self.space not in SPACES:
            raise ValueError(f"space must be one of {', '.join(SPACES)}, not {self.space!r}")
        for name in ("num_steps", "w_avg_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
                raise ValueError(f"{field.name} must be 0 or more, not {value}")

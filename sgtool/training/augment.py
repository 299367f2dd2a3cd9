"""The augmentation pipe that the discriminator sees all pictures through, real and generated alike.

Karras et al., Training GANs with limited data (2020), section 3 and appendix B. `docs/augmentation.md` describes each transform.
"""

import dataclasses
import math

import torch

from sgtool.training import colour, corruption, geometry, resampling, wavelets
from sgtool.training.draws import FixedDraws, RandomDraws
from sgtool.training.pipes import BLIT, COLOR, GEOM, SETS, TRANSFORMS

PIPES = {name: dict.fromkeys(transforms, 1) for name, transforms in SETS.items()}


@dataclasses.dataclass(frozen=True)
class AugmentOptions:
    """Which transforms there are, and how strong. The first fifteen are multipliers of p in [0, 1]; 0 leaves a transform out."""

    xflip: float = 0  # mirror left and right, for half of those chosen
    rotate90: float = 0  # turn by a random multiple of 90 degrees
    xint: float = 0  # shift by whole pixels
    scale: float = 0  # magnify
    rotate: float = 0  # turn by any angle
    aniso: float = 0  # stretch one axis and shrink the other
    xfrac: float = 0  # shift by fractions of a pixel
    brightness: float = 0  # add to all colours
    contrast: float = 0  # multiply all colours
    lumaflip: float = 0  # turn light to dark, keeping hue and saturation; for half of those chosen
    hue: float = 0  # turn the colours about the grey axis
    saturation: float = 0  # multiply the distance from the grey axis
    imgfilter: float = 0  # amplify and damp octaves of frequency
    noise: float = 0  # add Gaussian noise
    cutout: float = 0  # set a square to 0
    xint_max: float = 0.125  # largest shift by whole pixels, in picture sizes
    scale_std: float = 0.2  # standard deviation of log2 of the magnification
    rotate_max: float = 1  # largest angle; 1 is half a turn, either way
    aniso_std: float = 0.2  # standard deviation of log2 of the stretching
    xfrac_std: float = 0.125  # standard deviation of the shift, in picture sizes
    brightness_std: float = 0.2  # standard deviation of the offset, on pictures in [-1, 1]
    contrast_std: float = 0.5  # standard deviation of log2 of the factor
    hue_max: float = 1  # largest angle; 1 is half a turn, either way
    saturation_std: float = 1  # standard deviation of log2 of the factor
    imgfilter_bands: tuple = (1, 1, 1, 1)  # multipliers for the four octaves, low frequencies first
    imgfilter_std: float = 1  # standard deviation of log2 of an octave's gain
    noise_std: float = 0.1  # the noise's standard deviation is this times the magnitude of a standard normal number
    cutout_size: float = 0.5  # side of the square, in picture sizes

    def __post_init__(self):
        object.__setattr__(self, "imgfilter_bands", tuple(self.imgfilter_bands))
        if len(self.imgfilter_bands) != 4:
            raise ValueError(f"imgfilter_bands has {len(self.imgfilter_bands)} values; there are 4 bands.")
        multipliers = {name: getattr(self, name) for name in TRANSFORMS}
        multipliers |= {f"imgfilter_bands[{i}]": value for i, value in enumerate(self.imgfilter_bands)}
        for name, value in multipliers.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; a multiplier of the probability goes from 0 to 1.")

    def any_of(self, transforms):
        return any(getattr(self, name) > 0 for name in transforms)


class AugmentPipe(torch.nn.Module):
    """Random transforms of pictures, each applied to each picture with probability p times its multiplier.

    Pictures pass geometry (one resampling), colour (one affine map), filter, noise and cutout, in this order. All of it can be
    differentiated twice with respect to the pictures. Pictures of 16 bits are transformed in float32 and rounded at the end.

    Args:
        options: the fields of `AugmentOptions`, by name: `AugmentPipe(**PIPES["bgc"])`.
    Raises:
        ValueError: a multiplier is outside [0, 1].
    """

    def __init__(self, **options):
        super().__init__()
        self.options = AugmentOptions(**options)
        self.register_buffer("resampling_filter", wavelets.resampling_filter(), persistent=False)
        self.register_buffer("filter_bank", wavelets.filter_bank(), persistent=False)

    def forward(self, images, p, debug_percentile=None, debug_noise=None, draws=None):
        """Augment a batch.

        Random numbers come from `draws`; without, from torch's global generators, the CPU's for the parameters and that of the
        pictures' device for the noise. With p = 0 the pictures are returned as they are, and nothing is drawn; otherwise what is
        drawn is the same for every p.

        Args:
            images: `[N, C, H, W]` floating point in [-1, 1]; 1 channel, 3, or 4 with alpha last, which colour leaves alone.
                Any other C where no colour transform is on.
            p: probability in [0, 1].
            debug_percentile: if given, every transform is applied to every picture, with its parameters at this percentile.
            debug_noise: standard normal `[N, C, H, W]` to use as noise; None draws it.
            draws: `randomness.Draws`, a stream for each picture; None = torch's global generators.
        Returns:
            `[N, C, H, W]`, of the type of `images`.
        Raises:
            ValueError: p or the shape or type of the pictures does not fit.
        """
        self._check(images, p, debug_percentile)
        count, channels, height, width = images.shape
        if count == 0 or (p == 0 and debug_percentile is None):
            return images
        options, x = self.options, images.to(torch.promote_types(images.dtype, torch.float32))
        noise = _noise(x, draws) if debug_noise is None and options.noise > 0 else debug_noise
        fixed = debug_percentile is not None
        draws = FixedDraws(count, float(debug_percentile)) if fixed else RandomDraws(count, float(p), draws)
        if options.any_of(BLIT + GEOM):
            x = resampling.resample(x, geometry.draw_transforms(options, draws, height, width), self.resampling_filter)
        if options.any_of(COLOR):
            x = colour.recolour(x, colour.draw_colour_maps(options, draws, channels))
        if options.imgfilter > 0:
            x = corruption.filter_octaves(x, corruption.draw_filter_gains(options, draws), self.filter_bank)
        if options.noise > 0:
            x = corruption.add_noise(x, corruption.draw_noise_strengths(options, draws), noise)
        if options.cutout > 0:
            x = corruption.cut_out(x, corruption.draw_cutouts(options, draws))
        return x.to(images.dtype)

    def _check(self, images, p, percentile):
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(f"AugmentPipe needs floating point pictures [N, C, H, W], not {images.dtype} {list(images.shape)}.")
        if not 0 <= p <= 1:
            raise ValueError(f"The augmentation probability p is {float(p)}; it goes from 0 to 1.")
        if percentile is not None and not 0 < percentile < 1:
            raise ValueError(f"debug_percentile is {percentile}; it lies between 0 and 1.")
        if images.shape[1] not in (1, 3, 4) and self.options.any_of(COLOR):
            raise ValueError(
                f"Colour transforms need pictures of 1, 3 or 4 channels, not {images.shape[1]}. "
                "Use an augmentation pipe without colour: blit, geom, bg, filter, noise or cutout."
            )
        if math.prod(images.shape[1:]) == 0:
            raise ValueError(f"AugmentPipe got pictures without pixels: {list(images.shape)}.")

    def extra_repr(self):
        given, default = dataclasses.asdict(self.options), dataclasses.asdict(AugmentOptions())
        return ", ".join(f"{name}={value}" for name, value in given.items() if value != default[name])


def _noise(x, draws):
    """Standard normal numbers in the shape of `x`."""
    return torch.randn_like(x) if draws is None else draws.normals(*x.shape[1:])

"""The networks: StyleGAN2 as of StyleGAN2-ADA, for any number of channels and any k * 2**n picture shape."""

from sgtool.networks.build import build_discriminator, build_generator
from sgtool.networks.layers import set_precision
from sgtool.networks.precision import describe_precision, has_hardware
from sgtool.networks.shapes import PictureShape
from sgtool.networks.stylegan2 import Discriminator, Generator

__all__ = [
    "Discriminator",
    "Generator",
    "PictureShape",
    "build_discriminator",
    "build_generator",
    "describe_precision",
    "has_hardware",
    "set_precision",
]

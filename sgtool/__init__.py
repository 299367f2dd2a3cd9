"""sgtool: a folder of pictures into a StyleGAN2-ADA generator that can be explored."""

__version__ = "0.1.0"

"""Picture shapes: which block has which size, and how many channels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureShape:
    """H x W = (base_height * 2**doublings) x (base_width * 2**doublings).

    The base is the size of the first block. Square powers of two have the published base of 4 x 4; other shapes are halved
    as long as the longer side of the base stays at 4 or more, so 512 x 384 (height x width) has the base 4 x 3.
    """

    base_height: int
    base_width: int
    doublings: int

    @classmethod
    def of(cls, img_resolution):
        """Make it from an int or (height, width), in pixels.

        Raises:
            ValueError: a side is not a positive whole number.
        """
        sides = list(img_resolution) if isinstance(img_resolution, (list, tuple)) else [img_resolution] * 2
        if len(sides) != 2 or any(not isinstance(n, int) or n < 1 for n in sides):
            raise ValueError(f"img_resolution must be an int or (height, width) of positive ints, not {img_resolution!r}")
        height, width = sides
        doublings = 0
        while height % 2 == 0 and width % 2 == 0 and max(height, width) >= 8:
            height, width, doublings = height // 2, width // 2, doublings + 1
        return cls(height, width, doublings)

    @property
    def height(self):
        """Height of the picture in pixels."""
        return self.base_height << self.doublings

    @property
    def width(self):
        """Width of the picture in pixels."""
        return self.base_width << self.doublings

    @property
    def levels(self):
        """One `Level` for each block, smallest first."""
        return [Level(4 << k, self.base_height << k, self.base_width << k) for k in range(self.doublings + 1)]

    def channels(self, channel_base, channel_max, channels=None):
        """Feature maps of each block, smallest first: min(channel_base / resolution, channel_max), or `channels` itself.

        Raises:
            ValueError: a block would have none, or `channels` is not one positive int for each block.
        """
        if channels is None:
            return [level.channels(channel_base, channel_max) for level in self.levels]
        if len(channels) != self.doublings + 1 or any(type(n) is not int or n < 1 for n in channels):
            raise ValueError(f"channels must be {self.doublings + 1} positive ints, not {channels!r}")
        return list(channels)

    def half_precision_from(self, num_fp16_res):
        """Nominal resolution from which on the top `num_fp16_res` blocks lie; the first block is never among them."""
        return max((8 << self.doublings) >> num_fp16_res, 8)


@dataclass(frozen=True)
class Level:
    """Size of one block. `resolution` names it (b4, b8, ...) and sets its channels; it is nominal: 4 * 2**k for any base."""

    resolution: int
    height: int
    width: int

    def channels(self, channel_base, channel_max):
        """Number of feature maps: channel_base / resolution, at most channel_max."""
        number = min(channel_base // self.resolution, channel_max)
        if number < 1:
            raise ValueError(f"channel_base {channel_base} leaves no channel at resolution {self.resolution}")
        return number

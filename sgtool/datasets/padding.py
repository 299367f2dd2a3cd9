"""Padding around a picture: its reflection, which fades into a blur and then into one colour."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

SMALL_BLUR = 3  # pixels: a wider blur is computed on a picture reduced until it is that narrow
MEDIAN_GRID = 320  # points along the longer side of the padded picture at which its median is taken
BAND = 256  # rows that are blended at a time
UNTOUCHED = -1 / 3  # depth from which inwards the picture is left as it is


@dataclass(frozen=True)
class Padding:
    """A picture with padding around it, of which only the parts that are asked for are computed.

    It is the picture's reflection r, and with d = max over x and y of (1 - distance to the edge / width of the padding):
    first a = r + (blur(r) - r) clip(3 d + 1, 0, 1), then a + (median(a) - a) clip(d, 0, 1).

    Attributes:
        pixels: uint8 `[H, W, C]`, the picture without padding. Positions count from its first pixel.
        before, after: int `[2]`: width of the padding in x and y, in pixels, at the start and at the end.
        sigma: standard deviation of the blur in pixels.
    """

    pixels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    sigma: float

    @property
    def stop(self):
        """The first position behind the padding, int `[2]`."""
        return self.after + self.pixels.shape[1::-1]

    def blended(self, start, stop):
        """The pixels from `start` to before `stop` (x and y): uint8 `[H, W, C]`."""
        columns, rows = (np.arange(a, b) for a, b in zip(start, stop, strict=True))
        window = self.reflected(columns, rows)
        if self.deepest(columns, rows) <= UNTOUCHED:
            return window
        blurred = Blurred(self, start, stop)
        median = self.median()
        for top in range(0, len(rows), BAND):
            band = slice(top, top + BAND)
            if self.deepest(columns, rows[band]) > UNTOUCHED:
                depth = self.depth(columns, rows[band])
                values = _faded(window[band].astype(np.float32), blurred.rows(rows[band]), 3 * depth + 1)
                window[band] = np.clip(np.rint(_faded(values, median, depth)), 0, 255)
        return window

    def reflected(self, columns, rows):
        """The picture's reflection at the given columns and rows, `[H, W, C]`; the pixels at the edges are not doubled."""
        y, x = (_reflection(p, n) for p, n in zip((rows, columns), self.pixels.shape, strict=False))
        return self.pixels[y[:, np.newaxis], x]

    def depth(self, columns, rows):
        """How deep in the padding, float32 `[H, W, 1]`: 1 at the outer edge, 0 at the picture's, negative inside it."""
        x, y = self._depths(columns, rows)
        return np.maximum(x, y[:, np.newaxis])[:, :, np.newaxis]

    def deepest(self, columns, rows):
        """The largest `depth` there."""
        return max(depths.max() for depths in self._depths(columns, rows))

    def _depths(self, *positions):
        for axis, p in enumerate(positions):
            first = (p + self.before[axis]) / max(self.before[axis], 1)
            last = (self.stop[axis] - 1 - p) / max(self.after[axis], 1)
            yield 1 - np.minimum(first, last).astype(np.float32)

    def median(self):
        """Median colour of the blurred and padded picture, float `[C]`; of a grid of its pixels if there are many."""
        step = max(1, int(max(self.stop + self.before)) // MEDIAN_GRID)
        columns, rows = (np.arange(step // 2 - a, b, step) for a, b in zip(self.before, self.stop, strict=True))
        grid = self.reflected(columns, rows).astype(np.float32)
        sigma = self.sigma / step
        blurred = ndimage.gaussian_filter(grid, (sigma, sigma, 0))
        return np.median(_faded(grid, blurred, 3 * self.depth(columns, rows) + 1), axis=(0, 1))


class Blurred:
    """The blurred reflection in a window. A wide blur is computed at a lower resolution, where it is the same and fast."""

    def __init__(self, padding, start, stop):
        reach = int(4 * padding.sigma + 0.5)
        low, high = np.maximum(start - reach, -padding.before), np.minimum(stop + reach, padding.stop)
        pixels = padding.reflected(*(np.arange(a, b) for a, b in zip(low, high, strict=True)))
        self.low, self.start, self.stop = low, start, stop
        self.factor = max(1, int(padding.sigma / SMALL_BLUR))
        # The mean of k x k pixels is itself a blur, of variance (k^2 - 1) / 12.
        sigma = np.sqrt(padding.sigma**2 - (self.factor**2 - 1) / 12) / self.factor
        means = (np.asarray(Image.fromarray(pixels[:, :, i]).reduce(self.factor)) for i in range(pixels.shape[2]))
        self.channels = [Image.fromarray(ndimage.gaussian_filter(mean.astype(np.float32), sigma)) for mean in means]

    def rows(self, positions):
        """Those of the window's rows, float32 `[len(positions), W, C]`. `positions` are consecutive."""
        left, right = ((x - self.low[0]) / self.factor for x in (self.start[0], self.stop[0]))
        top, bottom = ((y - self.low[1]) / self.factor for y in (positions[0], positions[-1] + 1))
        size, box = (int(self.stop[0] - self.start[0]), len(positions)), (left, top, right, bottom)
        return np.stack([np.asarray(c.resize(size, Image.Resampling.BICUBIC, box)) for c in self.channels], axis=2)


def _faded(values, target, weight):
    return values + (target - values) * np.clip(weight, 0, 1)


def _reflection(positions, length):
    """Map positions outside 0..length-1 to those that they mirror: -1 to 1, length to length - 2, again and again."""
    period = max(2 * (length - 1), 1)
    positions = positions % period
    return np.minimum(positions, period - positions)

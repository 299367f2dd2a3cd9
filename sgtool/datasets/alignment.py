"""Turning a face upright: from a picture and 68 landmarks to a square picture, as the FFHQ data set was made.

T. Karras, S. Laine, T. Aila: A Style-Based Generator Architecture for Generative Adversarial Networks (2019), appendix A;
the geometry follows T. Karras et al.: Progressive Growing of GANs (2018), appendix C. Positions are (x, y) in pixels of the
picture, y downwards, (0, 0) being the centre of the pixel at the top left.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from sgtool.datasets.padding import Padding
from sgtool.datasets.transforms import Skip, to_8_bit

LEFT_EYE, RIGHT_EYE, MOUTH_CORNERS = slice(36, 42), slice(42, 48), [48, 54]  # left and right as seen in the picture
BORDER = 0.1  # of the square's side: what is kept around the square, for the blur to look at
LEAST_PADDING = 0.3  # of the side: on every side, if padding is needed at all
BLUR = 0.02  # of the side: standard deviation
FARTHEST = 1e6  # pixels from a picture's corner
SAMPLES = 2.5  # per pixel of the picture, along each axis: more show no difference


@dataclass(frozen=True)
class Square:
    """Where the face lies.

    Attributes:
        corners: float64 `[4, 2]`: top left, bottom left, bottom right, top right, as the face sees it.
        side: length of its sides in pixels.
    """

    corners: np.ndarray
    side: float

    @property
    def low(self):
        """Smallest x and y that it covers, int `[2]`."""
        return np.floor(self.corners.min(axis=0)).astype(int)

    @property
    def high(self):
        """Largest x and y that it covers, int `[2]`."""
        return np.ceil(self.corners.max(axis=0)).astype(int)

    def moved(self, offset):
        """The same square in a picture whose pixel (0, 0) is the pixel `offset` of this one."""
        return replace(self, corners=self.corners - offset)

    def shrunk(self, factor):
        """The same square in a picture `factor` times smaller."""
        return Square(self.corners / factor, self.side / factor)


def align(picture, landmarks, size=1024, transform_size=4096):
    """Cut out a face, upright and centred, as the FFHQ data set was made.

    A picture much larger than the result is first shrunk by a whole number (Lanczos). The square of `face_square` is
    then sampled at `transform_size` points along each side (bilinear), and these are filtered to `size` (Lanczos). Where
    the square leaves the picture, it sees the picture's reflection, which fades into a blur and then into one colour.

    Args:
        picture: PIL image of any mode; what is not 8 bits a channel is converted by `transforms.to_8_bit`.
        landmarks: `[68, 2]` numbers, x and y in pixels, in the order of iBUG 300-W (see `face_square`).
        size: side of the result in pixels.
        transform_size: samples along a side, 4096 for FFHQ. None takes fewer where the face is small (2.5 for each pixel
            of the picture, from 2 to 4 for each of the result), which is up to four times as fast and changes the result
            by a fifth of a level of 255 on average.
    Returns:
        PIL image, `size` x `size`: L from grey pictures, RGBA from those with transparency (which is padded like a colour,
        and never lets the colour under it through), RGB from all others.
    Raises:
        Skip: the landmarks make no face, or one outside the picture; the picture's values have no known range.
        ValueError: `landmarks` is not `[68, 2]`, or `transform_size` is below `size`.
    """
    if size < 1 or (transform_size is not None and transform_size < size):
        raise ValueError(f"transform_size must be at least size, and size at least 1, not {transform_size} and {size}")
    picture, _ = to_8_bit(picture)
    picture, square = _shrunk(picture, face_square(landmarks), size)
    picture, square = _cropped(picture, square)
    premultiplied = picture.mode in ("LA", "RGBA")
    if premultiplied:
        picture = picture.convert("RGBA").convert("RGBa")
    picture, square = _padded(picture, square)
    samples = transform_size or enough_samples(square.side, size)
    quad = tuple((square.corners + 0.5).ravel())  # PIL counts from the pixels' corners
    picture = picture.transform((samples, samples), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    if samples > size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return picture.convert("RGBA") if premultiplied else picture


def face_square(landmarks):
    """Find the square that FFHQ cuts out around a face.

    With e the mean of the two eyes e0 and e1, m the mean of the two corners of the mouth, and R the turn
    (a, b) -> (-b, a): the square's half axis x points along (e1 - e0) - R(m - e) and is max(2 |e1 - e0|, 1.8 |m - e|)
    long, y = R(x), the centre is e + 0.1 (m - e).

    Args:
        landmarks: `[68, 2]`: points 36 to 41 and 42 to 47 are the eyes, 48 and 54 the corners of the mouth.
    Returns:
        `Square` with corners c - x - y, c - x + y, c + x + y, c + x - y and sides of 2 |x|.
    Raises:
        Skip: the points lie beyond any picture, are not numbers, or coincide.
        ValueError: `landmarks` is not `[68, 2]`.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"landmarks must be [68, 2], not {list(points.shape)}")
    if not (np.abs(points) < FARTHEST).all():
        raise Skip("the landmarks of a face are no places in a picture")
    eyes = np.stack([points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)])
    across = eyes[1] - eyes[0]
    middle = eyes.mean(axis=0)
    down = points[MOUTH_CORNERS].mean(axis=0) - middle
    direction = across - _turned(down)
    length = np.hypot(*direction)
    if not length > 1e-6:
        raise Skip("the landmarks make no face: eyes and mouth coincide or contradict each other")
    half = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    x = direction * (half / length)
    y = _turned(x)
    centre = middle + 0.1 * down
    return Square(np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y]), 2 * float(half))


def _turned(vector):
    return np.array([-vector[1], vector[0]])


def enough_samples(side, size):
    """Tell how many samples along a side show all that a square of `side` pixels holds: 2, 3 or 4 times `size`."""
    return size * int(np.clip(np.ceil(SAMPLES * side / size), 2, 4))


def _shrunk(picture, square, size):
    """Shrink the picture by the largest whole number that leaves at least two pixels for each of the result."""
    factor = int(square.side / size / 2)
    if factor <= 1:
        return picture, square
    smaller = tuple(int(n) for n in np.maximum(np.rint(np.array(picture.size) / factor), 1))
    return picture.resize(smaller, Image.Resampling.LANCZOS), square.shrunk(factor)


def _border(square):
    return max(int(np.rint(BORDER * square.side)), 3)


def _cropped(picture, square):
    """Crop to the bounds of the square and a border around it, as far as the picture reaches."""
    start = np.maximum(square.low - _border(square), 0)
    stop = np.minimum(square.high + _border(square), picture.size)
    if (square.low >= picture.size).any() or (square.high <= 0).any():
        raise Skip("the landmarks put a face outside the picture")
    return picture.crop((*map(int, start), *map(int, stop))), square.moved(start)


def _padded(picture, square):
    """Where the square leaves the picture, put padding around it; what is then left out is far from the square."""
    border = _border(square)
    before = np.maximum(border - square.low, 0)
    after = np.maximum(square.high + border - picture.size, 0)
    if max(*before, *after) <= border - 4:
        return picture, square
    least = int(np.rint(LEAST_PADDING * square.side))
    pixels = np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width, -1)
    padding = Padding(pixels, np.maximum(before, least), np.maximum(after, least), BLUR * square.side)
    start = np.maximum(square.low - 2, -padding.before)  # bilinear sampling looks a pixel further
    stop = np.minimum(square.high + 3, picture.size + padding.after)
    window = np.ascontiguousarray(padding.blended(start, stop))
    return Image.frombytes(picture.mode, (window.shape[1], window.shape[0]), window.tobytes()), square.moved(start)

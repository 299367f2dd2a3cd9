"""What can be told of one picture by itself: a few numbers, taken by the workers, that `judge` compares over all."""

import hashlib
import io
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from sgtool.datasets.detail import detail, sharpness
from sgtool.datasets.sources import notes_of
from sgtool.datasets.transforms import to_8_bit, to_channels
from sgtool.images import from_pil

SIDE = 256  # pixels: shorter side at which sharpness is measured, unless a size is given
LONGEST = 4  # ratio of the sides up to which all of a picture is looked at for sharpness
GRID = 16  # rows and columns of the small picture that near duplicates are found by
COLOUR_GRID = 4
COLOURLESS = 4  # of 128: so little colour counts as grey
THUMBNAIL_SIDE, THUMBNAIL_BYTES = 96, 3072
QUALITIES = (75, 60, 45, 30, 15, 5)  # the first one with which a thumbnail is small enough
HAMMING = Image.Resampling.HAMMING

# A picture's numbers in 332 bytes.
ROW = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("scale", "<f4"),
        ("sharpness", "<f4"),
        ("detail", "<f4"),
        ("transparent", "<f4"),
        ("dark", "u1"),
        ("bright", "u1"),
        ("grey", "?"),
        ("turned", "?"),
        ("digest", "V16"),
        ("shape", "i1", (GRID, GRID)),
        ("chroma", "u1", (COLOUR_GRID, COLOUR_GRID, 2)),
    ]
)


@dataclass(frozen=True)
class Failure:
    """A picture that is left out, and why; `unreadable` ones are damaged, others were not wanted."""

    reason: str
    unreadable: bool = True


@dataclass(frozen=True)
class Measures:
    """The numbers of one picture.

    Attributes:
        width, height: in pixels, upright.
        scale: factor by which it would be enlarged to reach the target size; 1 or less: it is large enough; 0: no target.
        sharpness: see `detail.sharpness`, at a shorter side of 256 pixels or that of the target; nan: nothing to see.
        detail: see `detail.detail`, of all its pixels.
        transparent: share of pixels that are not opaque, 0..1.
        dark, bright: 1st and 99th percentile of luma, 0..255; transparent pixels lie over white.
        grey: it shows no colour, whatever its file says.
        turned: the file says by EXIF that the picture must be turned to be upright, and it was.
        digest: 16 bytes, equal for equal pixels (size, mode, values) only.
        shape: 256 bytes: luma of 16 x 16 cells, the picture's mean taken out, scaled to -127..127. All 0: a plain picture.
        chroma: 32 bytes: Cb and Cr, 0..255, of 4 x 4 cells.
        thumbnail: JPEG of at most 96x96 pixels and 3 KiB, or no bytes.
    """

    width: int
    height: int
    scale: float
    sharpness: float
    detail: float
    transparent: float
    dark: int
    bright: int
    grey: bool
    turned: bool
    digest: bytes
    shape: bytes
    chroma: bytes
    thumbnail: bytes = b""

    def row(self):
        """All but the thumbnail as the bytes of one `ROW`."""
        row = np.zeros((), ROW)
        for name in ROW.names:
            value = getattr(self, name)
            if name in ("shape", "chroma"):
                value = np.frombuffer(value, ROW[name].base).reshape(ROW[name].shape)
            row[name] = value
        return row.tobytes()

    def to_bytes(self):
        """The whole as bytes, to be kept in a file."""
        return self.row() + self.thumbnail

    @classmethod
    def from_bytes(cls, data):
        """The inverse of `to_bytes`.

        Raises:
            ValueError: too few bytes.
        """
        if len(data) < ROW.itemsize:
            raise ValueError(f"{len(data)} bytes are no measures: they take {ROW.itemsize} and a thumbnail")
        row = np.frombuffer(data, ROW, 1)[0]
        values = {name: row[name].tobytes() if name in ("digest", "shape", "chroma") else row[name].item() for name in ROW.names}
        return cls(**values, thumbnail=bytes(data[ROW.itemsize :]))


assert [field.name for field in fields(Measures)] == [*ROW.names, "thumbnail"], "Measures and ROW differ"


def measure(image, target_size=None, *, thumbnail=True):
    """Take the measures of a picture; runs in a worker.

    Args:
        image: PIL image of any mode, as `sources.load` gives it: upright, and all its pixels (no reduced scale).
        target_size: (width, height) that it is to cover, or None.
        thumbnail: make one.
    Returns:
        `Measures`.
    Raises:
        Skip: the range of its values is not known.
    """
    turned = "turned" in notes_of(image)
    image, _ = to_8_bit(image)
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    opaque, _ = to_channels(image, 1 if image.mode in ("L", "LA") else 3, None)
    luma = opaque.convert("L")
    dark, bright = _percentiles(luma.histogram())
    shape, chroma, grey = _small(opaque)
    return Measures(
        *image.size,
        scale=max(target_size[0] / image.width, target_size[1] / image.height) if target_size else 0.0,
        sharpness=sharpness(from_pil(_reduced(luma, min(target_size or (SIDE,))))[:, :, 0]),
        detail=detail(from_pil(luma)[:, :, 0]),
        transparent=_transparent(image),
        dark=dark,
        bright=bright,
        grey=grey,
        turned=turned,
        digest=digest.digest(),
        shape=shape,
        chroma=chroma,
        thumbnail=make_thumbnail(opaque) if thumbnail else b"",
    )


def _percentiles(histogram):
    """1st and 99th percentile of a picture with these 256 counts."""
    below = np.cumsum(histogram) / sum(histogram)
    return int(np.searchsorted(below, 0.01)), int(np.searchsorted(below, 0.99))


def _reduced(luma, side):
    """A copy whose shorter side is `side`, or what it is if that is less; of very long pictures the middle."""
    shorter = min(luma.size)
    left, top = (max(0, n - LONGEST * shorter) // 2 for n in luma.size)
    luma = luma.crop((left, top, luma.width - left, luma.height - top))
    if shorter <= side:
        return luma
    size = [max(side, round(n * side / shorter)) for n in luma.size]
    return luma.resize(size, Image.Resampling.BICUBIC, reducing_gap=3)


def _transparent(image):
    if image.mode not in ("LA", "RGBA"):
        return 0.0
    return 1 - image.getchannel("A").histogram()[255] / (image.width * image.height)


def _small(image):
    """The picture in few cells: `shape`, `chroma`, and whether it is grey.

    The mean of the cells is taken out and their largest deviation becomes 127, so that brightness and contrast cancel.
    """
    small = image.resize((4 * GRID, 4 * GRID), HAMMING, reducing_gap=3).convert("YCbCr")
    luma, *colours = small.split()
    cells = np.asarray(luma.reduce(4), np.float32)
    cells -= cells.mean()
    largest = np.abs(cells).max()
    shape = np.rint(cells * (127 / largest) if largest >= 1 else 0 * cells).astype(np.int8)
    values = np.asarray(small)[:, :, 1:]
    grey = image.mode == "L" or np.quantile(np.abs(values.astype(np.int16) - 128), 0.99) <= COLOURLESS
    chroma = np.stack([np.asarray(colour.reduce(4 * GRID // COLOUR_GRID)) for colour in colours], axis=-1)
    return shape.tobytes(), chroma.tobytes(), bool(grey)


def make_thumbnail(image):
    """JPEG of an L or RGB image, at most 96x96 pixels and about 3 KiB."""
    scale = min(1.0, THUMBNAIL_SIDE / max(image.size))
    small = image.resize([max(1, round(n * scale)) for n in image.size], HAMMING, reducing_gap=2)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= THUMBNAIL_BYTES:
            break
    return buffer.getvalue()

"""A sprite sheet: one picture that is cut into tiles."""

import numpy as np

from sgtool.datasets.sources.decode import load
from sgtool.datasets.sources.pictures import ArrayPicture, FilePicture, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.datasets.transforms import Skip, to_8_bit
from sgtool.errors import UserError
from sgtool.images import from_pil


def sheet_source(path, tile):
    """The tiles of a sprite sheet, row by row. Fully transparent tiles are left out.

    Tiles are called `tile00000.png`, `tile00001.png`, ...; empty ones keep their number.

    Args:
        path: picture file (`Path`).
        tile: (width, height) of a tile in pixels.
    """
    width, height = tile
    if not path.is_file():
        raise UserError(f"--tile {width}x{height}: {path} is not a picture file. Give the sprite sheet itself.")
    try:
        image, _ = to_8_bit(load(FilePicture(str(path))))
    except Skip as reason:
        raise UserError(f"{path}: the sprite sheet cannot be read: {reason}. Save it again as PNG.") from reason
    sheet = from_pil(image)
    columns, rows = sheet.shape[1] // width, sheet.shape[0] // height
    if not columns or not rows or (columns * width, rows * height) != image.size:
        raise UserError(
            f"--tile {width}x{height}: {path} is {image.width}x{image.height}, which is no whole number of tiles. "
            "Give the tile size that divides it."
        )
    cells = sheet.reshape(rows, height, columns, width, -1).swapaxes(1, 2).reshape(rows * columns, height, width, -1)
    if image.mode in ("LA", "RGBA"):
        kept = np.flatnonzero(cells[..., -1].max(axis=(1, 2)))
    else:
        kept = np.arange(rows * columns)
    if not len(kept):
        raise UserError(f"{path}: every tile is fully transparent. Give another sprite sheet.")
    names = [f"tile{i:05d}.png" for i in kept]
    return Source(
        names,
        lambda i: ArrayPicture(cells[kept[i]]),
        empty_tiles=rows * columns - len(kept),
        stamps=[(str(path), *stamp_of(path))],
    )

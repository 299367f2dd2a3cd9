"""MNIST's file format, idx: MNIST, Fashion-MNIST, KMNIST, EMNIST. Plain or gzip.

Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits. A file is two zero bytes, a byte for the type
(8: bytes), a byte for the number of axes, the lengths of the axes as big-endian 32-bit numbers, and the values.
"""

import math
import struct
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.pictures import RawPicture, open_regular, read_span, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.datasets.sources.unpacked import Unpacked, opener_of, peek
from sgtool.errors import UserError

TYPES = {0x08: "bytes", 0x09: "signed bytes", 0x0B: "16-bit numbers", 0x0C: "32-bit numbers", 0x0D: "floats", 0x0E: "doubles"}
MOST_AXES = 4


def is_idx(path):
    """Tell whether a file begins like an idx file (unpacked, if it is gzip)."""
    head = peek(path, 4)
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in TYPES and 1 <= head[3] <= MOST_AXES


class Idx:
    """An idx file of bytes.

    Attributes:
        path, stamp: the plain file, see `pictures.stamp_of`.
        shape: lengths of its axes.
        start: where the values begin.
        keep: the temporary copy of a gzip file, or None.
    """

    def __init__(self, path):
        self.path, self.keep = str(path), None
        with open_regular(path) as file:
            packed = opener_of(file.read(8)) is not None
        if packed:
            self.keep = Unpacked(path)
            self.path = self.keep.path
            if self.keep.damage:
                raise UserError(f"{path} is damaged ({self.keep.damage}). Download it again.")
        self.stamp = stamp_of(self.path)
        with open_regular(self.path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= MOST_AXES:
                raise UserError(f"{path} is not an idx file. Download it again.")
            if head[2] != 0x08:
                raise UserError(
                    f"{path} holds {TYPES.get(head[2], 'values of an unknown type')}. Only idx files of bytes are read."
                )
            sizes = file.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise UserError(f"{path} ends within its header. Download it again.")
        self.shape = struct.unpack(f">{head[3]}I", sizes)
        self.start = 4 + 4 * head[3]
        if math.prod(self.shape) + self.start != self.stamp[0]:
            says, has = "x".join(map(str, self.shape)), self.stamp[0] - self.start
            raise UserError(f"{path}: its header says {says} bytes, but it has {has}. Download it again.")


def labels_beside(path):
    """Find the labels of an images file: the file whose name says labels and idx1 instead of images and idx3."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for candidate in (path.with_name(name), path.with_name(name + ".gz")):
        if candidate != path and candidate.is_file():
            return candidate
    return None


def idx_source(path):
    """The pictures of an idx file, with the labels beside it: `img00000.png`, ...

    EMNIST stores rows as columns; its pictures are turned, which is told.

    Args:
        path: the file of images, such as `train-images-idx3-ubyte.gz`.
    Raises:
        UserError: its header does not fit its size, or it has another number of labels.
    """
    path = Path(path)
    images = Idx(path)
    if len(images.shape) != 3:
        raise UserError(f"{path} holds values of shape {list(images.shape)}, no pictures. Give the file of images (idx3).")
    number, height, width = images.shape
    if not number or not height or not width:
        raise UserError(f"{path} holds no picture. Give another file.")
    names = [f"img{i:05d}.png" for i in range(number)]
    beside = labels_beside(path)
    labels = _labels(beside, path, number) if beside else None
    axes, warnings = (0, 1), []
    if path.name.lower().startswith("emnist"):
        axes = (1, 0)
        warnings.append("EMNIST stores rows as columns: its pictures were turned upright.")
    if beside is None:
        warnings.append(f"No labels were found beside {path.name}.")

    def picture(i):
        return RawPicture(images.path, images.stamp, images.start + i * height * width, (height, width), axes)

    return Source(
        names,
        picture,
        labels=None if labels is None else dict(zip(names, labels.tolist(), strict=True)),
        warnings=warnings,
        stamps=[(str(file), *stamp_of(file)) for file in (path, beside) if file],
        keep=images,
    )


def _labels(path, images, number):
    labels = Idx(path)
    if len(labels.shape) != 1 or labels.shape[0] != number:
        raise UserError(f"{path} has {labels.shape[0]} labels, but {images.name} {number} pictures. Download both again.")
    return np.frombuffer(read_span(labels.path, labels.stamp, labels.start, number), np.uint8).astype(np.int64)


def idx_in_folder(folder):
    """Choose the file of images in a folder of idx files.

    Returns:
        its path and a list of warnings; (None, []) if there is none.
    Raises:
        UserError: there are several for training.
    """
    found = [path for path in sorted(folder.iterdir()) if "images" in path.name and "idx3" in path.name and path.is_file()]
    found = [path for path in found if is_idx(path) and not (path.suffix == ".gz" and path.with_suffix("") in found)]
    if not found:
        return None, []
    test = [path for path in found if any(word in path.name for word in ("t10k", "test"))]
    train = [path for path in found if path not in test] or test
    if len(train) > 1:
        raise UserError(f"{folder} holds several files of images ({', '.join(path.name for path in train)}). Give one of them.")
    left_out = [path.name for path in test if path not in train]
    return train[0], [f"The test pictures ({', '.join(left_out)}) were left out; give that file to take them."] * bool(left_out)

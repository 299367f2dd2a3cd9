"""Reading a dataset: zip or folder, sgtool's or NVIDIA's."""

import hashlib
import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from sgtool.datasets.label_files import class_names_in, parse_json, stated_digest
from sgtool.datasets.png_reading import plain_pixels
from sgtool.datasets.sources import formats, is_picture_name
from sgtool.datasets.stores import UNREADABLE, open_store
from sgtool.errors import UserError
from sgtool.images import from_pil

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # signature, length and name of the first chunk
LARGEST_AT_ONCE = 4  # bytes of a picture file per byte of its pixels: what is larger is not read as a whole
PNG_CHANNELS = {0: 1, 4: 2, 2: 3, 6: 4}  # colour type of a PNG without palette


def epoch_order(number, seed, epoch):
    """Shuffle the indices 0..number-1 for one pass through the data.

    The order is a function of its arguments alone, so that a position in the data is a count: picture k of a run is
    `epoch_order(number, seed, k // number)[k % number]`. Drawn from `RandomState`, whose stream is frozen across
    NumPy versions.

    Args:
        number: pictures in the dataset.
        seed: 0..2**32-1.
        epoch: number of the pass, from 0.
    Returns:
        int64 array `[number]`, a permutation.
    """
    return np.random.RandomState([seed, epoch]).permutation(number).astype(np.int64)


class ImageDataset:
    """Pictures of one shape, perhaps with labels.

    `dataset[i]` is a uint8 array `[C, H, W]` and its label: an int, a float32 array `[D]`, or None; `dataset.batch(indices)`
    reads many pictures at once. Can be pickled, and used from several threads and from forked processes.

    Attributes:
        name: file name without ending.
        resolution: (H, W) in pixels.
        channels: C.
        names: picture files, sorted.
        labels: int64 `[N]` of class numbers, float32 `[N, D]` of vectors, or None.
        label_dim: number of classes, or D; 0 without labels.
        class_names: names of the classes, or None.
        fingerprint: hexadecimal digits that change when the pictures or their labels do.
    """

    def __init__(self, store, name, names, shape, labels, label_dim, class_names, fingerprint, mirror=False):
        self._store = store
        self.name = name
        self.names = names
        self.resolution = shape[:2]
        self.channels = shape[2]
        self._shape = tuple(shape)
        self._most_at_once = LARGEST_AT_ONCE * math.prod(shape) + 4096
        self.label_dim = label_dim
        self.class_names = class_names
        self._base_labels = labels
        self._base_fingerprint = fingerprint
        self._mirror = mirror
        self._decoded = None  # uint8 [N, C, H, W] of the pictures read so far, if they are kept
        self._is_decoded = None  # bool [N]

    def __getstate__(self):
        return self.__dict__ | {"_decoded": None, "_is_decoded": None}

    def __len__(self):
        return len(self.names) * (2 if self._mirror else 1)

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index = int(index) % len(self)
        base = index % len(self.names)
        picture = np.empty([self.channels, *self.resolution], np.uint8)
        picture[...] = self._picture(base) if index == base else self._picture(base)[:, :, ::-1]
        label = None if self._base_labels is None else self._base_labels[base]
        return picture, int(label) if np.ndim(label) == 0 and label is not None else label

    def keep(self, most_bytes):
        """Keep the pictures in memory once they were read, if all of them decoded take no more than `most_bytes`.

        Returns:
            whether they are kept. Copies of the dataset, pickled ones too, start anew.
        """
        shape = (len(self.names), self.channels, *self.resolution)
        if self._decoded is None and math.prod(shape) <= most_bytes:
            self._decoded, self._is_decoded = np.empty(shape, np.uint8), np.zeros(len(self.names), bool)
        return self._decoded is not None

    def batch(self, indices):
        """Read many pictures.

        Args:
            indices: ints `[n]`, 0 to `len` - 1.
        Returns:
            uint8 array `[n, C, H, W]`, a new one.
        Raises:
            IndexError: there is no such picture.
            UserError: a picture cannot be read.
        """
        indices = np.asarray(indices, np.int64)
        if ((indices < 0) | (indices >= len(self))).any():
            raise IndexError(f"pictures {indices.min()} to {indices.max()} of {len(self)}")
        bases = indices % len(self.names)
        if self._decoded is None:
            pictures = np.empty([len(bases), self.channels, *self.resolution], np.uint8)
            for place, base in zip(pictures, bases, strict=True):
                place[...] = self._picture(base)
        else:
            for base in bases[~self._is_decoded[bases]]:
                self._picture(base)
            pictures = self._decoded[bases]
        flipped = indices != bases
        if flipped.any():
            pictures[flipped] = pictures[flipped, :, :, ::-1]
        return pictures

    def _picture(self, base):
        """Picture `base` as it is stored or kept, a view `[C, H, W]`."""
        if self._decoded is not None and self._is_decoded[base]:
            return self._decoded[base]
        name = self.names[base]
        try:
            pixels = self._read(name)
            if pixels.shape != self._shape:
                raise ValueError(f"it is {_shape_text(pixels.shape)} now")
        except UNREADABLE as error:
            where = f"{self._store.path}: {name}"
            raise UserError(f"{where} cannot be read ({error}). Make the dataset again with sgtool prepare.") from error
        pixels = pixels.transpose(2, 0, 1)
        if self._decoded is not None:
            self._decoded[base] = pixels
            self._is_decoded[base] = True  # only now: another thread may look
        return pixels

    def _read(self, name):
        """Decode a picture into an array `[H, W, C]`."""
        with self._store.open(name) as file:
            if self._store.size(name) <= self._most_at_once:
                data = file.read()
                pixels = plain_pixels(data, self._shape)
                if pixels is not None:
                    return pixels
                file = io.BytesIO(data)  # Pillow reads in small steps, which cost more in a zip
            with Image.open(file, formats=formats()) as image:
                return from_pil(image)

    @property
    def labels(self):
        if self._base_labels is None or not self._mirror:
            return self._base_labels
        return np.concatenate([self._base_labels, self._base_labels])

    @property
    def fingerprint(self):
        return hashlib.sha256(f"{self._base_fingerprint} mirror".encode()).hexdigest() if self._mirror else self._base_fingerprint

    def label_vectors(self, indices):
        """Give the labels of some pictures as a network takes them.

        Args:
            indices: ints `[n]`.
        Returns:
            float32 `[n, label_dim]`: class numbers one-hot, vectors as they are; `[n, 0]` without labels.
        """
        indices = np.asarray(indices, np.int64)
        if self._base_labels is None:
            return np.zeros([len(indices), 0], np.float32)
        labels = self._base_labels[indices % len(self.names)]
        if labels.ndim == 2:
            return labels
        vectors = np.zeros([len(indices), self.label_dim], np.float32)
        vectors[np.arange(len(indices)), labels] = 1
        return vectors

    def mirrored(self):
        """Double the dataset: picture i + N is picture i with left and right exchanged."""
        return self._copy(np.arange(len(self.names)), self._base_fingerprint, mirror=True)

    def subset(self, number, seed=0):
        """Choose `number` random pictures, kept in their order, as NVIDIA's `--subset` does.

        In a mirrored dataset the pictures are chosen first and doubled then.

        Raises:
            UserError: there are fewer pictures than that.
        """
        total = len(self.names)
        if not 1 <= number <= total:
            raise UserError(f"--subset {number}: {self._store.path} has {total} pictures. Give a number from 1 to {total}.")
        if number == total:
            return self
        chosen = np.arange(total)
        np.random.RandomState(seed).shuffle(chosen)
        chosen = np.sort(chosen[:number])
        fingerprint = hashlib.sha256(self._base_fingerprint.encode() + chosen.tobytes()).hexdigest()
        return self._copy(chosen, fingerprint, self._mirror)

    def _copy(self, chosen, fingerprint, mirror):
        names = [self.names[i] for i in chosen]
        labels = None if self._base_labels is None else self._base_labels[chosen]
        shape = (*self.resolution, self.channels)
        return ImageDataset(self._store, self.name, names, shape, labels, self.label_dim, self.class_names, fingerprint, mirror)


def open_dataset(path, mirror=False):
    """Open a dataset: a zip or a folder with pictures of one shape, and dataset.json if there are labels.

    The header of every picture is checked here, so that nothing fails in the middle of a training.

    Args:
        path: zip or folder, made by sgtool or by NVIDIA's dataset_tool.
        mirror: see `ImageDataset.mirrored`.
    Raises:
        UserError: it is not there, it is no dataset, the pictures differ in shape, or labels are missing.
    """
    path = Path(path)
    store = open_store(path)
    files = store.names()
    names = sorted(name for name in files if is_picture_name(name))
    if not names:
        raise UserError(f"{path} holds no picture. Make a dataset of it with: sgtool prepare SOURCE {path.stem}.zip")
    shape = _common_shape(store, names)
    labels, label_dim = _read_labels(store, files, names)
    about = _read_text(store, files, "prepare.json")
    class_names = class_names_in(about) if labels is not None else None
    if class_names is not None:
        label_dim = max(label_dim, len(class_names))
    fingerprint = _fingerprint(store, about, names, labels)
    dataset = ImageDataset(store, path.stem, names, shape, labels, label_dim, class_names, fingerprint)
    return dataset.mirrored() if mirror else dataset


def _common_shape(store, names):
    first = None
    for name in names:
        try:
            with store.open(name) as file:
                shape = picture_shape(file)
        except UNREADABLE as error:
            raise UserError(f"{store.path}: {name} cannot be read. Run: sgtool prepare {store.path} new.zip") from error
        if shape is None:
            raise UserError(
                f"{store.path}: {name} is not a grey, RGB or RGBA picture of 8 bits. Run: sgtool prepare {store.path} new.zip"
            )
        first = first or shape
        if shape != first:
            side = 1 << (min(first[:2]).bit_length() - 1)
            raise UserError(
                f"{store.path}: {name} is {_shape_text(shape)}, but {names[0]} is {_shape_text(first)}. "
                f"All pictures of a dataset must have one shape. Run: sgtool prepare {store.path} new.zip --resolution {side}"
            )
    return first


def _shape_text(shape):
    return f"{shape[1]}x{shape[0]} with {shape[2]} channel{'s'[: shape[2] > 1]}"


def picture_shape(file):
    """Read (H, W, C) of a picture from its header.

    Returns:
        the shape, or None if the picture is not of 8 bits and mode L, LA, RGB or RGBA.
    """
    header = file.read(26)
    if header[:16] == PNG_START and header[24:25] == b"\x08" and header[25] in PNG_CHANNELS:
        height, width = int.from_bytes(header[20:24], "big"), int.from_bytes(header[16:20], "big")
        return (height, width, PNG_CHANNELS[header[25]]) if height and width else None
    file.seek(0)
    with Image.open(file, formats=formats()) as image:
        return (image.height, image.width, CHANNELS[image.mode]) if image.mode in CHANNELS else None


def _read_text(store, files, name):
    if name not in files:
        return None
    with store.open(name) as file:
        return file.read()


def _read_labels(store, files, names):
    """Return labels in the order of `names` and their width, or (None, 0)."""
    text = _read_text(store, files, "dataset.json")
    by_name = None if text is None else parse_json(text, f"{store.path}: dataset.json")
    if by_name is None:
        return None, 0
    bare = [name for name in names if name not in by_name]
    if bare:
        raise UserError(
            f"{store.path}: {bare[0]} has no label in dataset.json ({len(bare)} such of {len(names)}). "
            "Label all of them, or make the dataset again with --labels none."
        )
    values = [by_name[name] for name in names]
    if isinstance(values[0], tuple):
        return np.array(values, np.float32), len(values[0])
    labels = np.array(values, np.int64)
    return labels, int(labels.max()) + 1


def _fingerprint(store, about, names, labels):
    """A SHA-256 over the pictures' names, sizes and checksums, what prepare.json says of them, and the labels."""
    stated = stated_digest(about)
    digest = hashlib.sha256(json.dumps([stated, store.contents(names, quick=stated is not None)]).encode())
    if labels is not None:
        digest.update(f"{labels.dtype} {labels.shape}".encode() + labels.tobytes())
    return digest.hexdigest()

"""The TFRecord files of Progressive GAN, StyleGAN and StyleGAN2: one picture a record, one file a resolution.

A record is a 64-bit length, its masked CRC-32C, the data, their masked CRC-32C
(https://www.tensorflow.org/tutorials/load_data/tfrecord). The data are a tf.Example, a protocol buffer, with the features "shape"
(int64: channels, height, width) and "data" (one byte a value). Read without TensorFlow.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.array_labels import labels_from_array
from sgtool.datasets.sources.crc32c import crc32c, masked
from sgtool.datasets.sources.pictures import Raw, open_regular, read_span, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

HEAD = 12  # bytes before the data of a record
LARGEST_SIDE = 1 << 16
RESOLUTION = re.compile(r"(.*)-r(\d\d)\.tfrecords?$")


def is_tfrecord(path):
    """Tell whether a file begins with the head of a record, checksum and all."""
    with open_regular(path) as file:
        head = file.read(HEAD)
    return len(head) == HEAD and crc_fits(head[:8], head[8:])


def crc_fits(data, stored):
    """Tell whether `stored` (4 bytes) is the masked CRC of `data`."""
    return struct.unpack("<I", stored)[0] == masked(crc32c(data))


@dataclass(frozen=True)
class RecordPicture(Raw):
    """One record: `size` bytes at `offset`, which a checksum of 4 bytes follows."""

    path: str
    stamp: tuple
    offset: int
    size: int

    def pixels(self):
        data = read_span(self.path, self.stamp, self.offset, self.size + 4)
        if not crc_fits(data[:-4], data[-4:]):
            raise Skip("the checksum of its record is wrong", unreadable=True)
        (channels, height, width), values = picture_in(data[:-4])
        return np.ascontiguousarray(np.frombuffer(values, np.uint8).reshape(channels, height, width).transpose(1, 2, 0))

    def shape(self):
        (channels, height, width), _ = picture_in(read_span(self.path, self.stamp, self.offset, self.size))
        return height, width, channels


def picture_in(example):
    """Find a picture in the bytes of a tf.Example.

    Returns:
        (channels, height, width) and the values.
    Raises:
        Skip: it holds none, or its size is not what it says.
    """
    try:
        features = dict(_feature(entry) for number, entry in fields(_only(example, 1)) if number == 1)
        shape = _integers(_only(_only(features[b"shape"], 3), 1, whole=False))
        values = _only(_only(features[b"data"], 1), 1)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise Skip("its record holds no uint8 picture with the features shape and data", unreadable=True) from error
    if len(shape) != 3 or not all(0 < n < LARGEST_SIDE for n in shape) or np.prod(shape, dtype=object) != len(values):
        raise Skip(f"its record says shape {shape}, but has {len(values)} values", unreadable=True)
    return tuple(shape), values


def fields(message):
    """Yield (number, value) of each field of a protocol buffer; the value is an int or a part of the message (bytes).

    Raises:
        ValueError: it is not one.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
        elif kind == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"a field of kind {kind}")
        if at > len(message):
            raise ValueError("a field that breaks off")
        yield key >> 3, value


def _varint(message, at):
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number that does not end")


def _only(message, number, whole=True):
    """Return the value of the field `number`; of several the last, or with `whole` false a list of all."""
    values = [value for found, value in fields(message) if found == number]
    return values[-1] if whole else values


def _feature(entry):
    return bytes(_only(entry, 1)), _only(entry, 2)


def _integers(values):
    """Return a repeated int64 field as ints: packed into bytes, or one by one."""
    result = []
    for value in values:
        if isinstance(value, int):
            result.append(value)
        else:
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                result.append(number)
    return result


def tfrecord_source(path):
    """The pictures of one TFRecord file: `img00000000.png`, ... with the labels of the `.labels` file beside it.

    Raises:
        UserError: it is not a TFRecord file, it has another number of labels, or it holds no picture.
    """
    path = Path(path)
    offsets, sizes, damage = _index(path)
    if not len(offsets):
        raise UserError(f"{path} holds no complete record ({damage or 'it is empty'}). Copy or download it again.")
    stamp = stamp_of(path)
    names = [f"img{i:08d}.png" for i in range(len(offsets))]
    try:
        picture_in(read_span(str(path), stamp, int(offsets[0]), int(sizes[0])))
    except Skip as reason:
        raise UserError(f"{path}: {reason}. Only the TFRecord files of StyleGAN and StyleGAN2 are read.") from reason
    labels = _labels(path, names)
    warnings = [f"{path.name} is damaged ({damage}); the {len(names)} records before that were used."] if damage else []
    return Source(
        names,
        lambda i: RecordPicture(str(path), stamp, int(offsets[i]), int(sizes[i])),
        labels=labels,
        warnings=warnings,
        stamps=[(str(path), *stamp)],
    )


def _index(path):
    """Return offsets and sizes of the records' data, int64 `[N]`, and what is wrong with the file's end, or None."""
    total, at, offsets, sizes, damage = path.stat().st_size, 0, [], [], None
    with open_regular(path) as file:
        while at < total:
            file.seek(at)
            head = file.read(HEAD)
            if len(head) < HEAD or not crc_fits(head[:8], head[8:]):
                damage = f"no record begins at byte {at}"
                break
            size = struct.unpack("<Q", head[:8])[0]
            if at + HEAD + size + 4 > total:
                damage = "its last record is cut off"
                break
            offsets.append(at + HEAD)
            sizes.append(size)
            at += HEAD + size + 4
    return np.array(offsets, np.int64), np.array(sizes, np.int64), damage


def _labels(path, names):
    """Read the labels of StyleGAN's datasets: an array `[N, D]` in `<name>-rxx.labels`. One-hot rows become class numbers."""
    found = RESOLUTION.match(path.name)
    beside = path.with_name(f"{found[1] if found else path.stem}-rxx.labels")
    if not beside.is_file():
        return None
    try:
        labels = np.load(beside, allow_pickle=False, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{beside} is not an array of labels ({error}). Mend or remove it.") from error
    if len(labels.shape) not in (1, 2) or labels.dtype.kind not in "iuf" or not labels.size:
        raise UserError(f"{beside} holds {labels.dtype} of shape {list(labels.shape)}, no labels. Mend or remove it.")
    if len(labels) < len(names):
        raise UserError(f"{beside} has {len(labels)} labels for {len(names)} pictures. Mend or remove it.")
    return labels_from_array(np.asarray(labels[: len(names)]), names, beside)


def tfrecords_in_folder(folder):
    """Choose the file of the highest resolution in a folder of TFRecord files.

    Returns:
        its path and a list of warnings; (None, []) if there is none.
    Raises:
        UserError: the files belong to several datasets.
    """
    found = [path for path in sorted(folder.iterdir()) if path.suffix in (".tfrecords", ".tfrecord") and path.is_file()]
    if not found:
        return None, []
    parts = [RESOLUTION.match(path.name) for path in found]
    if len(found) > 1 and (None in parts or len({part[1] for part in parts}) > 1):
        raise UserError(f"{folder} holds TFRecord files of several datasets ({found[0].name}, {found[-1].name}). Give one file.")
    best = found[-1] if len(found) == 1 else max(zip(parts, found, strict=True), key=lambda pair: int(pair[0][2]))[1]
    others = len(found) - 1
    return best, [f"{best.name} was used, the largest resolution; the {others} smaller ones were left out."] * bool(others)

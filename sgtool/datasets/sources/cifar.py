"""CIFAR-10 and CIFAR-100: the archives as they are downloaded, or unpacked; python and binary version.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009). https://www.cs.toronto.edu/~kriz/cifar.html
Of CIFAR-100 the 100 fine classes are the labels. Training pictures only; the test pictures are left out, and that is said.
"""

import posixpath
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.batch_pickle import Bytes, Unreadable, read_batch
from sgtool.datasets.sources.pictures import RawPicture, open_regular, read_span, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.errors import UserError

SIDE = 32
PIXELS = 3 * SIDE * SIDE
TRAIN10 = tuple(f"data_batch_{i}" for i in range(1, 6))
LARGEST_TEXT = 1 << 20  # bytes of a file of class names


def _layout(files):
    """Recognize the files of a CIFAR archive.

    Args:
        files: base names.
    Returns:
        (version, training files, test file, file of class names, bytes of labels in a binary record), or None.
    """
    if TRAIN10[0] in files and "batches.meta" in files:
        return "python", [name for name in TRAIN10 if name in files], "test_batch", "batches.meta", 0
    if {"train", "meta"} <= files:
        return "python", ["train"], "test", "meta", 0
    if f"{TRAIN10[0]}.bin" in files:
        return "binary", [f"{name}.bin" for name in TRAIN10 if f"{name}.bin" in files], "test_batch.bin", "batches.meta.txt", 1
    if {"train.bin", "fine_label_names.txt"} <= files:
        return "binary", ["train.bin"], "test.bin", "fine_label_names.txt", 2
    return None


def is_cifar(names):
    """Tell whether files with these names (a container) are a CIFAR archive."""
    return _layout({posixpath.basename(name) for name in names}) is not None


def cifar_source(path, tar=None):
    """The training pictures of a CIFAR archive: `data_batch_1/00000`, ... with labels.

    Args:
        path: folder, or tar (compressed or not).
        tar: `Tar` of it, if it is one.
    Raises:
        UserError: a file of it is damaged.
    """
    places = _places(Path(path), tar)
    version, train, test, meta, label_bytes = _layout(set(places))
    read = _read_python if version == "python" else _read_binary
    names, spans, labels, numbers = [], [], [], []
    for number, name in enumerate(train):
        found_labels, found_spans = read(path, name, places[name], label_bytes)
        stem = name.removesuffix(".bin")
        names += [f"{stem}/{i:05d}" for i in range(len(found_labels))]
        labels.append(found_labels)
        spans.append(found_spans)
        numbers += [number] * len(found_labels)
    labels, spans = np.concatenate(labels), np.concatenate(spans)
    if not names:
        raise UserError(f"{path}: its files {', '.join(train)} hold no picture. Download it again.")
    files = [places[name] for name in train]
    class_names = _class_names(version, path, meta, places)
    if class_names is not None and labels.max() >= len(class_names):
        raise UserError(f"{path}: it has labels up to {labels.max()}, but {len(class_names)} class names. Download it again.")
    left_out = test in places

    def picture(i):
        where, stamp, _, _ = files[numbers[i]]
        return RawPicture(where, stamp, int(spans[i]), (3, SIDE, SIDE), (1, 2, 0))

    return Source(
        names,
        picture,
        labels=dict(zip(names, labels.tolist(), strict=True)),
        class_names=class_names,
        warnings=[f"The test pictures ({test}) were left out: a dataset for training takes the training pictures."] * left_out,
        stamps=_stamps(Path(path), files),
        keep=tar,
    )


def _places(path, tar):
    """Return `{base name: (path, stamp, offset, size)}` of the files."""
    if tar is None:
        found = {}
        for file in sorted(path.iterdir()):
            if file.is_file():
                stamp = stamp_of(file)
                found[file.name] = (str(file), stamp, 0, stamp[0])
        return found
    if tar.damage:
        raise UserError(f"{path} is damaged ({tar.damage}). Download it again.")
    return {posixpath.basename(name): (tar.path, tar.stamp, *place) for name, place in tar.files.items()}


def _stamps(path, files):
    paths = [path] if path.is_file() else sorted({where for where, *_ in files})
    return [(str(file), *stamp_of(file)) for file in paths]


def _read_binary(path, name, place, label_bytes):
    """Return labels int64 `[n]` and places of the pixels int64 `[n]`: records of 1 or 2 labels and the pixels."""
    where, stamp, offset, size = place
    record = label_bytes + PIXELS
    if size % record:
        raise UserError(f"{path}: {name} is no whole number of pictures ({size} bytes, {record} each). Download it again.")
    starts = offset + record * np.arange(size // record, dtype=np.int64)
    with open_regular(where) as file:
        labels = []
        for start in starts.tolist():
            file.seek(start)
            labels.append(file.read(label_bytes)[-1])
    return np.array(labels, np.int64), starts + label_bytes


def _batch(path, name, place):
    where, _, offset, size = place
    try:
        with open_regular(where) as file:
            return read_batch(file, offset, size)
    except Unreadable as error:
        raise UserError(f"{path}: {name} is not a CIFAR batch ({error}). Download it again.") from error


def _read_python(path, name, place, _):
    batch = _batch(path, name, place)
    labels, data = batch.get("fine_labels", batch.get("labels")), batch.get("data")
    whole = isinstance(labels, list) and all(type(label) is int and 0 <= label < 1000 for label in labels)
    if not whole or not isinstance(data, Bytes) or data.shape != (len(labels), PIXELS):
        raise UserError(f"{path}: {name} does not hold as many labels as pictures of 32x32. Download it again.")
    return np.array(labels, np.int64), place[2] + data.offset + PIXELS * np.arange(len(labels), dtype=np.int64)


def _class_names(version, path, meta, places):
    if meta not in places:
        return None
    if version == "binary":
        where, stamp, offset, size = places[meta]
        lines = read_span(where, stamp, offset, min(size, LARGEST_TEXT)).decode("utf-8", "replace").split("\n")
        return [line.strip() for line in lines if line.strip()]
    about = _batch(path, meta, places[meta])
    names = about.get("fine_label_names", about.get("label_names"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: {meta} holds no class names. Download it again.")
    return names

"""The file under snapshots and checkpoints: tensors and plain values in a `torch.save` archive, and nothing that can run.

Any torch reads them with `torch.load(weights_only=True)`; here they are read like all model files (`torchfile`), which
compares the checksums first and knows no names but those of tensors.
"""

import torch

from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.snapshots import torchfile, vocabulary
from sgtool.snapshots.inert import Unlisted, kind_of, shown
from sgtool.snapshots.spans import Refused, Stored, file_span

FORMAT, VERSION = "sgtool", 1
UNOPENED = "It is not opened: it could run code."
KINDS = {"snapshot": "a snapshot", "checkpoint": "a training checkpoint"}
PLAIN = (bool, int, float, str, bytes, type(None))


def write_container(contents, path, kind):
    """Write tensors and plain values to a file, whole or not at all.

    Args:
        contents: dict with str keys of dicts, lists, tuples (read back as lists), numbers, str, bytes, None and tensors.
            Tensors are written from the CPU, contiguous, without the rest of a storage that they are a view of.
        path: the file; an older one stays as it is until the new one is complete.
        kind: "snapshot" or "checkpoint", checked when it is read.
    Raises:
        UserError: the file cannot be written, for instance on a full disk.
        TypeError: something in `contents` is not data; the text says where.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not one of {list(KINDS)}.")
    plain = {"format": FORMAT, "version": VERSION, "kind": kind} | _plain(contents, "contents")
    with atomic_write(path) as file:
        recorder = _ErrorRecorder(file)
        try:
            torch.save(plain, recorder)
        except RuntimeError as error:  # torch's writer replaces the system's error by one of its own
            raise recorder.error or error from error


def read_container(path, kind):
    """Read what `write_container` wrote. No code runs, whatever the file holds.

    Args:
        path: the file.
        kind: "snapshot" or "checkpoint": what is expected there.
    Returns:
        The contents with "format", "version" and "kind"; tensors on the CPU.
    Raises:
        UserError: no such file, a damaged one, another kind or format, or one of a newer version.
    """
    with file_span(path, KINDS[kind]) as span:
        start = span.read(0, min(4, len(span)))
        if start[:1] == b"\x80":
            raise UserError(f"{path} is a pickle of another program. Give {KINDS[kind]} of sgtool.")
        if start != b"PK\x03\x04":
            raise UserError(f"{path} is not {KINDS[kind]} of sgtool. Give the network-snapshot-*.pkl or checkpoint.pkl of a run.")
        try:
            return _in_memory(checked(path, torchfile.read(span, vocabulary.PLAIN), kind), {})
        except Unlisted as refused:
            raise UserError(f"{path} holds more than tensors and plain values ({shown(refused.name)}). {UNOPENED}") from refused
        except Refused as refused:
            raise UserError(f"{path} {refused}") from refused


def checked(path, contents, kind):
    """Return what was read from a file of torch.save if sgtool wrote it: plain values and tensors, of the expected kind.

    Raises:
        UserError: it did not, or it is of another kind or version.
    """
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise UserError(f"{path} was not written by sgtool. Give {KINDS[kind]} of sgtool.")
    version, found = contents.get("version"), contents.get("kind", "snapshot")
    if type(version) is not int or version < 1:
        raise UserError(f"{path} is damaged: its format version is no number from 1 on. Copy or download it again.")
    if version > VERSION:
        raise UserError(f"{path} was written by a newer sgtool (format {shown(str(version))}, not {VERSION}). Upgrade sgtool.")
    if found != kind:
        what = KINDS.get(found, "something else") if isinstance(found, str) else "something else"
        raise UserError(f"{path} is {what}, not {KINDS[kind]}. Give {KINDS[kind]}.")
    foreign = next((kind_of(value) for value in _leaves(contents) if type(value) not in (*PLAIN, Stored)), None)
    if foreign:
        raise UserError(f"{path} holds more than tensors and plain values ({foreign}). {UNOPENED}")
    return contents


def _leaves(value):
    """Yield what is not a container in nested dicts, lists and tuples, each container once."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if type(value) not in (dict, list, tuple):
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if type(value) is dict else value)


def _in_memory(value, known):
    """Return nested containers with tensors for what is stored. What is one thing stays one.

    Args:
        value: as `checked` returns it; it is of limited depth, so that a recursion is safe.
        known: {identity of what was met: what it became}.
    """
    if isinstance(value, Stored):
        key = (value.span.start, value.dtype, value.shape, value.strides, value.offset)
        if key not in known:
            known[key] = value.tensor()
        return known[key]
    if type(value) not in (dict, list, tuple):
        return value
    if id(value) not in known:
        if type(value) is dict:
            known[id(value)] = {key: _in_memory(item, known) for key, item in value.items()}
        else:
            known[id(value)] = type(value)(_in_memory(item, known) for item in value)
    return known[id(value)]


def tensors_of(value, name=""):
    """Yield (name, tensor) for each tensor in nested dicts and lists, each container once."""
    waiting, seen = [(name, value)], set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.extend((f"{name}.{key}" if name else str(key), item) for key, item in items)


def _plain(value, name):
    """Copy nested containers with dicts, lists, plain values and bare CPU tensors only."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
        return tensor if whole and type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor).clone()
    if isinstance(value, dict):
        wrong = [key for key in value if type(key) not in (str, int)]
        if wrong:
            raise TypeError(f"{name} has the key {wrong[0]!r}; keys are str or int.")
        return {key: _plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if type(value) not in PLAIN:
        raise TypeError(f"{name} is a {type(value).__name__}, which is not data; store numbers, text, lists, dicts or tensors.")
    return value


class _ErrorRecorder:
    """A file for torch.save that remembers why a write failed."""

    def __init__(self, file):
        self.file = file
        self.error = None

    def write(self, data):
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self):
        self.file.flush()

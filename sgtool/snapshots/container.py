"""The file under snapshots and checkpoints: tensors and plain values in a `torch.save` archive, and nothing that can run.

Two safeguards stand on top of `torch.load(weights_only=True)`: the archive's checksums are compared first (torch does
not), and a file that names anything but tensors is refused before it is read.
"""

import pickletools
import zipfile
from pathlib import Path

import torch

from sgtool.errors import UserError
from sgtool.files import atomic_write

FORMAT, VERSION = "sgtool", 1
KINDS = {"snapshot": "a snapshot", "checkpoint": "a training checkpoint"}
PLAIN = (bool, int, float, str, bytes, type(None))
STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED = {
    "collections OrderedDict",
    "_codecs encode",  # bytes
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",  # unsigned types
    "torch._utils _rebuild_parameter",
    "torch.storage UntypedStorage",
    *(f"torch {name}Storage" for name in STORAGES),
    *(f"torch uint{bits}" for bits in (16, 32, 64)),
}


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
    path = Path(path)
    _check_archive(path, kind)
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch's reader makes of bytes that are not what they should be
        reason = _first_line(error)
        raise UserError(f"{path} cannot be read ({reason}). If it was copied or downloaded, do that again.") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise UserError(f"{path} was not written by sgtool. Give {KINDS[kind]} of sgtool.")
    version, found = contents.get("version"), contents.get("kind", "snapshot")
    if not isinstance(version, int) or version < 1:
        raise UserError(f"{path} is damaged: its format version is {version!r}. Copy or download it again.")
    if version > VERSION:
        raise UserError(f"{path} was written by a newer sgtool (format {version}; this one reads {VERSION}). Upgrade sgtool.")
    if found != kind:
        raise UserError(f"{path} is {KINDS.get(str(found), 'something else')}, not {KINDS[kind]}. Give {KINDS[kind]}.")
    for name, tensor in tensors_of(contents):
        if tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UserError(f"{path} is damaged: {name} is larger than its data. Copy or download it again.")
    return contents


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


def _check_archive(path, kind):
    """Raise UserError unless `path` is an undamaged archive of tensors and plain values."""
    if not path.exists():
        raise UserError(f"{path} does not exist. Give {KINDS[kind]}, or a run folder that holds one.")
    if not path.is_file():
        raise UserError(f"{path} is not a file. Give {KINDS[kind]}.")
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise UserError(f"{path} is empty. Copy or download it again.")
    if start[:1] == b"\x80":
        raise UserError(f"{path} is a pickle of another program, which this version does not read. Give {KINDS[kind]} of sgtool.")
    if start != b"PK\x03\x04":
        raise UserError(f"{path} is not {KINDS[kind]} of sgtool. Give the network-snapshot-*.pkl or checkpoint.pkl of a run.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive, kind)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise UserError(f"{path} is damaged: cut short or not completely copied ({error}). Copy or download it again.") from error


def _check_members(path, archive, kind):
    """Compare the checksums of all members, and look through the pickle among them for anything but tensors."""
    members = archive.infolist()
    pickles = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UserError(f"{path} is a zip file but not {KINDS[kind]} of sgtool. Give the .pkl file of a run.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f"{path} was packed again by another program. Give the file as sgtool wrote it.")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f"{path} is damaged: its parts are larger than the file. Copy or download it again.")
    damaged = archive.testzip()
    if damaged:
        raise UserError(f"{path} is damaged: the checksum of its part {damaged} is wrong. Copy or download it again.")
    foreign = _foreign_names(archive.read(pickles[0]))
    if foreign:
        raise UserError(f"{path} holds more than tensors and plain values ({foreign}) and is not opened: it could run code.")


def _foreign_names(data):
    """Return the first global name of a pickle that is not part of a tensor, "" if there is none."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL" and argument not in ALLOWED:
                return argument.replace(" ", ".")
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ", "NEWOBJ_EX"):
                return f"opcode {opcode.name}"
    except ValueError as error:
        return str(error)
    return ""


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

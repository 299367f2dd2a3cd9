"""Which program wrote a model file, told from its content."""

import contextlib

from sgtool.errors import UserError
from sgtool.snapshots import legacy, native, nvidia, rosinality, safetensors_file, statedict, tensorflow, torchfile
from sgtool.snapshots.container import checked
from sgtool.snapshots.inert import kind_of, shown
from sgtool.snapshots.spans import Refused, damaged, file_span
from sgtool.snapshots.stream import Budget
from sgtool.snapshots.unpickler import unpickle
from sgtool.snapshots.vocabulary import VOCABULARY

FORMATS = {
    "sgtool": "sgtool",
    "stylegan2-ada-pytorch": "NVIDIA's stylegan2-ada-pytorch",
    "stylegan3": "NVIDIA's stylegan3 repository",
    "tensorflow": "NVIDIA's StyleGAN2 or StyleGAN2-ADA for TensorFlow",
    "rosinality": "rosinality's stylegan2-pytorch",
    "safetensors": "a safetensors file",
    "state-dict": "a state dict without a description",
}
READERS = (nvidia, tensorflow, rosinality, statedict)  # the first that recognises a value describes it
PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Rar!": "rar",
}
OTHERS = {
    b"version https://git-lfs": "is a placeholder of Git LFS, not the file. Run git lfs pull where it lies, or download it.",
    b"\x89HDF\r\n": "is an HDF5 file, and a model in it is one of Keras or TensorFlow 2, which sgtool does not read.",
    b"\x89PNG": "is a picture, not a model.",
    b"\xff\xd8\xff": "is a picture, not a model.",
    b"model_checkpoint_path": "belongs to a checkpoint of TensorFlow, which sgtool does not read. Give the .pkl of the run.",
    b"PK\x05\x06": "is an empty zip file. Copy or download it again.",
}
TEXT_OPCODES = b"(c}])ldIFSVLK"  # with which a pickle of protocol 0 or 1 can begin


@contextlib.contextmanager
def opened(path):
    """Open a model file and describe it: yields `Contents`, whose tensors can be read inside the `with` block.

    Raises:
        UserError: the file is missing, damaged, of an unknown kind, or asks for something that could run code.
    """
    with file_span(path, "a snapshot (network-snapshot-*.pkl)") as span:
        try:
            yield _described(path, span)
        except Refused as refused:
            raise UserError(f"{path} {refused}") from refused


def _described(path, span):
    """Return the `Contents` of a file."""
    if safetensors_file.recognise(span):
        return safetensors_file.describe(path, span)
    start = span.read(0, min(512, len(span)))
    if torchfile.is_torch_file(start):
        value = torchfile.read(span)
        if isinstance(value, dict) and value.get("format") == "sgtool":
            return native.describe(path, checked(path, value, "snapshot"))
    elif start[:1] == b"\x80" or (start[:1] in TEXT_OPCODES and span.read(len(span) - 1) in b".\n" and not _other(start)):
        value = _unpickled(span)
    else:
        raise Refused(_other(start) or "is no model file that sgtool knows. It reads snapshots of " + _names())
    for reader in READERS:
        if reader.recognise(value):
            return reader.describe(value)
    raise Refused(f"holds {_what(value)}, not a StyleGAN2 model. sgtool reads snapshots of {_names()}")


def _unpickled(span):
    """Return the value of a pickle, which has to be all of the file."""
    value, size = unpickle(span, VOCABULARY)
    if value == legacy.MAGIC:  # of torch.save, in another spelling
        return legacy.read_legacy(span, VOCABULARY, Budget(len(span)))
    if len(span) - size > 16 or span.read(size).strip(b"\r\n\0"):
        raise damaged("something follows behind its end")
    return value


def _names():
    names = [name.removeprefix("a ") for name in FORMATS.values()]
    return f"{', '.join(names[:-2])}, safetensors files and state dicts."


def _other(start):
    """Return a sentence on a file that is told by its first bytes, "" if it is not."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page: a download that did not work, or asked for a password. Download the file itself."
    if start[257:262] == b"ustar" and start[:8].rstrip(b"\0") in (b"sys_info", b"pickle", b"tensors", b"storages"):
        return "is of torch 0.1, which no program of today writes. Load it with an old torch, and save it with a newer one."
    if start[257:262] == b"ustar":
        return "is a tar file. Unpack it, and give a model that is in it."
    if start[:1] == b"\x08" and (b"pytorch" in start[:64] or b"onnx" in start[:64]):
        return "is an ONNX file, which sgtool writes but does not read. Give the snapshot that it was made from."
    packed = [name for magic, name in PACKED.items() if start.startswith(magic)]
    if packed:
        return f"is packed ({packed[0]}). Unpack it, and give what was in it."
    return next((sentence for magic, sentence in OTHERS.items() if start.startswith(magic)), "")


def _what(value):
    """Say what a file holds, in a few words."""
    if isinstance(value, dict):
        keys = [shown(str(key), 30) for key in list(value)[:5]]
        more = ", ..." if len(value) > 5 else ""
        return f"a dict with the keys {', '.join(keys)}{more}" if keys else "an empty dict"
    return kind_of(value)

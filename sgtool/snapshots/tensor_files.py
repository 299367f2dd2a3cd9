"""Tensors by name out of any file that may hold a network's weights: no code runs, whatever the file is."""

import contextlib
import re

from sgtool.errors import UserError
from sgtool.snapshots import safetensors_file, script_file, torchfile
from sgtool.snapshots.inert import Inert, Maker
from sgtool.snapshots.spans import Refused, damaged, file_span
from sgtool.snapshots.unpickler import unpickle
from sgtool.snapshots.vocabulary import VOCABULARY

CLASS = re.compile(r"torch\.nn\.modules\.[a-z_]{1,60} [A-Z][A-Za-z0-9]{0,60}", re.ASCII)
FUNCTION = re.compile(r"torch\.nn\.functional [a-z][a-z0-9_]{0,60}|torch(?:\._C\._nn)? [a-z_]*relu", re.ASCII)
HOLDERS = re.compile(r"(?:(?<=\.)|^)_(?:modules|parameters|buffers)\.")  # attributes of a module that hold its tensors


@contextlib.contextmanager
def opened_tensors(path, wanted):
    """Open a file of weights: yields {name: Stored}, which can be read inside the `with` block.

    Files of torch.save (nested names are joined by dots), TorchScript archives, safetensors files, and pickles of whole
    networks, such as the detectors of NVIDIA's StyleGAN3 repository; a tensor of a network has its name in the state dict.

    Args:
        path: the file.
        wanted: what is expected, for messages: "a file of VGG16 weights".
    Raises:
        UserError: it is missing, damaged, of another kind, or asks for something that could run code.
    """
    with file_span(path, wanted) as span:
        try:
            yield _tensors(span, wanted)
        except Refused as refused:
            raise UserError(f"{path} {refused}") from refused


def _tensors(span, wanted):
    if safetensors_file.recognise(span):
        return safetensors_file.parts_of(span)[1]
    if script_file.recognise(span):
        return script_file.read(span)
    start = span.read(0, min(32, len(span)))
    if torchfile.is_torch_file(start):
        return _of_modules(torchfile.read(span, _VOCABULARY))
    if start[:1] == b"\x80":
        value, size = unpickle(span, _VOCABULARY)
        if size != len(span):
            raise damaged("something follows behind its end")
        return _of_modules(value)
    raise Refused(f"is neither a file of torch nor of safetensors. Give {wanted}.")


def _of_modules(value):
    """Return {name: Stored} of what was unpickled: that of a state dict, for tensors of a network that was pickled whole."""
    tensors = {}
    for name, stored in script_file.tensors_in(value).items():
        tensors.setdefault(HOLDERS.sub("", name), stored)
    return tensors


class _Vocabulary(dict):
    """What a pickled network may ask for besides: layers of torch, which come out as `Inert`, and functions, which cannot be
    called.
    """

    def get(self, name, default=None):
        """Return what stands for "module name"."""
        found = super().get(name, default)
        if found is None and CLASS.fullmatch(name):
            return _layer(name.replace(" ", "."))
        if found is None and FUNCTION.fullmatch(name):
            return Maker(name.replace(" ", "."))
        return found


def _layer(name):
    def make(machine, *arguments):
        return Inert("object", name, {"args": arguments} if arguments else {})

    return Maker(name, make, 0, 16)


_VOCABULARY = _Vocabulary(VOCABULARY)

"""Tensors by name out of any file that may hold a network's weights: no code runs, whatever the file is."""

import contextlib

from sgtool.errors import UserError
from sgtool.snapshots import safetensors_file, script_file, torchfile
from sgtool.snapshots.spans import Refused, file_span


@contextlib.contextmanager
def opened_tensors(path, wanted):
    """Open a file of weights: yields {name: Stored}, which can be read inside the `with` block.

    Files of torch.save (nested names are joined by dots), TorchScript archives and safetensors files.

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
    if torchfile.is_torch_file(span.read(0, min(32, len(span)))):
        return script_file.tensors_in(torchfile.read(span))
    raise Refused(f"is neither a file of torch nor of safetensors. Give {wanted}.")

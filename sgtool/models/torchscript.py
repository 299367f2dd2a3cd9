"""G_ema as a TorchScript file, which `torch.jit.load` runs without sgtool, and C++ programs with LibTorch too."""

import contextlib
import io
import json
import warnings
import zipfile

import torch

from sgtool.files import atomic_write
from sgtool.models.program import exported

CHECKS = (torch.ops.aten._assert_tensor_metadata.default, torch.ops.aten.promote_types.default)  # of the exporter, without result


def write(G, path, about):
    """Write a generator as TorchScript.

    Its `forward` takes z `[N, z_dim]`, c `[N, c_dim]` if it has labels, and truncation_psi `[]` if it knows its average
    (1 = none), all float32 tensors, and gives `[N, C, H, W]` float32, nominally -1..1. The noise is as stored.

    Args:
        G: a `Generator` on the CPU, in eval mode.
        path: the file.
        about: dict of plain values, kept as JSON in the extra file "sgtool.json".
    """
    pictures, program = exported(G)
    module = program.module()
    _free_the_batch(module)
    inputs = pictures.inputs_of_seeds([0, 1])
    with _known_deprecation(), torch.no_grad():
        script = torch.jit.trace(module, inputs, check_trace=False)  # what it gives is compared by the caller
    extra = {"sgtool.json": json.dumps(about, allow_nan=False)}
    whole = io.BytesIO()
    with _known_deprecation():
        torch.jit.save(script, whole, _extra_files=extra)
    with atomic_write(path) as file:
        _copy_without_traces(whole, file)


def run(path, inputs):
    """Run such a file.

    Args:
        path: the file.
        inputs: tensors, in the order of its `forward`.
    Returns:
        `[N, C, H, W]` float32.
    """
    with _known_deprecation(), torch.no_grad():
        return torch.jit.load(str(path), map_location="cpu")(*inputs)


def _free_the_batch(module):
    """Rewrite an exported graph so that tracing it records the batch size instead of a number.

    Operators called by their overload take sizes as numbers; the methods of a tensor take and record them.
    """
    graph, aten = module.graph, torch.ops.aten
    for node in reversed(list(graph.nodes)):
        if not node.users and (node.op == "call_module" or node.target in CHECKS):  # guards of the exporter
            graph.erase_node(node)
        elif node.target == aten.sym_size.int:
            node.op, node.target = "call_method", "size"
        elif node.target == aten.expand.default:
            node.op, node.target = "call_method", "expand"
    graph.eliminate_dead_code()
    module.recompile()


def _copy_without_traces(archive, file):
    """Copy a TorchScript archive without its debug records, which hold the names of this machine's folders."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.infolist():
            if not member.filename.endswith(".debug_pkl"):
                new.writestr(member, old.read(member))


@contextlib.contextmanager
def _known_deprecation():
    """PyTorch 2.13 calls TorchScript deprecated at every step. It still reads and writes it, and C++ programs want it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
